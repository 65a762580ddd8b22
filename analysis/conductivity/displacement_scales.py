"""Mean squared displacements scale by scale: their slopes at lags in geometric progression, and how these vary.

**Scales.** Lags grow by √2. The slope of scale 0 is MSD(l₀)/l₀, that of scale k the rise from lag l_{k-1} to l_k over
their difference: the integral of the velocity's correlation with a trapezoid for window, which a correlation that has
died out before l_{k-1} leaves without bias (Politis, Romano, J. Time Ser. Anal. 1995, 16, 67,
10.1111/j.1467-9892.1995.tb00223.x). Long scales are free of what ions do at short times, short ones are sharp.

**Noise.** Of Brownian paths the slopes have a known covariance (`brownian_covariance`). What comes on top, because ions
hop by jumps, in bursts or together, is common to all scales; it is taken from blocks in time, over all ions jointly,
so that what they do together counts once.

Averages are over origins; from 16 frames on only eight to sixteen of them per lag are used, for those in between repeat
the same path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ...core.arrays import FloatArray, IntArray
from .mean_squared_displacement import brownian_covariance

LONGEST_LAG = 0.125
"""Part of the trajectory that the longest lag covers: beyond it noise hides what the longest scale says."""
MOST_BLOCKS = 32
_FEWEST_BLOCKS = 4
# Blocks of fewer lags than this share paths with their neighbours.
_LAGS_PER_BLOCK = 2
# Scales that are averaged where noise is taken from blocks, and blocks that speak for independent Brownian ions.
_NEAR_SCALES = 1.0
_PRIOR_BLOCKS = 4.0
_LEAST_PAIRED = 0.02
_EVENT_BLOCKS = 12
_SHORT_BLOCKS, _STEPS_PER_BLOCK = 96, 16
# Paths that the ions' curve stands for where the size of another curve of theirs, of few paths, is told.
_PATHS_OF_IONS = 12.0
_LEAST_SLOPE = 1e-3  # of the largest
_DENSE_LAGS = 16
_ORIGINS_PER_LAG = 8
# Values (of 8 bytes) that one chunk of paths may hold.
_CHUNK_VALUES = 1_000_000


def scale_lags(n_frames: int) -> tuple[int, ...]:
    """Return the lags of the scales: 1, 2, 3, 4, then by factors of √2, up to an eighth of the trajectory.

    They are multiples of the distance between origins, so that every step counts in as many displacements.
    """
    longest = max(int(LONGEST_LAG * n_frames), 2)
    grown = [4 * 2 ** (step / 2) for step in range(1, 64)]
    return tuple(lag for lag in (1, 2, 3, 4, *map(_multiple, grown)) if lag <= longest)


def _multiple(lag: float) -> int:
    stride = origin_stride(int(lag))
    return stride * round(lag / stride)


def curve_lags(n_frames: int) -> tuple[int, ...]:
    """Return the lags of the scales and those that follow, up to half of the trajectory: what a figure shows."""
    scales, found = scale_lags(n_frames), []
    longest = scales[-1] * 2**0.5
    while longest <= n_frames / 2:
        found.append(_multiple(longest))
        longest *= 2**0.5
    return (*scales, *(lag for lag in found if lag > scales[-1]))


def origin_stride(lag: int) -> int:
    """Return the distance between the origins that are used at a lag, a power of two (frames)."""
    return 1 if lag < _DENSE_LAGS else 1 << int(np.log2(lag / _ORIGINS_PER_LAG))


@dataclass(frozen=True)
class SquaredDisplacements:
    """Squared displacements of one replica at every lag and origin, mean over the ions.

    Attributes
    ----------
    lags
        Lags (frames).
    n_frames
        Length of the replica.
    by_origin_A2
        One array per lag, shape [n_origins, 3] (Å²), origins `origin_stride` apart.
    """

    lags: tuple[int, ...]
    n_frames: int
    by_origin_A2: tuple[FloatArray, ...]

    def up_to(self, longest: int) -> SquaredDisplacements:
        """Return those at lags up to ``longest``."""
        count = sum(lag <= longest for lag in self.lags)
        return SquaredDisplacements(self.lags[:count], self.n_frames, self.by_origin_A2[:count])

    @cached_property
    def mean_A2(self) -> FloatArray:
        """Mean over origins, shape [n_lags, 3] (Å²)."""
        return np.array([values.mean(axis=0) for values in self.by_origin_A2])

    @cached_property
    def _kept(self) -> dict[tuple[int, int], FloatArray]:
        return {}

    def block_slopes(self, scale: int, blocks: int) -> FloatArray:
        """Return the slope of a scale in equal blocks of origins, shape [n_blocks, 3] (Å² per frame)."""
        # Every axis and every check asks for them.
        if (scale, blocks) not in self._kept:
            self._kept[scale, blocks] = self._block_slopes(scale, blocks)
        return self._kept[scale, blocks]

    def _block_slopes(self, scale: int, blocks: int) -> FloatArray:
        upper = self.by_origin_A2[scale]
        if scale == 0:
            slopes = upper / self.lags[0]
        else:
            ratio = origin_stride(self.lags[scale]) // origin_stride(self.lags[scale - 1])
            lower = self.by_origin_A2[scale - 1][::ratio][: len(upper)]
            slopes = (upper - lower) / (self.lags[scale] - self.lags[scale - 1])
        length = len(slopes) // blocks
        return slopes[: length * blocks].reshape(blocks, length, 3).mean(axis=1)

    def block_excess(self, scale: int, blocks: int, part: float) -> FloatArray:
        """Return `block_slopes` of a scale from 1 on less ``part`` of the squares of the single steps that it spans."""
        lower, upper = self.lags[scale - 1], self.lags[scale]
        values = self.by_origin_A2[scale]
        ratio = origin_stride(upper) // origin_stride(lower)
        shorter = self.by_origin_A2[scale - 1][::ratio][: len(values)]
        running = np.concatenate([np.zeros((1, 3)), part * np.cumsum(self.by_origin_A2[0], axis=0)])
        start = np.arange(len(values)) * origin_stride(upper)
        excess = (values - shorter - running[start + upper] + running[start + lower]) / (upper - lower)
        length = len(excess) // blocks
        return np.asarray(excess[: length * blocks].reshape(blocks, length, 3).mean(axis=1))


def squared_displacements(
    positions_A: FloatArray,
    lags: Sequence[int],
    *,
    atoms: IntArray,
    drift_A: FloatArray | None = None,
    weights: FloatArray | None = None,
) -> SquaredDisplacements:
    """Return squared displacements, mean over ``atoms``, or weighted where weights of mean 1 are given [n_atoms]."""
    n_frames = len(positions_A)
    sums = [np.zeros((3, len(range(0, n_frames - lag, origin_stride(lag))))) for lag in lags]
    size = max(1, _CHUNK_VALUES // n_frames)
    for start in range(0, len(atoms), size):
        chosen = atoms[start : start + size]
        for axis in range(3):
            moved = np.ascontiguousarray(positions_A[:, chosen, axis])
            if drift_A is not None:
                moved -= drift_A[:, axis, None]
            if weights is not None:
                moved *= np.sqrt(weights[start : start + size])
            for total, lag in zip(sums, lags, strict=True):
                stride = origin_stride(lag)
                steps = moved[lag::stride] - moved[: n_frames - lag : stride]
                total[axis] += np.einsum("ti,ti->t", steps, steps)
    return SquaredDisplacements(tuple(lags), n_frames, tuple(total.T / len(atoms) for total in sums))


@lru_cache(maxsize=32)
def scale_covariance(n_frames: int, lags: tuple[int, ...]) -> FloatArray:
    """Return the covariance of the slopes of all scales for a Brownian path of slope 1, shape [n_scales, n_scales]."""
    weights = slope_matrix(lags)
    strides = np.array([origin_stride(lag) for lag in lags], dtype=np.int64)
    return np.asarray(weights @ brownian_covariance(n_frames, np.array(lags, dtype=np.int64), strides) @ weights.T)


@lru_cache(maxsize=32)
def event_covariance(n_frames: int, lags: tuple[int, ...]) -> FloatArray:
    """Return by how much more than of one common factor events make the slopes vary, [n_scales, n_scales].

    Every scale counts the frames with other weights: those within a lag of either end less.
    """
    frames = np.arange(1, n_frames)
    counted = np.array([np.minimum(np.minimum(frames, n_frames - frames), min(lag, n_frames - lag)) for lag in lags])
    weights = slope_matrix(lags) @ (counted / (n_frames - np.array(lags))[:, None])
    weights = weights / weights.mean(axis=1, keepdims=True) - 1.0
    return np.asarray(weights @ weights.T / len(frames))


def slope_matrix(lags: Sequence[int]) -> FloatArray:
    """Return what makes mean squared displacements at ``lags`` the slopes of their scales, [n_scales, n_lags]."""
    steps = np.diff(np.array([0, *lags], dtype=float))
    return np.asarray((np.eye(len(lags)) - np.eye(len(lags), k=-1)) / steps[:, None])


def smoothed(slopes: FloatArray, variances: FloatArray, least: float) -> FloatArray:
    """Return a first guess of the true slopes: each the weighted mean of itself and all longer scales."""
    weights = 1.0 / variances
    means = np.cumsum((weights * slopes)[::-1])[::-1] / np.cumsum(weights[::-1])[::-1]
    return np.asarray(np.maximum(means, least))


def steadied(sizes: FloatArray, expected: FloatArray, variances: FloatArray) -> FloatArray:
    """Return sizes of slopes of few paths, from which noise may be taken, drawn towards those expected.

    Where the noise of a slope is told from that slope alone, a small one seems sure: fits then follow it down.
    """
    return np.asarray((sizes + _PATHS_OF_IONS * variances * expected) / (1.0 + _PATHS_OF_IONS * variances))


def falling(sizes: FloatArray, variances: FloatArray) -> FloatArray:
    """Return sizes of slopes, those of noisy scales drawn towards what the shorter ones say (see `steadied`)."""
    found = sizes.copy()
    for scale in range(1, len(sizes)):
        found[scale] = steadied(sizes[scale], found[scale - 1], variances[scale])
    return found


@lru_cache(maxsize=512)
def _blocked_share(n_frames: int, lower: int, upper: int, blocks: int) -> float:
    """Return which part of a Brownian slope's variance the scatter of its blocks shows: neighbours share paths."""
    stride = origin_stride(upper)
    shifts = np.arange(0, upper, stride)

    def common(first: int, second: int) -> FloatArray:
        overlap = np.maximum(np.minimum(first, shifts + second) - shifts, 0)
        return 2.0 * overlap.astype(float) ** 2 if min(first, second) > 0 else np.zeros(len(shifts))

    correlation = common(upper, upper) + common(lower, lower) - common(upper, lower) - common(lower, upper)

    def variance(count: int) -> float:
        pairs = np.maximum(count - np.arange(len(shifts)), 0) * correlation
        return float(pairs[0] + 2.0 * pairs[1:].sum()) / count**2

    length = len(range(0, n_frames - upper, stride)) // blocks
    whole = variance(length * blocks)
    return (variance(length) - whole) / (blocks - 1) / whole if whole > 0 else 1.0


