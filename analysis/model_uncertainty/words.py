"""How numbers that a model gave are written: value, statistical interval, model interval, both of 95 %."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Final

from ...fitting.posterior.base import interval_factor

NONE: Final = "–"
MODEL_COLUMN: Final = "model ±"
STATISTICAL_COLUMN: Final = "statistical ±"
"""Heads of columns of half-widths of 95 % intervals, the unit after them."""
MODEL_CAPTION: Final = (
    "Model ±: 95 % interval for the error of the model, by its posterior, calibrated on labels left out of the fit."
)


def with_intervals(
    value: float,
    unit: str,
    form: str,
    *,
    statistical: float | None = None,
    model: float | None = None,
    statistical_is: str = "statistical",
) -> str:
    """Return a number with its intervals: ``0.40 ± 0.02 (statistical) ± 0.07 (model) eV``.

    Parameters
    ----------
    form
        How numbers are written, such as ``.2f``.
    statistical, model
        Half-widths of 95 % intervals in the unit of the value; None: there is none.
    statistical_is
        What the first one is of, where that is not statistics.
    """
    parts = [f"{value:z{form}}"]
    for half_width, name in ((statistical, statistical_is), (model, "model")):
        if half_width is not None:
            parts.append(f"± {_size(half_width, form)} ({name})")
    return " ".join([*parts, unit]).rstrip()


def plus_minus(value: float, form: str, half_width: float | None) -> str:
    """Return a number with one interval, without a unit: a cell of a table."""
    return f"{value:z{form}}" + ("" if half_width is None else f" ± {_size(half_width, form)}")


def half_width_text(value: float | None, form: str) -> str:
    """Return the half-width of an interval, a dash where there is none: a cell of a table."""
    return NONE if value is None else _size(value, form)


def _size(value: float, form: str) -> str:
    return f"{value:{form}}" if isfinite(value) else "∞"


def student_half_width(standard_error: float | None, degrees_of_freedom: int) -> float | None:
    """Return the half-width of the 95 % interval of a mean, or a fitted number, by Student's t; None without one."""
    if standard_error is None or degrees_of_freedom < 1:
        return None
    return interval_factor(degrees_of_freedom) * standard_error


def no_interval_text(name: str, reason: str) -> str:
    """Return why the numbers of a model have no model interval, as a sentence."""
    return f"{name}: no model interval: {reason}."


def inside_text(name: str, what: str, numbers: Iterable[tuple[float | None, float | None, float | None]]) -> str:
    """Return how many numbers of the reference lie inside the model intervals, as a sentence; empty without any.

    Parameters
    ----------
    what
        The numbers, in the plural.
    numbers
        Of the model, of the reference on the same structures, and the half-width of the model interval.
    """
    inside = [
        abs(value - reference) <= half_width
        for value, reference, half_width in numbers
        if value is not None and reference is not None and half_width is not None
    ]
    if not inside:
        return ""
    return f"{name}: the reference lies inside the 95 % model interval of {sum(inside)} of {len(inside)} {what}."
