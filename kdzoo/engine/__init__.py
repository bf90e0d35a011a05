"""The engine: one loop for every method. `loop.py` is the first file to read, `run.py` the second."""
