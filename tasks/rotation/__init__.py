"""Jobs about the rotation of polyanions."""
