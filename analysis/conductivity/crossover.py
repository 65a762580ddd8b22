"""How displacements come to grow linearly: the slope at long times from slopes at all, with what that is unsure of.

Vibrations, back-hops and crowding let the slope D(τ) of a mean squared displacement fall towards its asymptote over
times that nobody knows beforehand. A window that starts too early is biased, one that starts late is noisy, and the
noise is what hides the bias. So no window is taken for granted: D(τ) = D [1 + Σ Aᵢ exp(-τ/θᵢ)] with none, one or two
terms, times θ from a frame to a third of the longest lag and amplitudes A of all sizes is held against the slopes;
every such model gives D by generalised least squares with its own error, and a weight by Bayes' rule (its evidence).
The result is their mixture (Hoeting, Madigan, Raftery, Volinsky, Stat. Sci. 1999, 14, 382, 10.1214/ss/1009212519):
narrow where the slopes agree from the first frame on, as wide as the crossover leaves it where they do not, and with
the share of models that the noise cannot exclude.

Slopes of what is reversible in time and has no inertia can but fall (its velocity's correlation is negative at all
times), so most models have A > 0; some have A < 0, for flights and hops that go on.

Collective displacements and single axes are noisier than all ions together. They are fitted jointly with these
(`joint_asymptote`): their crossover is that of the ions, any part of it, or as they like, and the noise that both have
drops out of their ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...core.arrays import FloatArray, IntArray
from ..distributions import chi2_quantile, gamma_tail
from .displacement_scales import SlopeNoise, falling, smoothed, steadied

# Shares of the models before any data: no crossover, one of any kind, a slow one, two. What hops in a solid vibrates as
# well: two are likelier than one that is fast; a slow one alone is a liquid's, or that of ions on a lattice.
_NONE, _ONE, _SLOW, _TWO = 0.27, 0.04, 0.16, 0.53
# Amplitudes over the asymptote of one term, and of the slower of two; what is between them is within their spread.
_AMPLITUDES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_SLOW_AMPLITUDES = (0.1, 0.3, 1.0, 3.0)
_AMPLITUDES_ALONE = (0.3, 1.0, 3.0, 10.0, 30.0)
_FAST_TIME = 3.0  # frames: longer times, up to five of these, are slow
# Above these sizes amplitudes are rarer, by their size: vibrations are often large, back-hops seldom (1/7: 1/3).
_COMMON, _COMMON_SLOW = 1.0, 0.3
_SPREAD = 0.5  # of an amplitude, over it
_RISING = (-0.1, -0.3, -0.7)
_SLOW_RISING = (-0.3,)
_RISING_SHARE = 0.05
_FACTORS = 2  # of the covariance of a term: times and amplitudes between those of the grid
_FAST_AMPLITUDES = (2.0, 20.0)  # of any sign: vibrations
_FIRST_TIME = 0.7  # frames
_LONGEST_TIME = 0.35  # of the longest lag: a slower crossover cannot be told from a change of the asymptote
# But back-hops last for a hop or more: that long, up to the longest lag, if hops are rare.
_HOPS_OF_CROSSOVER = 1.5
_TIMES = 8
_SHADES = (-1.0, -0.5, 0.0, 0.5, 1.0)  # a term stands for all times up to halfway to the next: halves of steps
# Memory of more than this many hops becomes rarer with its length, and of more than this part of the longest lag where
# ions move by small steps: cages of liquids last for any number of these.
_HOPS_REMEMBERED, _REMEMBERED = 3.0, 0.1
_ROUNDS = 2
_FEWEST_SCALES = 4
_FIT_LEVEL = 0.999
_LEAST_SLOPE = 1e-6  # of the largest: below it nothing moves
_JITTER = 1e-12


class _Part(NamedTuple):
    """Part of the ions' slower and faster term that another curve of theirs has, and how that spreads."""

    slow: float
    slow_spread: float
    fast: float
    fast_spread: float


