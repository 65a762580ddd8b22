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

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import FloatArray
from ...core.settings import FrozenModel
from ..distributions import normal_quantile, student_quantile
from .crossover import (
    Asymptote,
    CrossoverModels,
    Mixture,
    asymptotic_slope,
    crossover_models,
    joint_asymptote,
    mixture_quantiles,
)
from .displacement_scales import (
    ScaleSlopes,
    SlopeNoise,
    event_covariance,
    scale_covariance,
    scale_lags,
    slope_matrix,
)
from .linearity import LinearityCheck, check_curve, check_linearity
from .transport_settings import TransportSettings

CONFIDENCE = 0.95
"""Probability that an interval holds the true value."""
# Variances are taken from some twenty blocks: that of Student's t for as many degrees of freedom.
_OF_FEW_BLOCKS = 1.13
# Part of its noise by which the slope of the window may be off.
_LARGEST_BIAS = 0.5
_LEVELS = (0.5, (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
_FEWEST_FRAMES = 20


class Estimate(FrozenModel):
    """A value with its 95 % interval and standard error; the name of the field that holds it has the unit."""

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
    noise
        Noise of the slopes.
    ratio
        Of what was fitted jointly with the ions: its slope over theirs.
    """

    estimate: Estimate
    asymptote: Asymptote | None
    window: Window
    check: LinearityCheck
    event: tuple[float, float]
    models: CrossoverModels | None
    noise: SlopeNoise | None = None
    ratio: Mixture | None = None


def _window(asymptote: Asymptote, noise: SlopeNoise, lags: tuple[int, ...], exponent: float, diffusive: bool) -> Window:
    scatter = np.sqrt(np.diag(noise.covariance(np.full(len(lags), max(asymptote.mean, 0.0)))))
    free = np.flatnonzero(asymptote.bias <= _LARGEST_BIAS * scatter)
    scale = int(free[0]) if len(free) and diffusive else len(lags) - 1
    return Window(lags[max(scale - 1, 0)], lags[scale], diffusive, exponent)


def diffusion(displacements: ScaleSlopes, settings: TransportSettings) -> Diffusion:
    """Return the diffusivity of ions from their displacements in all replicas."""
    slopes = displacements.slopes
    if not displacements.mean_A2.any():
        return _at_rest(displacements)
    noise, event = noise_of(displacements)
    models = crossover_models(displacements.lags, _hop_time(displacements, event[0]))
    asymptote = asymptotic_slope(slopes, noise, models)
    check = check_linearity(
        displacements, asymptote, noise.covariance(asymptote.size), models, settings.exponent_tolerance
    )
    window = _window(asymptote, noise, displacements.lags, check.law.exponent, check.linear)
    return _with_estimate(len(displacements.axes), asymptote, window, check, event, models, noise)


def diffusion_of_curve(
    mean_square_A2: Callable[[FloatArray], FloatArray],
    n_frames: int,
    n_ions: int,
    *,
    hop_time: float | None = None,
    settings: TransportSettings | None = None,
) -> Diffusion:
    """Return what a trajectory whose displacements had no noise would say: the analysis against a known answer.

    The interval is that of a trajectory of that many frames and independent ions; the estimate is off from the slope of
    the curve at long times by what the analysis itself adds. It also tells beforehand how long to run for a
    crossover that is known.

    Parameters
    ----------
    mean_square_A2
        Gives the exact mean squared displacement, sum over three axes (Å²), at lags (frames), both of shape [n_lags].
    hop_time
        Mean time between two hops of an ion (frames): their number has noise, and crossovers that last for much longer
        are rare. 0: it moves by small steps. None: not known; the number of hops has no noise, and all times are as
        likely.

    Raises
    ------
    ValueError
        If there are fewer frames than 20 or fewer ions than one, or the curve is not finite.
    """
    if n_frames < _FEWEST_FRAMES or n_ions < 1 or (hop_time or 0.0) < 0:
        raise ValueError(f"a curve needs {_FEWEST_FRAMES} frames and an ion, not {n_frames} and {n_ions}")
    lags = scale_lags(n_frames)
    squares = np.asarray(mean_square_A2(np.array(lags, dtype=float)), dtype=float)
    if squares.shape != (len(lags),) or not np.isfinite(squares).all() or squares[-1] <= 0:
        raise ValueError("a mean squared displacement must be finite, and above 0 at long lags")
    slopes = slope_matrix(lags) @ squares
    event = (hop_time or 0.0) / (n_ions * n_frames)
    brownian = scale_covariance(n_frames, lags) / (3.0 * n_ions)
    noise = SlopeNoise(_OF_FEW_BLOCKS * brownian, np.zeros(len(lags)), event * event_covariance(n_frames, lags))
    models = crossover_models(lags, hop_time)
    asymptote = asymptotic_slope(slopes, noise, models)
    check = check_curve(
        (lags, slopes),
        asymptote,
        (noise.covariance(asymptote.size), brownian),
        models,
        (settings or TransportSettings()).exponent_tolerance,
    )
    window = _window(asymptote, noise, lags, check.law.exponent, check.linear)
    return _with_estimate(3, asymptote, window, check, (event, event), models, noise)


def noise_of(displacements: ScaleSlopes) -> tuple[SlopeNoise, tuple[float, float]]:
    """Return the noise of slopes of ions, and the relative variance that all scales have in common.

    The latter comes with events; the second time it has Student's widening squared.
    """
    event, freedom = displacements.events()
    at_ends = event * event_covariance(displacements.n_frames, displacements.lags)
    # Counts of few events are skewed: their scatter is known half as well as that of normal ones.
    widening = student_quantile(_LEVELS[2], 0.5 * freedom) / normal_quantile(_LEVELS[2])
    noise = SlopeNoise(_OF_FEW_BLOCKS * displacements.brownian, displacements.excess(), at_ends)
    return noise, (event, event * widening**2)


def alike(displacements: ScaleSlopes, ions: Diffusion, of_ions: ScaleSlopes) -> Diffusion:
    """Return the diffusivity of displacements of the same ions, fitted jointly: a sum of them, one axis."""
    if ions.asymptote is None or ions.models is None or ions.noise is None or not displacements.mean_A2.any():
        return _at_rest(displacements)
    brownian = displacements.brownian - of_ions.brownian
    apart = SlopeNoise(_OF_FEW_BLOCKS * brownian, of_ions.paired_excess(displacements), np.zeros_like(brownian))
    joint = joint_asymptote((of_ions.slopes, ions.noise), (displacements.slopes, apart), ions.asymptote, ions.models)
    asymptote = joint.asymptote
    noise = SlopeNoise(_OF_FEW_BLOCKS * displacements.brownian, apart.excess, apart.events)
    window = _window(asymptote, noise, displacements.lags, ions.window.exponent, ions.window.diffusive)
    # Their events are the ions'; by what else they scatter apart is in their noise.
    n_axes = len(displacements.axes)
    found = _with_estimate(n_axes, asymptote, window, ions.check, ions.event, ions.models, noise)
    return replace(found, ratio=joint.ratio)


def _at_rest(displacements: ScaleSlopes) -> Diffusion:
    lags = displacements.lags
    window = Window(lags[-2], lags[-1], False, 0.0)
    return Diffusion(NOTHING, None, window, LinearityCheck.at_rest(), (0.0, 0.0), None)


def _hop_time(displacements: ScaleSlopes, event: float) -> float:
    """Return the time between events of an ion (frames) as the counting noise has it."""
    return displacements.paths * sum(one.n_frames for one in displacements.replicas) * event


def _with_estimate(
    n_axes: int,
    asymptote: Asymptote,
    window: Window,
    check: LinearityCheck,
    event: tuple[float, float],
    models: CrossoverModels,
    noise: SlopeNoise,
) -> Diffusion:
    per_slope = 1.0 / (2 * n_axes)
    quantum = event[1] * max(asymptote.mean, 0.0)
    middle, low, high = mixture_quantiles(asymptote.mixture, quantum, _LEVELS) * per_slope
    # That of the interval: a mixture has longer tails than its middle tells.
    error = float(high - low) / (2 * normal_quantile(_LEVELS[2]))
    estimate = Estimate(value=float(middle), low=float(low), high=float(high), standard_error=error)
    return Diffusion(estimate, asymptote, window, check, event, models, noise)


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
    bound = rise / (2 * len(axes)) * (1.0 + normal_quantile(_LEVELS[2]) * float(np.sqrt(noise)))
    return found.estimate.model_copy(update={"low": 0.0, "high": max(found.estimate.high, bound)})


def ratio(first: Diffusion, second: Diffusion) -> Estimate | None:
    """Return the ratio of two diffusivities of the same paths; None where one of them may be zero.

    Events are the same in both and drop out, but for those that only the second sees: what remains is the noise of
    the two models. The second is the noisier and χ²-like, so its inverse has the skewness of its own interval.
    """
    if first.estimate.low <= 0 or second.estimate.low <= 0 or second.ratio is None:
        return None
    middle, high, low = 1.0 / np.maximum(mixture_quantiles(second.ratio, 0.0, _LEVELS), np.finfo(float).tiny)
    return Estimate(
        value=float(middle),
        low=float(low),
        high=float(high),
        standard_error=float(high - low) / (2 * normal_quantile(_LEVELS[2])),
    )
