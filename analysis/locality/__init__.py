"""How far forces reach, which no short-range potential can describe."""
