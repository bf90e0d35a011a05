"""Whole training steps of kdzoo against those of the authors' own trainers, run from checkouts that you give."""
