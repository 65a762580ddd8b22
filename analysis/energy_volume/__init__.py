"""Energy against volume, and the equation of state through it."""
