"""Diffusivities from mean squared displacements: where they are diffusive, their slope, and how sure it is.

**Window.** At lags τ in geometric progression the local exponent β(τ) = log2[MSD(2τ)/MSD(τ)] is compared with 1. The
window starts at the smallest τ from which on β stays within the tolerance (or within three of its own standard
deviations, where those are larger) up to a quarter of the trajectory, or up to where these three exceed one half; it
ends at the larger of twice its start and a tenth of the trajectory. From the long side, because vibrations too pass
through β = 1 between ballistic flight (2) and the cage (0).

**Slope.** Generalised least squares of MSD = a + 2 d D τ over the window, with the covariance of overlapping time
averages of a Brownian path (`brownian_covariance`); the offset a takes up vibrations. The estimate is linear in the
MSD: the same weights serve every ion and axis. So that the shortest lags, which are sharpest, do not decide alone,
every lag may deviate from the line by 2 % of itself besides its noise: this only spreads the weights. Compare
McCluskey, Coles, Morgan, J. Chem. Theory Comput. 2025, 21, 79 (10.1021/acs.jctc.4c01249) and Bulerjahn, von Bülow,
Hummer, J. Chem. Phys. 2020, 153, 024116 (10.1063/5.0008312).

**Uncertainty.** The larger of two standard errors: that of Brownian motion, and that of a bootstrap over blocks, one
block per replica and ion; both times the square root of the design effect, by which ions that hop together count
as fewer. Where three or more replicas scatter by more than this allows (1 % level), their scatter is taken instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import chi2, norm, t

from ..fitting.settings import FrozenSettings
from .mean_squared_displacement import brownian_covariance

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CONFIDENCE = 0.95
"""Probability that an interval holds the true value."""
LARGEST_LAG_FRACTION = 0.5
"""Part of the trajectory that the longest lag may cover: twice the last lag at which the exponent is looked at."""
SCATTER_LEVEL = 0.01
"""Probability with which replicas of equal systems would scatter by more; below it they are held to differ."""
_WINDOW_FRACTION = 0.1
_SURE_SIGMA = 3.0
# However noisy the exponent is, this far from 1 is not diffusion: it is the cage (0) or ballistic flight (2).
_LARGEST_DEVIATION = 0.5
# Part of a mean squared displacement by which it may deviate from the line for other reasons than noise.
_MODEL_ERROR = 0.02
_FEWEST_REPLICAS_TO_TEST = 3
_FEWEST_STEPS_TO_TEST = 20
# Below this many standard errors, an interval that scales with the value would exclude zero, which it must not.
_SURELY_POSITIVE = 3.0
_NORMAL_QUANTILE = float(norm.ppf(0.5 + CONFIDENCE / 2))


class Estimate(BaseModel):
    """A value with its 95 % interval and standard error; the name of the field that holds it has the unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    standard_error: float

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate times a positive factor."""
        return Estimate(**{name: factor * number for name, number in self.model_dump().items()})

    def contains(self, value: float) -> bool:
        """Return whether ``value`` is in the interval."""
        return self.low <= value <= self.high


class TransportSettings(FrozenSettings):
    """How diffusivities are taken from trajectories."""

    exponent_tolerance: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Largest deviation from 1 of the mean squared displacement's local exponent that counts as"
        " diffusive (no unit)",
    )
    minimum_displacement_A: float = Field(
        1.5,
        ge=0,
        le=100,
        description="Root-mean-square displacement that the mobile ions must reach within the window; below it the"
        " result says nothing but an upper bound (Å)",
    )
    bootstrap_samples: int = Field(2000, ge=100, le=1_000_000, description="Samples of every bootstrap (number)")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the bootstrap (no unit)")


@dataclass(frozen=True)
class Window:
    """The lags that are fitted.

    Attributes
    ----------
    start, end
        First and last lag (frames).
    diffusive
        Whether the displacement grows linearly there; if not, these are just the longest lags.
    exponent
        Local exponent at the start.
    """

    start: int
    end: int
    diffusive: bool
    exponent: float

    def chosen(self, lags: IntArray) -> NDArray[np.bool_]:
        """Return which lags are in the window."""
        return (lags >= self.start) & (lags <= self.end)


def local_exponents(lags: IntArray, displacements_A2: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the lags whose double is within reach too, and log2[MSD(2τ)/MSD(τ)] there, both [n]."""
    known = lags[2 * lags <= lags[-1]]
    logarithm = np.log(np.maximum(displacements_A2, np.finfo(float).tiny))
    doubled = np.interp(np.log(2 * known), np.log(lags), logarithm)
    return known, (doubled - logarithm[: len(known)]) / np.log(2.0)


