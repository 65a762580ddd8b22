"""Putting a campaign into a store, what it will cost, and carrying it on beyond what was planned."""
