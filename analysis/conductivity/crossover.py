"""How displacements come to grow linearly: the slope at long times from slopes at all, with what that is unsure of.

Vibrations, back-hops and crowding let the slope D(τ) of a mean squared displacement fall (or rise) towards its
asymptote over times that nobody knows beforehand. A window that starts too early is biased, one that starts late is
noisy, and the noise is what hides the bias. So no window is taken for granted: D(τ) = D [1 + Σ Aᵢ exp(-τ/θᵢ)] with
none, one or two terms, times θ from a frame to a third of the longest lag and amplitudes A of all sizes is held
against the slopes; every such model gives D by generalised least squares with its own error, and a weight by Bayes'
rule (its evidence). The result is their mixture (Hoeting, Madigan, Raftery, Volinsky, Stat. Sci. 1999, 14, 382,
10.1214/ss/1009212519): narrow where the slopes agree from the first frame on, as wide as the crossover leaves it
where they do not, and with the share of models that the noise cannot exclude.

Collective displacements are noisier than those of single ions. They start from the tracer's curve, scaled: that their
crossover is that of the tracer, or any part of it, or as it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import chi2, gamma

FloatArray = NDArray[np.float64]

# Shares of the models before any data: no crossover, one, two.
_NONE, _ONE, _TWO = 0.3, 0.25, 0.45
# Amplitudes over the asymptote: of one term; of the slower of two, whose faster one (vibrations) is of any size.
_AMPLITUDES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_SLOW_AMPLITUDES = (0.1, 0.3, 1.0)
_FAST_AMPLITUDE = 3.0
_FIRST_TIME = 0.7  # frames
_LONGEST_TIME = 0.35  # of the longest lag: a slower crossover cannot be told from a change of the asymptote
_TIMES = 10
_SHADES = (-1.0, -0.5, 0.0, 0.5, 1.0)  # a term stands for all times up to halfway to the next: halves of steps
# Memory of more than this many hops becomes rarer with its length.
_HOPS_REMEMBERED = 4.0
_ROUNDS = 2
_FEWEST_SCALES = 4
_FIT_LEVEL = 0.999
_LEAST_SLOPE = 1e-6  # of the largest: below it nothing moves
_JITTER = 1e-12
# Shares of a scaled tracer curve: its crossover taken over, or scaled by 1 ± 0.5, or 1 ± 1; the rest is free.
_SCALED = ((0.0, 0.15), (0.5, 0.25), (1.0, 0.6))
_FREE = 0.1
_NEGLIGIBLE = 3e-3
_GRID = np.linspace(-8.0, 8.0, 161)


@dataclass(frozen=True)
class CrossoverModels:
    """Deviations of the slopes from their asymptote: covariances over its square, and shares before data.

    Attributes
    ----------
    covariances
        Shape [n_models, n_scales, n_scales] (no unit).
    shares
        Shape [n_models], sum 1.
    """

    covariances: FloatArray
    shares: FloatArray


@dataclass(frozen=True)
class Asymptote:
    """The slope at long times as a mixture over models.

    Attributes
    ----------
    shares, values, variances
        Weight of each model, its slope and that slope's variance, shape [n_models] (Å² per frame, squared).
    size
        Slopes from which the noise was taken, shape [n_scales] (Å² per frame).
    deviation
        Slope of each scale over the asymptote, less 1, shape [n_scales].
    deviation_covariance
        Covariance of these over the models, shape [n_scales, n_scales].
    bias
        Root-mean-square deviation of each scale over the models, shape [n_scales] (Å² per frame).
    first
        The first scale that was used.
    """

    shares: FloatArray
    values: FloatArray
    variances: FloatArray
    size: FloatArray
    deviation: FloatArray
    deviation_covariance: FloatArray
    bias: FloatArray
    first: int

    @property
    def scale(self) -> float:
        """Size of the slope from which the noise of the longest scale was taken (Å² per frame)."""
        return float(self.size[-1])

    @property
    def mean(self) -> float:
        """Mean over the models (Å² per frame)."""
        return float(self.shares @ self.values)


def _decays(lags: Sequence[int], times: FloatArray) -> FloatArray:
    """Return the slopes of scales of an exponential of amplitude 1 for every time, shape [n_times, n_scales]."""
    edges = np.array([0, *lags], dtype=float)
    fallen = times[:, None] * np.exp(-edges[None] / times[:, None])
    return np.asarray(-np.diff(fallen, axis=1) / np.diff(edges))


def crossover_models(lags: Sequence[int], hop_time: float | None = None) -> CrossoverModels:
    """Return the models for scales of these lags.

    Parameters
    ----------
    hop_time
        Time between two hops of an ion (frames), where known: much slower crossovers are rare.
    """
    times = np.geomspace(_FIRST_TIME, max(_LONGEST_TIME * lags[-1], 1.0), _TIMES)
    step = np.sqrt(times[1] / times[0])
    shades = np.stack([_decays(lags, times * step**shade) for shade in _SHADES])
    squares = np.einsum("sik,sil->ikl", shades, shades) / len(_SHADES)
    rarer = np.ones(_TIMES)
    if hop_time is not None:
        rarer = np.minimum(1.0, max(_HOPS_REMEMBERED * hop_time, 1.0) / times) ** 1.5
    n_scales = len(lags)
    covariances, shares = [np.zeros((1, n_scales, n_scales))], [np.array([_NONE])]
    # Large amplitudes are rarer than those below 1, by their size.
    falling = 1.0 / np.maximum(_AMPLITUDES, 1.0)
    one = np.outer(rarer / _TIMES, falling / falling.sum())
    covariances.append((np.square(_AMPLITUDES)[None, :, None, None] * squares[:, None]).reshape(-1, n_scales, n_scales))
    shares.append(_ONE * one.ravel())
    fast, slow = np.triu_indices(_TIMES, 2)
    both = _FAST_AMPLITUDE**2 * squares[fast][:, None]
    both = both + np.square(_SLOW_AMPLITUDES)[None, :, None, None] * squares[slow][:, None]
    covariances.append(both.reshape(-1, n_scales, n_scales))
    shares.append(_TWO * np.repeat(rarer[slow], len(_SLOW_AMPLITUDES)) / (len(fast) * len(_SLOW_AMPLITUDES)))
    weights = np.concatenate(shares)
    return CrossoverModels(np.concatenate(covariances), weights / weights.sum())


def scaled_models(asymptote: Asymptote, free: CrossoverModels) -> CrossoverModels:
    """Return the models of a curve whose crossover resembles that of ``asymptote``; ``free`` are those of any."""
    outer = np.outer(asymptote.deviation, asymptote.deviation)
    few = slice(0, 1 + _TIMES * len(_AMPLITUDES))  # two free terms need not be tried where the curve is scaled
    scaled = np.stack([asymptote.deviation_covariance + factor**2 * outer for factor, _ in _SCALED])
    shares = (1.0 - _FREE) * np.array([share for _, share in _SCALED])
    return CrossoverModels(
        np.concatenate([scaled, free.covariances[few]]),
        np.concatenate([shares, _FREE * free.shares[few] / free.shares[few].sum()]),
    )


def asymptotic_slope(
    slopes: FloatArray,
    covariance: FloatArray,
    models: CrossoverModels,
    deviation: FloatArray | None = None,
    start: int = 0,
) -> Asymptote:
    """Return the asymptote of slopes, of those scales from the first one on from which some model fits them.

    Parameters
    ----------
    slopes
        Of every scale, shape [n_scales].
    covariance
        Relative covariance of their noise, shape [n_scales, n_scales].
    deviation
        Slopes over the asymptote, less 1, that are expected, shape [n_scales]; none: 0.
    start
        First scale that is tried.
    """
    expected = np.ones(len(slopes)) if deviation is None else 1.0 + deviation
    least = _LEAST_SLOPE * float(np.abs(slopes).max())
    for first in range(min(start, len(slopes) - 1), max(len(slopes) - _FEWEST_SCALES, start) + 1):
        kept = slice(first, None)
        part = CrossoverModels(models.covariances[:, kept, kept], models.shares)
        found, misfit = _asymptote_of(slopes[kept], expected[kept], covariance[kept, kept], part, least)
        if misfit <= chi2.ppf(_FIT_LEVEL, max(len(slopes) - first - 1, 1)):
            break
    # What fits no model (vibrations that swing, ballistic flight) is as it was measured.
    missing = np.zeros((len(slopes), len(slopes)))
    missing[kept, kept] = found.deviation_covariance
    return replace(
        found,
        size=np.concatenate([np.maximum(np.abs(slopes[:first]), least), found.size]),
        deviation=np.concatenate([slopes[:first] / max(found.mean, 0.1 * found.scale) - 1.0, found.deviation]),
        deviation_covariance=missing,
        bias=np.concatenate([np.full(first, np.inf), found.bias]),
        first=first,
    )


def _asymptote_of(
    slopes: FloatArray, expected: FloatArray, covariance: FloatArray, models: CrossoverModels, least: float
) -> tuple[Asymptote, float]:
    """Return the asymptote of slopes, and χ² of the model that fits best."""
    size = _smoothed(slopes, expected, np.diag(covariance), least)
    for last in (*(False,) * (_ROUNDS - 1), True):
        scale = float(size[-1])
        deviations = models.covariances * scale**2
        total = covariance * np.outer(size, size) + deviations
        solved, precision, moment, evidence, misfit = _regressed(slopes, expected, total)
        shares = np.exp(evidence - evidence.max()) * models.shares
        shares /= shares.sum()
        values = moment / precision
        moved = np.einsum("pkl,pl->pk", deviations, solved[:, :, 1] - values[:, None] * solved[:, :, 0])
        fitted = shares @ (np.maximum(values, 0.1 * scale)[:, None] * expected + moved)
        if not last:
            # The noise of a slope goes with its true size: that of the smoothed curve, not of the noisy slope.
            size = np.maximum(fitted, np.maximum(0.2 * size, least))
    mean = max(float(shares @ values), 0.1 * scale)
    about = moved - shares @ moved
    found = Asymptote(
        shares=shares,
        values=values,
        variances=1.0 / precision,
        size=size,
        deviation=np.maximum(fitted / mean - 1.0, -0.9),
        deviation_covariance=np.einsum("p,pk,pl->kl", shares, about, about) / mean**2,
        bias=np.sqrt(shares @ (values[:, None] * (expected - 1.0) + moved) ** 2),
        first=0,
    )
    return found, float(misfit.min())


def _regressed(
    slopes: FloatArray, expected: FloatArray, total: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return C⁻¹ [expected, slopes], precision and moment of the amplitude, log evidence and χ² of every model."""
    size = np.sqrt(np.diagonal(total, axis1=1, axis2=2))
    total = total + _JITTER * np.eye(len(slopes)) * size[:, None, :] ** 2
    inverse = np.linalg.inv(np.linalg.cholesky(total))
    halves = inverse @ np.stack([expected, slopes], 1)
    solved = np.swapaxes(inverse, 1, 2) @ halves
    precision, moment = np.sum(halves[:, :, 0] ** 2, 1), np.sum(halves[:, :, 0] * halves[:, :, 1], 1)
    misfit = np.sum(halves[:, :, 1] ** 2, 1) - moment**2 / precision
    half_determinant = -np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(1)
    evidence = -half_determinant - 0.5 * (np.log(precision) + misfit)
    return solved, precision, moment, evidence, misfit


