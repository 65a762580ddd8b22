"""How far forces reach, and charges that make them shorter."""
