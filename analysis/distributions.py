"""Quantiles and probabilities of the distributions that estimates are judged by.

As in scipy.stats, whose import takes longer than most commands; arguments are numbers or arrays that broadcast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.arrays import FloatArray


def normal_probability(value: ArrayLike) -> FloatArray:
    """Return the probability below a value of the standard normal distribution."""

    from scipy import special

    return np.asarray(special.ndtr(value))


def normal_quantile(probability: float) -> float:
    """Return the value of the standard normal distribution below which a probability lies."""

    from scipy import special

    return float(special.ndtri(probability))


def student_quantile(probability: float, freedom: float) -> float:
    """Return the value of Student's t of some degrees of freedom below which a probability lies."""

    from scipy import special

    return float(special.stdtrit(freedom, probability))


def chi2_quantile(probability: float, freedom: float) -> float:
    """Return the value of χ² of some degrees of freedom below which a probability lies."""

    from scipy import special

    return float(2 * special.gammaincinv(freedom / 2, probability))


def chi2_tail(value: float, freedom: float) -> float:
    """Return the probability above a value of χ² of some degrees of freedom."""

    from scipy import special

    return float(special.chdtrc(freedom, value))


def f_tail(value: float, freedom: float, freedom_below: float) -> float:
    """Return the probability above a value of F of degrees of freedom of its numerator and of its denominator."""

    from scipy import special

    return float(special.fdtrc(freedom, freedom_below, value))


def gamma_tail(value: ArrayLike, shape: ArrayLike, scale: ArrayLike) -> FloatArray:
    """Return the probability above a value of gamma distributions."""

    from scipy import special

    return np.asarray(special.gammaincc(shape, np.asarray(value) / scale))
