"""Glasses: one job for each, and one that looks at all of them."""
