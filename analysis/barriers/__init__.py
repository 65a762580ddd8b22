"""Minimum-energy paths and the barriers along them."""
