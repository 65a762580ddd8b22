"""Hops of the mobile ion in trajectories, and the barriers on their paths."""
