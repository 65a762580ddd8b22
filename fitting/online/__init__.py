"""Fits that learn on: new labels and new sparse points join a native fit in place."""
