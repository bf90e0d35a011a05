"""What is shown on a terminal: the console, and the progress of a run or a bench."""
