"""Glasses: how they are made from melts, and what several of them have in common."""
