"""Text: transformers of the transformers library as teachers and students, and methods that match their layers."""
