"""Kinds of results that more than one floor names."""

ERRORS = "errors"
"""Errors of a model on a set of labels."""
