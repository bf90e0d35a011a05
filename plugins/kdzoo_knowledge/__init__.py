"""Domain knowledge: concepts and logical rules over them, as losses, as teachers and in inference."""
