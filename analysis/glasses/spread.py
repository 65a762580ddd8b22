"""What several glasses have in common, and by how much they differ: mean, standard deviation, interval, trends.

A glass is one draw: frames of one glass tell nothing of the next. So every number here counts glasses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydantic import Field

from ...core.settings import FrozenModel
from ..distributions import student_quantile

CONFIDENCE: Final = 0.95
_ROUNDING: Final = 1e-9
FEWEST: Final = 3
"""Glasses below which an interval says next to nothing: with two, t is 12.7."""


class Spread(FrozenModel):
    """A quantity over independent glasses; units are those of the quantity."""

    glasses: int = Field(description="Glasses (number)")
    mean: float = Field(description="Mean (unit of the quantity)")
    standard_deviation: float | None = Field(
        description="Standard deviation between glasses; nothing of one (unit of the quantity)"
    )
    low: float | None = Field(
        description="Lower end of the 95 % interval of the mean by Student's t; nothing of one (unit of the quantity)"
    )
    high: float | None = Field(description="Its upper end (unit of the quantity)")

    @property
    def too_few(self) -> bool:
        """Whether there are too few glasses for the interval to mean much."""
        return self.glasses < FEWEST


class Trend(FrozenModel):
    """How a quantity changes with the rate, or with the size: a line through all glasses."""

    quantity: str = Field(description="What changes (name)")
    against: str = Field(description="With what it changes: rate or size (name)")
    at: str = Field(description="Size of the glasses, or their rate (text)")
    glasses: int = Field(description="Glasses that the line goes through (number)")
    slope_per_decade: float = Field(
        description="Change where the rate, or the number of atoms, is ten times as large (unit of the quantity)"
    )
    low: float | None = Field(
        description="Lower end of its 95 % interval; nothing of two glasses (unit of the quantity)"
    )
    high: float | None = Field(description="Its upper end (unit of the quantity)")

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and not self.low <= 0.0 <= self.high


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and 95 % t-interval of a quantity over independent glasses.

    Raises
    ------
    ValueError
        If there is no value.
    """
    numbers = np.asarray(values, dtype=float)
    if not len(numbers):
        raise ValueError("there are no glasses to take a mean of")
    mean = float(numbers.mean())
    if len(numbers) == 1:
        return Spread(glasses=1, mean=mean, standard_deviation=None, low=None, high=None)
    deviation = float(numbers.std(ddof=1))
    half = student_quantile(0.5 * (1 + CONFIDENCE), len(numbers) - 1) * deviation / np.sqrt(len(numbers))
    return Spread(
        glasses=len(numbers), mean=mean, standard_deviation=deviation, low=float(mean - half), high=float(mean + half)
    )


def slope_per_decade(x: Sequence[float], y: Sequence[float]) -> tuple[float, float | None, float | None] | None:
    """Return slope of y against log10 x and its 95 % interval, by least squares; None where all x are the same.

    The interval takes glasses as independent and equally scattered: (n - 2) degrees of freedom; None where n is two.
    """
    logs, values = np.log10(np.asarray(x, dtype=float)), np.asarray(y, dtype=float)
    if len(values) < 2 or np.ptp(logs) == 0:
        return None
    if np.allclose(values, values[0], rtol=_ROUNDING, atol=0.0):
        return 0.0, 0.0, 0.0
    centred = logs - logs.mean()
    weight = float(centred @ centred)
    slope = float(centred @ values) / weight
    if len(values) == 2:
        return slope, None, None
    residual = values - values.mean() - slope * centred
    error = np.sqrt(float(residual @ residual) / (len(values) - 2) / weight)
    half = float(student_quantile(0.5 * (1 + CONFIDENCE), len(values) - 2) * error)
    return slope, slope - half, slope + half
