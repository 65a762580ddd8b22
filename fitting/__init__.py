"""Data sets, electrostatic baseline, GAP and ES-GAP fits, calculators. Pure; the ground floor."""
