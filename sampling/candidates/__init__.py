"""Crystals that a survey may look at: where they come from, which are worth it, and which are the same."""
