"""Initial configurations, Monte Carlo, molecular dynamics, selection. Pure functions on `Atoms`."""
