"""Pure tensor functions: every loss of the zoo as something that any training script can call."""
