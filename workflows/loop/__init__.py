"""Generations: what a campaign does until its errors stop improving."""
