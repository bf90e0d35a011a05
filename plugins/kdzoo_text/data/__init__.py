"""Where texts and labels come from, and how they become numbers."""
