"""Which sampled frames are worth a label: one file per kind of selection."""