# With their shares. Ions that take back their hops each for itself do so in their sum; where it is for the place that
# they left, the sum does not, though it vibrates as they do; groups of ions hop as one and vibrate less. The rest has a
# crossover of its own.
_COUPLINGS = ((_Part(1.0, 0.0, 1.0, 0.0), 0.4), (_Part(0.5, 0.5, 1.0, 0.0), 0.27), (_Part(0.5, 0.5, 0.5, 0.5), 0.27))
_OWN_SHARE = 0.06
_OWN_AMPLITUDES = (0.3, 1.0, 3.0)
_MOST_JOINT, _MOST_OWN = 20, 3
_NEGLIGIBLE = 3e-3
_GRID = np.linspace(-8.0, 8.0, 161)


@dataclass(frozen=True)
class CrossoverModels:
    """Deviations of the slopes from their asymptote, over it: means, covariances F Fᵀ, and shares before data.

    Attributes
    ----------
    means
        Shape [n_models, n_scales] (no unit).
    factors
        F, shape [n_models, n_scales, n_factors] (no unit).
    shares
        Shape [n_models], sum 1.
    """

    means: FloatArray
    factors: FloatArray
    shares: FloatArray

    def __getitem__(self, chosen: slice | IntArray) -> CrossoverModels:
        """Return some of the models, with the shares that they have among all."""
        return CrossoverModels(self.means[chosen], self.factors[chosen], self.shares[chosen])

    def from_scale(self, first: int) -> CrossoverModels:
        """Return the models of the scales from ``first`` on."""
        return CrossoverModels(self.means[:, first:], self.factors[:, first:], self.shares)


@dataclass(frozen=True)
class Mixture:
    """A slope as a mixture over models.

    Attributes
    ----------
    shares, values, variances
        Weight of each model, its slope and that slope's variance, shape [n_models] (Å² per frame, squared).
    scale
        Slope from which the variances were taken (Å² per frame).
    """

    shares: FloatArray
    values: FloatArray
    variances: FloatArray
    scale: float

    @property
    def mean(self) -> float:
        """Mean over the models (Å² per frame)."""
        return float(self.shares @ self.values)


@dataclass(frozen=True)
class Asymptote:
    """The slope at long times, and how the slopes come to it.

    Attributes
    ----------
    mixture
        The slope at long times.
    size
        Slopes from which the noise was taken, shape [n_scales] (Å² per frame).
    deviation
        Slope of each scale over the asymptote, less 1, shape [n_scales].
    bias
        Root-mean-square deviation of each scale over the models, shape [n_scales] (Å² per frame).
    first
        The first scale that was used.
    """

    mixture: Mixture
    size: FloatArray
    deviation: FloatArray
    bias: FloatArray
    first: int

    @property
    def mean(self) -> float:
        """Mean over the models (Å² per frame)."""
        return self.mixture.mean


