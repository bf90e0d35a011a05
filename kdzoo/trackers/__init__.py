"""Trackers: where numbers go besides the run's own log."""
