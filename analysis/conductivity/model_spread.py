"""What of a quantity's error comes from the model: its scatter over models drawn from the posterior.

With sample k a quantity is x_k = μ + δ_k + ε_k with the statistical errors ε_k, whose sizes are known, and what the
model adds, δ_k ~ N(0, τ²). τ has a flat prior (Gelman, Bayesian Anal. 2006, 1, 515, 10.1214/06-BA117A), μ is integrated
out, and the interval of δ is that of the mixture over τ: of few samples it is wide, and never nothing because their
scatter happens to be small. Without statistical errors it is Student's t with two degrees of freedom less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InputError
from .model_spread_settings import FEWEST_SAMPLES

CONFIDENCE = 0.95
_GRID_POINTS = 300
_LARGEST_OF_SCALE = 300.0
_SMALLEST_OF_SCALE = 1e-3


def model_half_width(values: Sequence[float], standard_errors: Sequence[float], level: float = CONFIDENCE) -> float:
    """Return the half-width of the interval of what one model drawn from the posterior adds to a quantity.

    Parameters
    ----------
    values, standard_errors
        Of the quantity with every sampled model, and their statistical errors (in its unit).
    level
        Probability of the interval.

    Raises
    ------
    InputError
        If there are fewer than `FEWEST_SAMPLES`.
    """

    from scipy.optimize import brentq
    from scipy.special import erf

    x, errors = np.asarray(values, dtype=float), np.asarray(standard_errors, dtype=float)
    if len(x) < FEWEST_SAMPLES:
        raise InputError(f"the scatter over {len(x)} models says nothing: {FEWEST_SAMPLES} or more are needed")
    scale = max(float(x.std()), float(np.sqrt(np.mean(errors**2))))
    if scale == 0:
        return 0.0
    tau = scale * np.geomspace(_SMALLEST_OF_SCALE, _LARGEST_OF_SCALE, _GRID_POINTS)
    # In logarithms of τ a flat prior is one of density τ.
    weights = _log_likelihoods(tau, x, errors) + np.log(tau)
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()

    def outside(half_width: float) -> float:
        return float(weights @ erf(half_width / (np.sqrt(2) * tau))) - level

    return float(brentq(outside, 0.0, 100 * tau[-1]))


def _log_likelihoods(tau: FloatArray, values: FloatArray, errors: FloatArray) -> FloatArray:
    """Return those of some spreads τ, the mean integrated out. Shape [n_tau]."""
    weights = 1 / (errors**2 + tau[:, None] ** 2)
    total = weights.sum(axis=1)
    means = (weights @ values) / total
    squares = (weights * (values - means[:, None]) ** 2).sum(axis=1)
    return np.asarray(0.5 * (np.log(weights).sum(axis=1) - np.log(total) - squares))