def log_evidence(slopes: FloatArray, asymptote: Asymptote, covariance: FloatArray, models: CrossoverModels) -> float:
    """Return the logarithm of the probability of the last of the slopes under all models, up to a constant."""
    last = slice(-len(slopes), None)
    size = asymptote.size[last]
    noise = covariance[last, last] * np.outer(size, size)
    total = noise + models.covariances[:, last, last] * asymptote.scale**2
    evidence = _regressed(slopes, np.ones(len(slopes)), total)[3]
    return float(logsumexp(evidence, b=models.shares))


def _smoothed(slopes: FloatArray, expected: FloatArray, variances: FloatArray, least: float) -> FloatArray:
    """Return a first guess of the true slopes: each the weighted mean of itself and all longer scales."""
    weights = 1.0 / variances
    if np.any(expected != 1.0):
        return np.asarray(expected * max(float(np.average(slopes / expected, weights=weights)), least))
    means = np.cumsum((weights * slopes)[::-1])[::-1] / np.cumsum(weights[::-1])[::-1]
    return np.maximum(means, least)


def mixture_quantiles(asymptote: Asymptote, quantum: float, levels: Sequence[float]) -> FloatArray:
    """Return quantiles of the confidence distribution of the asymptote (Å² per frame).

    An estimate of the true slope D has the variance g D² + k D: g of the model, which goes with the square, k the
    slope that one event (a hop) stands for, of which there are D/k. It is taken to follow a gamma distribution, which
    is χ² where k = 0 and close to Poisson's law where g = 0; the distribution is inverted for D (Garwood, Biometrika
    1936, 28, 437, 10.1093/biomet/28.3-4.437, who did so for counts).
    """
    kept = asymptote.shares > _NEGLIGIBLE
    shares = asymptote.shares[kept] / asymptote.shares[kept].sum()
    values, variances = asymptote.values[kept], asymptote.variances[kept]
    middle = max(float(shares @ values), 0.05 * asymptote.scale)
    spread = float(np.sqrt(shares @ (variances + (values - middle) ** 2) + quantum * middle)) / middle
    if spread < 1e-9:
        return np.full(len(levels), middle)
    true = middle * np.exp(_GRID * min(spread, 1.5))
    shape = true / ((variances / asymptote.scale**2)[:, None] * true + quantum)
    below = shares @ gamma.sf(np.maximum(values, 0.0)[:, None], shape, scale=true / shape)
    return np.asarray(np.interp(levels, np.maximum.accumulate(below), true))
