"""Trajectories of every origin: read, put in order, unwrapped, in a frame of reference."""
