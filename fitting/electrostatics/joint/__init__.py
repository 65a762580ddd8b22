"""Charges that follow from a local quantity, and their fit together with a GAP."""
