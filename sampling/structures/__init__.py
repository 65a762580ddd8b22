"""Structures to start from: crystals and their sites."""