@dataclass(frozen=True)
class JointAsymptote:
    """The asymptote of a second curve of the same ions, and its ratio to the first."""

    asymptote: Asymptote
    ratio: Mixture


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
    longest = float(np.clip(_HOPS_OF_CROSSOVER * (hop_time or 0.0), _LONGEST_TIME * lags[-1], lags[-1]))
    times = np.geomspace(_FIRST_TIME, max(longest, 1.0), _TIMES)
    step = np.sqrt(times[1] / times[0])
    shades = np.stack([_decays(lags, times * step**shade) for shade in _SHADES])
    mean = shades.mean(axis=0)
    squares = np.einsum("sik,sil->ikl", shades, shades) / len(_SHADES)
    free = _factors(squares)
    spread = _factors((1.0 + _SPREAD**2) * squares - np.einsum("ik,il->ikl", mean, mean))
    rarer = np.ones(_TIMES)
    if hop_time is not None:
        remembered = max(_HOPS_REMEMBERED * hop_time, _REMEMBERED * lags[-1])
        rarer = np.minimum(1.0, remembered / times) ** 1.5
    nothing = np.zeros((1, len(lags), _FACTORS))
    means, factors, shares = [np.zeros((1, len(lags)))], [np.concatenate([nothing, nothing], 2)], [np.array([_NONE])]

    def add(amplitudes: Sequence[float], common: float, slow: IntArray, fast: FloatArray, share: FloatArray) -> None:
        """Add a term of the times ``slow`` with all amplitudes, beside what ``fast`` leaves free."""
        sizes = np.array(amplitudes)
        rarity = common / np.maximum(np.abs(sizes), common)
        means.append((sizes[:, None, None] * mean[slow]).reshape(-1, len(lags)))
        of_term = sizes[:, None, None, None] * spread[slow]
        both = np.concatenate([of_term, np.broadcast_to(fast, of_term.shape)], axis=3)
        factors.append(both.reshape(-1, len(lags), 2 * _FACTORS))
        shares.append(np.outer(rarity / rarity.sum(), share).ravel())

    every, (fast, slow) = np.arange(_TIMES), np.triu_indices(_TIMES, 2)
    slowness = np.clip((times / _FAST_TIME) ** 1.5 - 1.0, 0.0, 10.0)
    falls = 1.0 - _RISING_SHARE
    of_one: tuple[tuple[Sequence[float], float], ...] = ((_AMPLITUDES, falls), (_RISING, _RISING_SHARE))
    of_slow: tuple[tuple[Sequence[float], float], ...] = ((_SLOW_AMPLITUDES, falls), (_SLOW_RISING, _RISING_SHARE))
    for amplitudes, share in of_one:
        add(amplitudes, _COMMON, every, 0.0 * free, share * _ONE * rarer / _TIMES)
    add(_AMPLITUDES_ALONE, _COMMON, every, 0.0 * free, _SLOW * rarer * slowness / max(slowness.sum(), 1.0))
    for amplitudes, share in of_slow:
        weight = share * _TWO * rarer[slow] / len(slow) / len(_FAST_AMPLITUDES)
        for amplitude in _FAST_AMPLITUDES:
            add(amplitudes, _COMMON_SLOW, slow, amplitude * free[fast], weight)
    weights = np.concatenate(shares)
    return CrossoverModels(np.concatenate(means), np.concatenate(factors), weights / weights.sum())


def _factors(covariances: FloatArray) -> FloatArray:
    """Return F of F Fᵀ close to covariances [n, n_scales, n_scales], shape [n, n_scales, _FACTORS]."""
    values, vectors = np.linalg.eigh(covariances)
    return np.asarray(vectors[:, :, -_FACTORS:] * np.sqrt(np.maximum(values[:, None, -_FACTORS:], 0.0)))


def asymptotic_slope(slopes: FloatArray, noise: SlopeNoise, models: CrossoverModels) -> Asymptote:
    """Return the asymptote of slopes, of those scales from the first one on from which some model fits them.

    Parameters
    ----------
    slopes
        Of every scale, shape [n_scales].
    noise
        Their noise.
    """
    least = _LEAST_SLOPE * float(np.abs(slopes).max())
    for first in range(max(len(slopes) - _FEWEST_SCALES, 0) + 1):
        found, misfit = _asymptote_of(slopes[first:], noise.from_scale(first), models.from_scale(first), least)
        if misfit <= chi2_quantile(_FIT_LEVEL, max(len(slopes) - first - 1, 1)):
            break
    return _with_skipped(found, slopes, first, least)


def _with_skipped(found: Asymptote, slopes: FloatArray, first: int, least: float) -> Asymptote:
    """Return an asymptote with the scales before the first: what fits no model (flights, swings) is as measured."""
    scale = max(found.mean, 0.1 * found.mixture.scale)
    return Asymptote(
        mixture=found.mixture,
        size=np.concatenate([np.maximum(np.abs(slopes[:first]), least), found.size]),
        deviation=np.concatenate([slopes[:first] / scale - 1.0, found.deviation]),
        bias=np.concatenate([np.full(first, np.inf), found.bias]),
        first=first,
    )


