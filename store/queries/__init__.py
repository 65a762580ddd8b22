"""What can be asked of the records."""
