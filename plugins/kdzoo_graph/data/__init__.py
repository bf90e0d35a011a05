"""Knowledge graphs: files, sources, and graphs that are being aligned."""
