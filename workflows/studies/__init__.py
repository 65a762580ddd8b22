"""Studies of labelled sets: how many configurations a potential needs, and how good their labels must be."""