def _asymptote_of(
    slopes: FloatArray, noise: SlopeNoise, models: CrossoverModels, least: float
) -> tuple[Asymptote, float]:
    """Return the asymptote of slopes, and χ² of the model that fits best."""
    size = falling(smoothed(slopes, np.diag(noise.brownian), least), np.diag(noise.brownian))
    expected = 1.0 + models.means
    for last in (*(False,) * (_ROUNDS - 1), True):
        scale = float(size[-1])
        found = _regressed(slopes, expected[:, :, None], noise.covariance(size), scale * models.factors)
        shares = found.shares(models.shares)
        values = found.values[:, 0]
        fitted = shares @ (np.maximum(values, 0.1 * scale)[:, None] * expected + found.moved)
        if not last:
            # The noise of a slope goes with its true size: that of the smoothed curve, not of the noisy slope.
            size = falling(np.maximum(fitted, np.maximum(0.2 * size, least)), np.diag(noise.brownian))
    mixture = Mixture(shares, values, found.covariances[:, 0, 0], scale)
    asymptote = Asymptote(
        mixture=mixture,
        size=size,
        deviation=np.maximum(fitted / max(mixture.mean, 0.1 * scale) - 1.0, -0.9),
        bias=np.sqrt(shares @ (values[:, None] * models.means + found.moved) ** 2),
        first=0,
    )
    return asymptote, float(found.misfit.min())


@dataclass(frozen=True)
class _Regressed:
    """Coefficients [n_models, n] and their covariances, log evidence, χ², and what the factors moved slopes by."""

    values: FloatArray
    covariances: FloatArray
    evidence: FloatArray
    misfit: FloatArray
    moved: FloatArray

    def shares(self, before: FloatArray) -> FloatArray:
        """Return the shares of the models after data."""
        found = np.exp(self.evidence - self.evidence.max()) * before
        return np.asarray(found / found.sum())


def _regressed(slopes: FloatArray, designs: FloatArray, noise: FloatArray, factors: FloatArray) -> _Regressed:
    """Fit slopes [n_slopes] by designs [n_models, n_slopes, n], with the covariances ``noise`` + F Fᵀ (Woodbury)."""
    scale = np.sqrt(np.diag(noise))
    factor = np.linalg.cholesky(noise / np.outer(scale, scale) + _JITTER * np.eye(len(slopes)))
    whiten = np.linalg.inv(factor) / scale
    given = np.concatenate([designs, np.broadcast_to(slopes[:, None], (len(designs), len(slopes), 1))], axis=2)
    spread, halves = whiten @ factors, whiten @ given
    across = np.swapaxes(spread, 1, 2)
    inner = np.eye(factors.shape[2]) + across @ spread
    along = across @ halves
    solved = np.linalg.solve(inner, along)
    products = np.swapaxes(halves, 1, 2) @ halves - np.swapaxes(along, 1, 2) @ solved
    precision, moment = products[:, :-1, :-1], products[:, :-1, -1]
    covariances = np.linalg.inv(precision)
    values = np.einsum("pij,pj->pi", covariances, moment)
    misfit = products[:, -1, -1] - np.sum(values * moment, axis=1)
    half_determinant = np.log(np.diag(factor) * scale).sum() + 0.5 * np.linalg.slogdet(inner)[1]
    evidence = -half_determinant - 0.5 * (np.linalg.slogdet(precision)[1] + misfit)
    rest = solved[:, :, -1] - np.einsum("pri,pi->pr", solved[:, :, :-1], values)
    return _Regressed(values, covariances, evidence, misfit, np.einsum("pkr,pr->pk", factors, rest))


def log_evidence(slopes: FloatArray, asymptote: Asymptote, covariance: FloatArray, models: CrossoverModels) -> float:
    """Return the logarithm of the probability of the last of the slopes under all models, up to a constant."""
    last = slice(-len(slopes), None)
    designs = 1.0 + models.means[:, last, None]
    found = _regressed(slopes, designs, covariance[last, last], asymptote.mixture.scale * models.factors[:, last])
    largest = found.evidence.max()
    return float(largest + np.log(np.exp(found.evidence - largest) @ models.shares))


