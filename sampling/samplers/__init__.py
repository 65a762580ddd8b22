"""Samplers: kinds that bring configurations of a system."""
