"""Searches for hyperparameters as jobs."""
