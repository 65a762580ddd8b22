"""What jobs ask of the posteriors of models."""
