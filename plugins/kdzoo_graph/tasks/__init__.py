"""Link prediction and entity alignment, and how they are scored."""
