"""Diffusivity, conductivity and Haven ratio from long trajectories."""
