"""Copies of stores, their checks and their repair."""
