"""Rotation: how polyanions turn in trajectories that others run, and whether ions hop with them."""
