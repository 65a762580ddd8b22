"""Charges and the electrostatic baseline."""
