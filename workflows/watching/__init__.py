"""Where campaigns stand, what went wrong, and what people decide about it."""
