"""One file per command. Nothing else is in this package: `list` and `eval` would hide the functions of these names."""
