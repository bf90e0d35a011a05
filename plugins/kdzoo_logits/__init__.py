"""Methods that teach through logits and targets, and the transforms of either: one method a file."""
