"""Whole training steps of kdzoo against those of the authors' own trainers, run from a checkout that you give."""
