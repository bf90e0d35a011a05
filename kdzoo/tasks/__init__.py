"""Tasks: what data mean, and how a model is run on them."""
