"""Screening: whether a crystal conducts and lasts, at temperatures that are chosen on the way."""
