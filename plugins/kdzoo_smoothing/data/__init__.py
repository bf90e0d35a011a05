"""Data for studies of what a teacher knows: made-up classes in superclasses, long tails, fewer classes."""
