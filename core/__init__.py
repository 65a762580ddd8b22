"""What every room may use: errors, states, units, processes."""