def joint_asymptote(
    ions: tuple[FloatArray, SlopeNoise], other: tuple[FloatArray, SlopeNoise], found: Asymptote, models: CrossoverModels
) -> JointAsymptote:
    """Return the asymptote of another curve of the same ions, and its ratio to theirs.

    The noise of the ions' slopes is in both: their mean is the best that independent ions allow, so what another curve
    of theirs scatters by beyond that is independent of it.

    Parameters
    ----------
    ions, other
        Slopes of every scale, shape [n_scales], and their noise; that of the other what it has besides the ions'.
    found, models
        The ions' asymptote and the models that it is a mixture of.
    """
    slopes = other[0]
    least = _LEAST_SLOPE * float(np.abs(slopes).max())
    likely = _drawn(found.mixture, models)
    for first in range(found.first, max(len(slopes) - _FEWEST_SCALES, found.first) + 1):
        parts = tuple((one[0][first:], one[1].from_scale(first)) for one in (ions, other))
        of_ions, free = likely.from_scale(first), _own(models.from_scale(first))
        joint, misfit = _joint_of(parts[0], parts[1], found, of_ions, free, least)
        if misfit <= chi2_quantile(_FIT_LEVEL, max(2 * (len(slopes) - first - 1), 1)):
            break
    return JointAsymptote(_with_skipped(joint.asymptote, slopes, first, least), joint.ratio)


def _drawn(found: Mixture, models: CrossoverModels) -> CrossoverModels:
    """Return few models that stand for all as the ions' slopes have them, those for most first.

    Each stands for an equal part of the mixture, in the order of their slopes (stratified resampling: Kitagawa, J.
    Comput. Graph. Stat. 1996, 5, 1, 10.2307/1390750). The likeliest ones alone would leave out what many models say of
    which each is unlikely. The joint fit sees the ions' slopes again, so these are taken out of the shares.
    """
    order = np.argsort(found.values, kind="stable")
    levels = (np.arange(_MOST_JOINT) + 0.5) / _MOST_JOINT
    drawn = order[np.minimum(np.searchsorted(np.cumsum(found.shares[order]), levels), len(order) - 1)]
    chosen, copies = np.unique(drawn, return_counts=True)
    by_copies = np.argsort(-copies, kind="stable")
    chosen, copies = chosen[by_copies], copies[by_copies]
    shares = models.shares[chosen] / np.maximum(found.shares[chosen], np.finfo(float).tiny) * copies / _MOST_JOINT
    return CrossoverModels(models.means[chosen], models.factors[chosen], shares)


def _coupled(models: CrossoverModels, free: CrossoverModels) -> CrossoverModels:
    """Return the models of the deviations of two curves of the same ions, [n_models, 2 n_scales]."""
    means, factors, shares = [], [], []

    def add(of: CrossoverModels, part: _Part, own: FloatArray, own_factors: FloatArray, share: float) -> None:
        none = np.zeros_like(of.factors)
        own_factors = np.broadcast_to(own_factors, of.factors.shape)
        # The first factors are those of the slower term, which the means are of; the others of vibrations.
        parts = np.repeat([part.slow, part.fast], _FACTORS)
        spreads = np.repeat([part.slow_spread, part.fast_spread], _FACTORS)
        beside = [parts * of.factors, spreads * of.factors, part.slow_spread * of.means[:, :, None], own_factors]
        above = [of.factors, none, none[:, :, :1], none]
        factors.append(np.concatenate([np.concatenate(above, 2), np.concatenate(beside, 2)], axis=1))
        means.append(np.concatenate([of.means, part.slow * of.means + own], axis=1))
        shares.append(share * of.shares)

    nothing = np.zeros_like(models.means[0]), np.zeros_like(models.factors[0])
    for part, share in _COUPLINGS:
        add(models, part, *nothing, share)
    few = models[slice(0, _MOST_OWN)]
    for own, own_factors, share in zip(free.means, free.factors, free.shares, strict=True):
        add(few, _Part(0.0, 0.0, 0.0, 0.0), own, own_factors, _OWN_SHARE * share)
    return CrossoverModels(np.concatenate(means), np.concatenate(factors), np.concatenate(shares))


def _own(models: CrossoverModels) -> CrossoverModels:
    """Return some of the models: none, and one term of every second time."""
    grid = 1 + np.arange(_TIMES * len(_AMPLITUDES)).reshape(len(_AMPLITUDES), _TIMES)
    chosen = models[np.concatenate([[0], grid[[_AMPLITUDES.index(one) for one in _OWN_AMPLITUDES], ::2].ravel()])]
    return CrossoverModels(chosen.means, chosen.factors, chosen.shares / chosen.shares.sum())


