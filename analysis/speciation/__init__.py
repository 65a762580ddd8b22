"""Species of a network in trajectories: which there are, how many, and how they change."""
