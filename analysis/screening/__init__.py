"""Screening of a crystal: is it a conductor, does it stay whole, and what is left of both at room temperature."""
