"""What a potential owes to its data."""
