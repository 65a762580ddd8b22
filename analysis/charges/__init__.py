"""Charges of atoms against what surrounds them."""
