"""Label smoothing and the three levels of a teacher's knowledge: targets made from a part of what it says, one a file."""