@dataclass(frozen=True)
class SlopeNoise:
    """Covariance of the slopes of all scales.

    Attributes
    ----------
    brownian
        Of Brownian motion over the squares of the true slopes, shape [n_scales, n_scales].
    excess
        What is to be added to those squares, shape [n_scales] (Å⁴ per frame²).
    events
        What comes with events, over the squares of the true slopes, shape [n_scales, n_scales].
    """

    brownian: FloatArray
    excess: FloatArray
    events: FloatArray

    def covariance(self, sizes: FloatArray) -> FloatArray:
        """Return the covariance where the true slopes are ``sizes``, shape [n_scales, n_scales] (Å⁴ per frame²)."""
        scatter = np.sqrt(np.maximum(sizes**2 + self.excess, _LEAST_PAIRED * sizes**2))
        return np.asarray(self.brownian * np.outer(scatter, scatter) + self.events * np.outer(sizes, sizes))

    def from_scale(self, first: int) -> SlopeNoise:
        """Return that of the scales from ``first`` on."""
        kept = slice(first, None)
        return SlopeNoise(self.brownian[kept, kept], self.excess[kept], self.events[kept, kept])


@dataclass(frozen=True)
class ScaleSlopes:
    """Slopes of all scales of independent replicas, and their noise.

    Attributes
    ----------
    replicas
        Squared displacements of each, at the same lags.
    paths
        Independent one-dimensional paths per replica and axis: the number of ions, or 1 for a sum over them.
    axes
        Axes that are summed over.
    """

    replicas: tuple[SquaredDisplacements, ...]
    paths: int
    axes: tuple[int, ...] = (0, 1, 2)

    def up_to(self, longest: int) -> ScaleSlopes:
        """Return those at lags up to ``longest``."""
        return ScaleSlopes(tuple(one.up_to(longest) for one in self.replicas), self.paths, self.axes)

    @property
    def lags(self) -> tuple[int, ...]:
        """Lags of the scales (frames)."""
        return self.replicas[0].lags

    @property
    def n_frames(self) -> int:
        """Length of the shortest replica."""
        return min(one.n_frames for one in self.replicas)

    @property
    def lengths(self) -> FloatArray:
        """Length of each replica over their sum, shape [n_replicas]."""
        lengths = np.array([one.n_frames for one in self.replicas], dtype=float)
        return np.asarray(lengths / lengths.sum())

    @property
    def n_series(self) -> float:
        """One-dimensional paths of `n_frames` frames in all."""
        total = sum(one.n_frames for one in self.replicas)
        return float(len(self.axes) * self.paths * total / self.n_frames)

    @cached_property
    def mean_A2(self) -> FloatArray:
        """Mean squared displacement, sum over axes, shape [n_lags] (Å²)."""
        curves = [one.mean_A2[:, list(self.axes)].sum(axis=1) for one in self.replicas]
        return np.asarray(np.average(curves, axis=0, weights=self.lengths))

    @cached_property
    def slopes(self) -> FloatArray:
        """Slope of each scale, sum over axes, shape [n_scales] (Å² per frame)."""
        return np.asarray(slope_matrix(self.lags) @ self.mean_A2)

    @cached_property
    def brownian(self) -> FloatArray:
        """Relative covariance of the slopes for Brownian motion of independent ions, shape [n_scales, n_scales]."""
        return scale_covariance(self.n_frames, self.lags) / self.n_series

    @property
    def sizes(self) -> FloatArray:
        """Return positive slopes from which the noise of these may be taken, shape [n_scales] (Å² per frame)."""
        return smoothed(self.slopes, np.diag(self.brownian), _LEAST_SLOPE * float(np.abs(self.slopes).max()))

    def blocks(self, scale: int) -> int:
        """Return into how many blocks the shortest replica is cut at a scale."""
        lag = self.lags[scale]
        wanted = (self.n_frames - lag) // max(_LAGS_PER_BLOCK * lag, 1)
        return int(np.clip(wanted, _FEWEST_BLOCKS, MOST_BLOCKS))

    def block_slopes(self, scale: int, blocks: int) -> FloatArray:
        """Return slopes of a scale in blocks, sum over axes, shape [n_replicas, n_blocks] (Å² per frame)."""
        return np.stack([one.block_slopes(scale, blocks)[:, list(self.axes)].sum(axis=1) for one in self.replicas])

    def events(self) -> tuple[float, int]:
        """Return the relative variance that comes with events, and its degrees of freedom.

        It is what the squares of single steps scatter by in blocks of time beyond Brownian motion, as far as the slope
        of a longer scale goes along with it: all of it where every hop counts, a part where most hops are taken back.
        Few long blocks show bursts; the scatter of many short ones is the least that there is, and better known.
        """
        slopes = self.slopes
        longest = self.n_frames / (_LAGS_PER_BLOCK * _EVENT_BLOCKS)
        scale = max(sum(lag <= longest for lag in self.lags) - 1, 0)
        blocks = min(_EVENT_BLOCKS, *(len(one.by_origin_A2[scale]) // 2 for one in self.replicas))
        first, longer = (self.block_slopes(one, blocks) for one in (0, scale))
        first, longer = (one - one.mean(axis=1, keepdims=True) for one in (first, longer))
        weights = self.lengths[:, None] ** 2 / (blocks * (blocks - 1))
        total = float(np.sum(weights * first**2))
        freedom = len(first) * (blocks - 1)
        least, most = sorted((max(float(slopes[scale] / slopes[0]), 0.0), 1.0))
        follows = float(np.clip(np.sum(weights * first * longer) / total, least, most)) if total > 0 else most
        independent, of_independent = self._independent_events()
        if independent > total:
            total, freedom = independent, of_independent
        beyond = max(total - float(self.brownian[0, 0] * slopes[0] ** 2), 0.0)
        size = max(float(slopes[scale]), _LEAST_SLOPE * float(np.abs(slopes).max()))
        return beyond * (follows / size) ** 2, freedom

    def _independent_events(self) -> tuple[float, int]:
        """Return the variance of the mean square of single steps (Å⁴), from many blocks, and its freedom."""
        fewest = min(len(one.by_origin_A2[0]) for one in self.replicas)
        blocks = max(min(_SHORT_BLOCKS, fewest // _STEPS_PER_BLOCK), 2)
        of_replicas = self.block_slopes(0, blocks).var(axis=1, ddof=1) / blocks
        return float(np.sum(self.lengths**2 * of_replicas)), len(of_replicas) * (blocks - 1)

    def excess(self) -> FloatArray:
        """Return what the squares of slopes lack to have the noise that is seen, [n_scales] (Å⁴ per frame²).

        Nothing for independent Brownian ions, k - 1 times the square where k always move together; more where
        correlated hops are few. It is taken from blocks in time of slopes less the squares of the single steps in them,
        in which what the number of hops varies by drops out. Neighbouring scales are averaged, with some blocks' weight
        for nothing.
        """
        model, axes = self.brownian, list(self.axes)
        slopes = self.sizes
        ratios, freedom = np.ones(len(slopes)), np.zeros(len(slopes))
        for scale in range(1, len(slopes)):
            blocks, part = self.blocks(scale), float(slopes[scale] / slopes[0])
            apart = np.stack([one.block_excess(scale, blocks, part)[:, axes].sum(axis=1) for one in self.replicas])
            found = float(np.sum(self.lengths**2 * apart.var(axis=1, ddof=1) / blocks)) / slopes[scale] ** 2
            expected = model[scale, scale] + model[0, 0] - 2 * model[scale, 0]
            ratios[scale] = found / (expected * self.share(scale, blocks))
            freedom[scale] = len(apart) * (blocks - 1)
        return (np.maximum(_smooth(ratios, freedom), 1.0) - 1.0) * slopes**2

    def paired_excess(self, other: ScaleSlopes) -> FloatArray:
        """Return `excess` of what the slopes of another curve of the same ions vary by apart from these."""
        model, sizes = other.brownian - self.brownian, (self.sizes, self._sizes_of(other))
        ratios, freedom = np.ones(len(self.lags)), np.zeros(len(self.lags))
        for scale in range(len(self.lags)):
            blocks = self.blocks(scale)
            first, second = (
                one.block_slopes(scale, blocks) / size[scale] for one, size in zip((self, other), sizes, strict=True)
            )
            found = float(np.sum(self.lengths**2 * (second - first).var(axis=1, ddof=1) / blocks))
            ratios[scale] = found / (model[scale, scale] * self.share(scale, blocks))
            freedom[scale] = len(first) * (blocks - 1)
        return np.asarray((_smooth(ratios, freedom) - 1.0) * sizes[1] ** 2)

    def _sizes_of(self, other: ScaleSlopes) -> FloatArray:
        ratio = float(np.average(other.slopes / self.sizes, weights=1.0 / np.diag(other.brownian)))
        return steadied(other.sizes, max(ratio, _LEAST_SLOPE) * self.sizes, np.diag(other.brownian))

    def share(self, scale: int, blocks: int) -> float:
        """Return which part of a Brownian slope's variance the scatter of its blocks shows."""
        return _blocked_share(self.n_frames, self.lags[scale - 1] if scale else 0, self.lags[scale], blocks)


def _smooth(ratios: FloatArray, freedom: FloatArray) -> FloatArray:
    scales = np.arange(len(ratios))
    weights = np.exp(-0.5 * (np.subtract.outer(scales, scales) / _NEAR_SCALES) ** 2) * freedom
    return np.asarray((weights @ ratios + _PRIOR_BLOCKS) / (weights.sum(axis=1) + _PRIOR_BLOCKS))
