"""The meta-gradient: how the student's step depends on the teacher."""
