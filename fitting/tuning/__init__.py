"""Hyperparameters chosen by the leave-out errors that a fit gives with its potential."""
