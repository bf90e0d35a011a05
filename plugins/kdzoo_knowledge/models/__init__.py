"""Models for several heads."""
