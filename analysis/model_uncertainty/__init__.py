"""What a model knows of the errors of what it gave: intervals, and whether they hold."""
