"""Teachers: whoever supplies reference outputs. One kind a file."""
