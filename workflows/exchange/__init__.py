"""Labels from other programs, and potentials and labels for them."""
