"""Diffusivities from mean squared displacements: the slope at long times, and how sure it is.

**Slope.** Slopes at lags in geometric progression (`.displacement_scales`) are held against models of how they reach
their asymptote, none of which is taken for granted (`.crossover`): the asymptote is their mixture. The window that is
named is the shortest scale whose slope the models put within half its noise of it.

**Interval.** The quantiles of that mixture, with two kinds of noise: that of Brownian paths, whose variance goes with
the square of the diffusivity (the squares of one path are few), and that of events, which goes with the diffusivity
(hops are counted): what blocks in time, over all ions jointly, scatter by beyond Brownian motion, with Student's t for
their number. Ions that hop together, in bursts or in a common direction, so count as often as they are independent.

**Collective displacement and single axes.** Their crossover is likely that of the ions' mean, so they start from it.

Whether it is diffusion at all is asked in `ionloop.analysis.conductivity.linearity`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import norm, t

from ...fitting.settings import FrozenSettings
from .crossover import (
    Asymptote,
    CrossoverModels,
    Mixture,
    asymptotic_slope,
    crossover_models,
    joint_asymptote,
    mixture_quantiles,
)
from .displacement_scales import LONGEST_LAG, ScaleSlopes, scale_covariance, slope_matrix
from .linearity import LinearityCheck, check_linearity, is_unfinished, power_law
from .mean_squared_displacement import brownian_covariance

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CONFIDENCE = 0.95
"""Probability that an interval holds the true value."""
# Part of its noise by which the slope of the window may be off.
_LARGEST_BIAS = 0.5
_LEVELS = (0.5, (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
_NORMAL_QUANTILE = float(norm.ppf(_LEVELS[2]))


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


NOTHING = Estimate(value=0.0, low=0.0, high=0.0, standard_error=0.0)
"""What does not move at all."""


class TransportSettings(FrozenSettings):
    """How diffusivities are taken from trajectories."""

    exponent_tolerance: float = Field(
        0.03,
        gt=0,
        le=0.5,
        description="Deviation from 1 of the exponent of the mean squared displacement over a decade or more of time,"
        " from which on it counts as not diffusive where it is sure (no unit)",
    )
    minimum_displacement_A: float = Field(
        3.0,
        ge=0,
        le=100,
        description="Root-mean-square displacement by diffusion that the mobile ions must reach in the trajectory, a"
        " hop or more; below it the result says nothing but an upper bound (Å)",
    )
    bootstrap_samples: int = Field(
        2000,
        ge=100,
        le=1_000_000,
        description="Without effect since intervals no longer need a bootstrap; kept for older files (number)",
    )
    seed: int = Field(
        1, ge=0, le=2**31 - 1, description="Without effect, as bootstrap_samples; kept for older files (no unit)"
    )


@dataclass(frozen=True)
class Window:
    """The lags that show the slope.

    Attributes
    ----------
    start, end
        First and last lag (frames); the same where the displacement grows linearly from the first frame on.
    diffusive
        Whether the displacement grows linearly there; if not, these are just the longest lags.
    exponent
        Exponent of the displacement over all longer lags.
    """

    start: int
    end: int
    diffusive: bool
    exponent: float

    def chosen(self, lags: IntArray) -> NDArray[np.bool_]:
        """Return which lags are in the window."""
        return (lags >= self.start) & (lags <= self.end)


@dataclass(frozen=True)
class Diffusion:
    """A diffusivity and what it came from, in Å² per frame.

    Attributes
    ----------
    estimate
        The diffusivity.
    asymptote, window, check
        The mixture over models, the window, and what speaks against diffusion.
    event
        Variance that comes with events, over the square of the slope, and the same times Student's widening.
    models
        Models of the crossover.
    """

    estimate: Estimate
    asymptote: Asymptote | None
    window: Window
    check: LinearityCheck
    event: tuple[float, float]
    models: CrossoverModels | None
    covariance: FloatArray | None = None
    ratio: Mixture | None = None


def find_window(
    lags: IntArray, displacements_A2: FloatArray, n_frames: int, n_series: float, settings: TransportSettings
) -> Window:
    """Return the shortest lags whose slope is free of bias as far as the noise can tell.

    Parameters
    ----------
    lags
        From `spread_lags` of half the trajectory (frames), shape [n_lags].
    displacements_A2
        Mean squared displacement there, shape [n_lags] (Å²).
    n_series
        Independent one-dimensional paths in the mean: axes times ions times replicas.
    """
    wanted = [1]
    for lag in np.asarray(lags).tolist():
        if lag >= max(wanted[-1] * 2**0.5 - 0.1, wanted[-1] + 1) and lag <= max(LONGEST_LAG * n_frames, 2):
            wanted.append(int(lag))
    scales = tuple(wanted)
    curve = np.interp(scales, lags, displacements_A2)
    slopes = slope_matrix(scales) @ curve
    covariance = scale_covariance(n_frames, scales) / n_series
    models = crossover_models(scales)
    asymptote = asymptotic_slope(slopes, covariance, models)
    law = power_law(slopes, asymptote, covariance, scales, models)
    anomalous = law.deviates(settings.exponent_tolerance)
    diffusive = not (anomalous or is_unfinished(asymptote, scales, float(curve[-1])))
    return _window(asymptote, covariance, scales, law.exponent, diffusive)


def _window(
    asymptote: Asymptote, covariance: FloatArray, lags: tuple[int, ...], exponent: float, diffusive: bool
) -> Window:
    noise = np.sqrt(np.diag(covariance)) * max(asymptote.mean, 0.0)
    free = np.flatnonzero(asymptote.bias <= _LARGEST_BIAS * noise)
    scale = int(free[0]) if len(free) and diffusive else len(lags) - 1
    return Window(lags[max(scale - 1, 0)], lags[scale], diffusive, exponent)


def slope_weights(n_frames: int, lags: IntArray, n_series: float) -> tuple[FloatArray, float]:
    """Return the weights that make MSDs a slope per frame, [n_lags], and the slope's relative variance per path.

    Generalised least squares with offset, w = e₂ᵀ (XᵀC⁻¹X)⁻¹ XᵀC⁻¹, C the covariance of a Brownian path; through the
    origin for a single lag. The variance is wᵀCw.

    Parameters
    ----------
    n_series
        One-dimensional paths in the mean.
    """
    lags = np.asarray(lags, dtype=np.int64)
    covariance = brownian_covariance(n_frames, lags) / n_series
    if len(lags) == 1:
        return np.array([1.0 / lags[0]]), float(covariance[0, 0] * n_series / lags[0] ** 2)
    scale = np.sqrt(np.diag(covariance))
    # Scaled to unit variances: they span many orders of magnitude.
    factor = cho_factor(covariance / np.outer(scale, scale))
    design = np.stack([np.ones(len(lags)), lags.astype(float)], axis=1) / scale[:, None]
    solved = cho_solve(factor, design)
    weights = np.linalg.solve(design.T @ solved, solved.T)[1] / scale
    return weights, float(weights @ covariance @ weights * n_series)


def diffusion(displacements: ScaleSlopes, settings: TransportSettings) -> Diffusion:
    """Return the diffusivity of ions from their displacements in all replicas."""
    slopes = displacements.slopes
    if not displacements.mean_A2.any():
        return _at_rest(displacements)
    ratios = np.sqrt(displacements.scatter_ratios())
    covariance = displacements.brownian * np.outer(ratios, ratios)
    hop_time = _hop_time(displacements)
    models = crossover_models(displacements.lags, hop_time)
    asymptote = asymptotic_slope(slopes, covariance, models)
    check = check_linearity(displacements, asymptote, covariance, models, settings.exponent_tolerance)
    window = _window(asymptote, covariance, displacements.lags, check.law.exponent, check.linear)
    event = _event_variance(displacements, asymptote.mean)
    return _with_estimate(displacements, asymptote, window, check, event, models, covariance)


def alike(displacements: ScaleSlopes, ions: Diffusion, of_ions: ScaleSlopes) -> Diffusion:
    """Return the diffusivity of displacements of the same ions, fitted jointly: a sum of them, one axis."""
    if ions.asymptote is None or ions.models is None or not displacements.mean_A2.any():
        return _at_rest(displacements)
    apart = np.sqrt(of_ions.paired_ratios(displacements))
    covariance = ions.covariance + (displacements.brownian - of_ions.brownian) * np.outer(apart, apart)
    joint = joint_asymptote(
        (of_ions.slopes, ions.covariance), (displacements.slopes, covariance), ions.asymptote, ions.models
    )
    asymptote = joint.asymptote
    window = _window(asymptote, covariance, displacements.lags, ions.window.exponent, ions.window.diffusive)
    # Their events are the ions'; by what else they scatter apart is in their covariance.
    found = _with_estimate(displacements, asymptote, window, ions.check, ions.event, ions.models, covariance)
    return replace(found, ratio=joint.ratio)


def _at_rest(displacements: ScaleSlopes) -> Diffusion:
    lags = displacements.lags
    window = Window(lags[-2], lags[-1], False, 0.0)
    return Diffusion(NOTHING, None, window, LinearityCheck.at_rest(), (0.0, 0.0), None)


def _hop_time(displacements: ScaleSlopes) -> float:
    """Return the time between events of an ion (frames) as the counting noise of short scales has it."""
    found = displacements.common_variance()
    if not len(found) or found[:, 1].min() <= 0:
        return 0.0
    # Sharp scales count most; vibrations only add to it, which keeps long crossovers possible.
    variance = float(np.average(found[:, 0], weights=found[:, 1] ** -2.0))
    slope = max(float(np.median(displacements.slopes)), 1e-9 * abs(float(displacements.slopes[0])))
    frames = sum(one.n_frames for one in displacements.replicas)
    return displacements.paths * frames * variance / slope**2


def _event_variance(displacements: ScaleSlopes, slope: float) -> tuple[float, float]:
    """Return the relative variance that comes with events, and the same times Student's widening squared.

    It is what the squares of single steps scatter by in blocks of time beyond Brownian motion, as far as the slope of a
    longer scale goes along with it: all of it where every hop counts, a part where most hops are taken back.
    """
    variance, freedom, follows = displacements.events()
    if slope <= 0:
        return 0.0, 0.0
    event = follows**2 * variance / slope**2
    return event, event * float(t.ppf(_LEVELS[2], freedom) / _NORMAL_QUANTILE) ** 2


def _with_estimate(
    displacements: ScaleSlopes,
    asymptote: Asymptote,
    window: Window,
    check: LinearityCheck,
    event: tuple[float, float],
    models: CrossoverModels,
    covariance: FloatArray,
) -> Diffusion:
    per_slope = 1.0 / (2 * len(displacements.axes))
    quantum = event[1] * max(asymptote.mean, 0.0)
    middle, low, high = mixture_quantiles(asymptote.mixture, quantum, _LEVELS) * per_slope
    # That of the interval: a mixture has longer tails than its middle tells.
    error = float(high - low) / (2 * _NORMAL_QUANTILE)
    estimate = Estimate(value=float(middle), low=float(low), high=float(high), standard_error=error)
    return Diffusion(estimate, asymptote, window, check, event, models, covariance)


def upper_bound(found: Diffusion, displacements: ScaleSlopes) -> Estimate:
    """Return the estimate of what is not known to diffuse: from zero to what the longest lag leaves possible."""
    if found.asymptote is None:
        return found.estimate
    last, axes = len(displacements.lags) - 1, list(displacements.axes)
    # The fastest replica, and the faster half where they differ: what is the mean of unlike things is none of them.
    rise = max(float(one.mean_A2[last, axes].sum()) for one in displacements.replicas) / displacements.lags[last]
    ratio = found.check.later_over_earlier if found.check.changes else 1.0
    rise *= 2.0 * max(ratio, 1.0) / (1.0 + ratio) if np.isfinite(ratio) else 2.0
    noise = len(displacements.replicas) * (float(displacements.brownian[last, last]) + found.event[1])
    bound = rise / (2 * len(axes)) * (1.0 + _NORMAL_QUANTILE * float(np.sqrt(noise)))
    return found.estimate.model_copy(update={"low": 0.0, "high": max(found.estimate.high, bound)})


def ratio(first: Diffusion, second: Diffusion) -> Estimate | None:
    """Return the ratio of two diffusivities of the same paths; None where one of them may be zero.

    Events are the same in both and drop out, but for those that only the second sees: what remains is the noise of
    the two models. The second is the noisier and χ²-like, so its inverse has the skewness of its own interval.
    """
    if first.estimate.low <= 0 or second.estimate.low <= 0 or second.ratio is None:
        return None
    middle, high, low = 1.0 / np.maximum(mixture_quantiles(second.ratio, 0.0, _LEVELS), np.finfo(float).tiny)
    return Estimate(value=float(middle), low=float(low), high=float(high), standard_error=float(high - low) / (2 * _NORMAL_QUANTILE))
