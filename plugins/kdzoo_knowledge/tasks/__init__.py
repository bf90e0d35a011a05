"""Tasks whose outputs are several heads with knowledge over them."""
