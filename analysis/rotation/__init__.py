"""Rotation of polyanions: how fast they turn, when and where they jump, and whether ions hop with them."""