def find_window(
    lags: IntArray, displacements_A2: FloatArray, n_frames: int, n_series: float, settings: TransportSettings
) -> Window:
    """Return the diffusive window by the rule that this module states.

    Parameters
    ----------
    lags
        From `spread_lags` of half the trajectory (frames), shape [n_lags].
    displacements_A2
        Mean squared displacement there, shape [n_lags] (Å²).
    n_series
        Independent one-dimensional paths in the mean: axes times ions times replicas.
    """
    known, exponents = local_exponents(lags, displacements_A2)
    # Var(MSD)/MSD² of one Brownian path is 4/3 lag/length; the two lags are taken as independent.
    noise = np.sqrt(2.0 * 4.0 / 3.0 * 2.0 * known / (n_frames * n_series)) / np.log(2.0)
    # Where noise alone may take the exponent from a cage's to diffusion's, it tells nothing and is not looked at.
    telling = _SURE_SIGMA * noise <= _LARGEST_DEVIATION
    if telling.any():
        known, exponents, noise = known[telling], exponents[telling], noise[telling]
    allowed = np.clip(_SURE_SIGMA * noise, settings.exponent_tolerance, _LARGEST_DEVIATION)
    wrong = np.flatnonzero(np.abs(exponents - 1.0) > allowed)
    first = int(wrong[-1]) + 1 if len(wrong) else 0
    diffusive = first < len(known)
    chosen = min(first, len(known) - 1)
    start = int(known[chosen])
    end = int(max(2 * start, _WINDOW_FRACTION * n_frames))
    return Window(start, min(end, int(lags[-1])), diffusive, float(exponents[chosen]))


@lru_cache(maxsize=32)
def _known_covariance(n_frames: int, lags: tuple[int, ...]) -> FloatArray:
    return brownian_covariance(n_frames, np.array(lags, dtype=np.int64))


def slope_weights(n_frames: int, lags: IntArray, n_series: float) -> tuple[FloatArray, float]:
    """Return the weights that make MSDs a slope per frame, [n_lags], and the slope's relative variance per path.

    Generalised least squares with offset: w = e₂ᵀ (XᵀM⁻¹X)⁻¹ XᵀM⁻¹, M = C/n + diag(ε τ)², C the covariance of a
    Brownian path and ε what a lag may deviate from the line. The variance is wᵀCw.

    Parameters
    ----------
    n_series
        One-dimensional paths in the mean, n.
    """
    covariance = _known_covariance(n_frames, tuple(lags.tolist()))
    model = covariance / n_series + np.diag((_MODEL_ERROR * lags) ** 2)
    scale = np.sqrt(np.diag(model))
    # Scaled to unit variances: they span many orders of magnitude.
    factor = cho_factor(model / np.outer(scale, scale))
    design = np.stack([np.ones(len(lags)), lags.astype(float)], axis=1) / scale[:, None]
    solved = cho_solve(factor, design)
    weights = np.linalg.solve(design.T @ solved, solved.T)[1] / scale
    return weights, float(weights @ covariance @ weights)


