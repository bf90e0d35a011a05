"""Analyses of what label smoothing does to a model, and of what a student gets from its teacher."""
