"""Methods that move the teacher while the student learns."""
