"""Encoders and decoders of knowledge graphs."""
