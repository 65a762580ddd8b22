"""Fits: sparse points, rows, the linear system and its solution."""
