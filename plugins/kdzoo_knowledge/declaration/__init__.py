"""Declaring knowledge: concepts, hierarchies and rules, in a recipe or in Python."""
