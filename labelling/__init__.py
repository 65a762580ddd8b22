"""Reference engines behind one interface: `Atoms` in, a label with a state out."""
