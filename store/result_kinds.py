"""Kinds of results that more than one floor names."""

ERRORS = "errors"
"""Errors of a model on a set of labels."""
CROSS_CHECK = "cross-check"
"""Largest differences of a model's two evaluators."""
CROSS_CHECK_SKIPPED = "cross-check-skipped"
"""Why a model has no cross-check."""
