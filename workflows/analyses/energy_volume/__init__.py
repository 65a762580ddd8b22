"""Energy against volume, and the bulk modulus."""
