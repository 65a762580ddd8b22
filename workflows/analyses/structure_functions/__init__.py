"""Structure functions of trajectories, as a kind of analysis."""
