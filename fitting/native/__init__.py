"""Our own evaluation and fit of GAPs: the same numbers as QUIP, tens of times faster, under a free licence."""
