"""Carry out the runs of a bench, in this process or in a pool."""
