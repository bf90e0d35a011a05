"""Transformers by name, from a folder, from a teacher, or from scratch."""