def interval(value: float, standard_error: float) -> Estimate:
    """Return a non-negative estimate with its 95 % interval.

    A slope is a quadratic form of the path: its error grows with its true size. ``value`` times ν over the
    quantiles of χ² with ν = 2 (value/error)² degrees of freedom has the right skewness; near zero the interval is
    normal and cut at zero.
    """
    if standard_error <= 0:
        return Estimate(value=max(value, 0.0), low=max(value, 0.0), high=max(value, 0.0), standard_error=0.0)
    if value > _SURELY_POSITIVE * standard_error:
        freedom = 2.0 * (value / standard_error) ** 2
        tail = (1.0 - CONFIDENCE) / 2
        low, high = value * freedom / chi2.ppf([1.0 - tail, tail], freedom)
        return Estimate(value=value, low=float(low), high=float(high), standard_error=standard_error)
    half = _NORMAL_QUANTILE * standard_error
    best = max(value, 0.0)
    return Estimate(value=best, low=max(value - half, 0.0), high=best + half, standard_error=standard_error)


def design_effect(positions_A: Sequence[FloatArray]) -> float:
    """Return by how much more the sum of the ions' squared displacements varies than if they were independent, >= 1.

    Kish's design effect, over the displacements from frame to frame: 1 for independent ions, k where k of them always
    move together, in the same direction or not.

    Parameters
    ----------
    positions_A
        Per replica, shape [n_frames, n_ions, 3] (Å), without drift.
    """
    together, apart, count = 0.0, 0.0, 0
    for positions in positions_A:
        squares = np.sum(np.diff(positions, axis=0) ** 2, axis=2)
        if len(squares) < 2:
            continue
        count += len(squares)
        together += float(np.var(squares.sum(axis=1), ddof=1)) * len(squares)
        apart += float(np.var(squares, axis=0, ddof=1).sum()) * len(squares)
    return max(1.0, together / apart) if apart > 0 and count >= _FEWEST_STEPS_TO_TEST else 1.0


def bootstrap_error(values: FloatArray, samples: int, seed: int) -> float:
    """Return the standard error of the mean of blocks by resampling them, shape [n_blocks]; 0 for fewer than two."""
    count = len(values)
    if count < 2:
        return 0.0
    random = np.random.default_rng(seed)
    # The means of resampled blocks scatter by (n-1)/n of the variance that is wanted.
    counts = random.multinomial(count, np.full(count, 1.0 / count), size=samples)
    return float(np.std(counts @ values / count, ddof=1) * np.sqrt(count / (count - 1)))


@dataclass(frozen=True)
class SlopeSample:
    """Slopes of independent blocks, and what Brownian motion says of them.

    Attributes
    ----------
    slopes
        One per replica and block (ion), shape [n_replicas, n_blocks].
    lengths
        Frames of each replica, shape [n_replicas].
    path_error
        Standard error of one block's slope for Brownian motion, in a replica of ``lengths.mean()`` frames.
    """

    slopes: FloatArray
    lengths: FloatArray
    path_error: float
    design_effect: float = 1.0

    def mean_and_error(self, settings: TransportSettings) -> tuple[float, float, bool]:
        """Return mean, standard error, and whether the replicas scatter by more than chance allows."""
        n_replicas, n_blocks = self.slopes.shape
        # The variance of a slope falls with the length of its replica.
        weights = self.lengths / self.lengths.sum()
        by_replica = self.slopes.mean(axis=1)
        mean = float(weights @ by_replica)
        brownian = self.path_error / np.sqrt(n_replicas * n_blocks)
        weighted = (self.slopes * (n_replicas * weights)[:, None]).ravel()
        blocks = bootstrap_error(weighted, settings.bootstrap_samples, settings.seed) if n_blocks > 1 else 0.0
        error = float(max(brownian, blocks) * np.sqrt(self.design_effect))
        if n_replicas < _FEWEST_REPLICAS_TO_TEST or error <= 0:
            return mean, error, False
        scatter = float(np.sum(n_replicas * weights * (by_replica - mean) ** 2))
        expected = n_replicas * error**2
        if chi2.sf(scatter / expected, n_replicas - 1) >= SCATTER_LEVEL:
            return mean, error, False
        of_replicas = np.sqrt(scatter / (n_replicas - 1) / n_replicas)
        widened = of_replicas * t.ppf(0.5 + CONFIDENCE / 2, n_replicas - 1) / _NORMAL_QUANTILE
        return mean, float(max(error, widened)), True
