"""Defects: relaxations and single points of supercells, and what they say together."""
