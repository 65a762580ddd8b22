"""Jobs that look at trajectories which other jobs ran."""