def _joint_of(
    ions: tuple[FloatArray, SlopeNoise],
    other: tuple[FloatArray, SlopeNoise],
    found: Asymptote,
    models: CrossoverModels,
    free: CrossoverModels,
    least: float,
) -> tuple[JointAsymptote, float]:
    """Return the joint asymptote of all scales given, and χ² of the model that fits best."""
    count = len(other[0])
    coupled = _coupled(models, free)
    size = found.size[-count:]
    ratio = max(float(np.average(other[0] / size, weights=1.0 / np.diag(other[1].brownian))), least / float(size.min()))
    sizes = np.concatenate([size, ratio * size])
    shared = np.tile(ions[1].covariance(size) / np.outer(size, size), (2, 2))
    designs = np.zeros((*coupled.means.shape, 2))
    designs[:, :count, 0], designs[:, count:, 1] = 1.0 + coupled.means[:, :count], 1.0 + coupled.means[:, count:]
    for last in (*(False,) * (_ROUNDS - 1), True):
        scales = sizes[[count - 1, -1]]
        factors = np.repeat(scales, count)[:, None] * coupled.factors
        noise = shared * np.outer(sizes, sizes)
        noise[count:, count:] += other[1].covariance(sizes[count:])
        fit = _regressed(np.concatenate([ions[0], other[0]]), designs, noise, factors)
        shares = fit.shares(coupled.shares)
        lifted = np.maximum(fit.values, 0.1 * scales)
        fitted = (shares @ (np.einsum("pki,pi->pk", designs, lifted) + fit.moved))[count:]
        if not last:
            fitted = np.maximum(fitted, least)
            sizes = np.concatenate([size, steadied(fitted, sizes[count:], np.diag(other[1].brownian))])
    mixture = Mixture(shares, fit.values[:, 1], fit.covariances[:, 1, 1], float(scales[1]))
    base = np.maximum(fit.values[:, 0], 0.1 * scales[0])
    quotients = fit.values[:, 1] / base
    gradient = np.stack([-quotients / base, 1.0 / base], axis=1)
    spread = np.einsum("pi,pij,pj->p", gradient, fit.covariances, gradient)
    deviation = np.maximum(fitted / max(mixture.mean, 0.1 * scales[1]) - 1.0, -0.9)
    off = fit.values[:, 1, None] * coupled.means[:, count:] + fit.moved[:, count:]
    asymptote = Asymptote(mixture, sizes[count:], deviation, np.sqrt(shares @ off**2), 0)
    of_both = Mixture(shares, quotients, spread, float(scales[1] / scales[0]))
    return JointAsymptote(asymptote, of_both), float(fit.misfit.min())


def mixture_quantiles(mixture: Mixture, quantum: float, levels: Sequence[float]) -> FloatArray:
    """Return quantiles of the confidence distribution of a slope (Å² per frame).

    An estimate of the true slope D has the variance g D² + k D: g of the model, which goes with the square, k the
    slope that one event (a hop) stands for, of which there are D/k. It is taken to follow a gamma distribution, which
    is χ² where k = 0 and close to Poisson's law where g = 0; the distribution is inverted for D (Garwood, Biometrika
    1936, 28, 437, 10.1093/biomet/28.3-4.437, who did so for counts).
    """
    kept = mixture.shares > _NEGLIGIBLE * mixture.shares.max()
    shares = mixture.shares[kept] / mixture.shares[kept].sum()
    values, variances = mixture.values[kept], mixture.variances[kept]
    middle = max(float(shares @ values), 0.05 * mixture.scale)
    spread = float(np.sqrt(shares @ (variances + (values - middle) ** 2) + quantum * middle)) / middle
    if spread < 1e-9:
        return np.full(len(levels), middle)
    true = middle * np.exp(_GRID * min(spread, 1.5))
    shape = true / ((variances / mixture.scale**2)[:, None] * true + quantum)
    below = shares @ gamma_tail(np.maximum(values, 0.0)[:, None], shape, true / shape)
    return np.asarray(np.interp(levels, np.maximum.accumulate(below), true))
