"""Errors of potentials against labels."""
