"""What is not diffusion: displacements whose growth follows another law, stops, or changes along the trajectory.

**Law.** A power of time, MSD ∝ τ^β, is fitted to the slopes over a decade of lags or more. Where β differs from 1 by
more than chance allows (three standard deviations), and the law is 50 times as likely as all crossovers to linear
growth together (by their evidence; 12 times where β is more than 0.25 from 1, 7 times where it holds from the first
frame on), the displacement is sub- or
superdiffusive at all times that were seen, and has no diffusivity; a crossover is bent in logarithms and no such law
(Metzler, Jeon, Cherstvy, Barkai, Phys. Chem. Chem. Phys. 2014, 16, 24128, 10.1039/C4CP03465A). Where the slope still
falls at a third of the longest lag, nobody knows its asymptote.

**Time.** Slopes of a short scale in blocks of the trajectory: a trend, a difference of its thirds, or of its first or
last twelfth or sixth from the rest (F tests, Bonferroni's level), means ions that freeze, melt or come from a start
that was not equilibrated.

**Replicas.** Their mean slopes against the scatter of the blocks within them (F).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import FloatArray
from ..distributions import f_tail
from .crossover import Asymptote, CrossoverModels, log_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .displacement_scales import ScaleSlopes


SCATTER_LEVEL = 0.01
"""Probability with which equal parts or replicas would differ by more; below it they are held to differ."""
_EXPONENTS = np.arange(0.02, 2.01, 0.02)
_SURE = 9.0  # Δχ² of three standard deviations
_DECADE = 10.0
# Logarithm of the odds that are asked of a power law; less where it is far from linear, as crossovers seldom are.
_LEAST_LOG_ODDS = 4.0
_FAR, _LEAST_LOG_ODDS_FAR = 0.25, 2.5
# A law that holds from the first frame on needs less: crossovers look like one within a decade, seldom in all that is.
_LEAST_LOG_ODDS_WHOLE = 2.0
_STARTS = 2  # scales between the beginnings that are tried
# Part of the asymptote by which the slope may still differ from it at a third of the longest lag.
_UNFINISHED = 0.27
_UNFINISHED_SCALE = -4
_TIME_BLOCKS = 12
_FEWEST_TIME_BLOCKS = 6
_EDGE_BLOCKS = (1, 2)  # a twelfth, a sixth: what was not equilibrated spoils the first, what melts late the last
_BLOCKS_PER_LAG = 64
_EQUAL = 1e-9
_LEAST_GROWTH = 0.1


@dataclass(frozen=True)
class PowerLaw:
    """A power of time through the slopes.

    Attributes
    ----------
    exponent
        The exponent that fits best, over the lags from ``start`` on (frames).
    excess
        By how much χ² of exponent 1 is above that of the best.
    log_odds
        Logarithm of its odds against linear growth after a crossover, before which both were as likely.
    """

    exponent: float
    start: int
    excess: float
    log_odds: float

    def deviates(self, tolerance: float) -> bool:
        """Return whether the displacement surely grows with another power than 1."""
        apart = abs(self.exponent - 1.0)
        least = _LEAST_LOG_ODDS_FAR if apart > _FAR else _LEAST_LOG_ODDS
        if self.start == 0:
            least = _LEAST_LOG_ODDS_WHOLE
        return self.excess > _SURE and apart >= tolerance and self.log_odds > least


@dataclass(frozen=True)
class LinearityCheck:
    """What speaks against diffusion.

    Attributes
    ----------
    law
        The power law.
    anomalous, unfinished
        Whether that law holds instead of linear growth; whether the slope still changes at the longest lag.
    changes
        Whether parts of the trajectory differ by more than chance allows; ``later_over_earlier`` is the ratio of the
        slopes of the second and the first half.
    scattered
        Whether replicas do.
    """

    law: PowerLaw
    anomalous: bool
    unfinished: bool
    changes: bool
    later_over_earlier: float
    scattered: bool

    @property
    def linear(self) -> bool:
        """Whether the displacement grows linearly at long times."""
        return not (self.anomalous or self.unfinished)

    @property
    def steady(self) -> bool:
        """Whether all parts of the trajectories agree."""
        return not (self.changes or self.scattered)

    @classmethod
    def at_rest(cls) -> LinearityCheck:
        """Return what holds where nothing moves."""
        return cls(PowerLaw(0.0, 0, 0.0, 0.0), False, True, False, 1.0, False)


def power_law(
    slopes: FloatArray, asymptote: Asymptote, covariance: FloatArray, lags: Sequence[int], models: CrossoverModels
) -> PowerLaw:
    """Return the power law of slopes with that covariance, from the scale on from which it is likeliest."""

    from scipy.special import logsumexp

    edges = np.array([0, *lags], dtype=float)
    shapes = np.diff(edges[None] ** _EXPONENTS[:, None], axis=1) / np.diff(edges)
    # The amplitude is that of the longest scale, as the asymptote is: so evidences can be compared.
    shapes /= shapes[:, -1:]
    linear = int(np.argmin(np.abs(_EXPONENTS - 1.0)))
    found: list[PowerLaw] = []
    for first in range(0, max(len(lags) - 2, 1), _STARTS):
        size, start = asymptote.size[first:], int(edges[first])
        if found and lags[-1] < _DECADE * max(start, 1):
            break
        noise = covariance[first:, first:] / np.outer(size, size)
        # In units of each scale's size: slopes of one frame and of thousands share one matrix.
        inverse = np.linalg.inv(noise)
        scaled, model = slopes[first:] / size, shapes[:, first:] / size
        along = np.einsum("bk,kl,bl->b", model, inverse, model)
        misfit = float(scaled @ inverse @ scaled) - (model @ inverse @ scaled) ** 2 / along
        best = int(np.argmin(misfit))
        spread = np.linalg.slogdet(noise)[1] + 2.0 * np.log(size).sum()
        evidence = float(logsumexp(-0.5 * (spread + np.log(along) + misfit)) - np.log(len(_EXPONENTS)))
        odds = evidence - log_evidence(slopes[first:], asymptote, covariance, models)
        found.append(PowerLaw(float(_EXPONENTS[best]), start, float(misfit[linear] - misfit[best]), odds))
    return max(found, key=lambda one: one.log_odds)


def is_unfinished(
    asymptote: Asymptote, lags: Sequence[int], displacement_A2: float, variances: FloatArray | None = None
) -> bool:
    """Return whether the slope still changes at long lags, or what grows is little beside what does not (a cage).

    Parameters
    ----------
    variances
        Relative variance of the noise of each scale, shape [n_scales]: it alone is no change; None: there is none.
    """
    noise = 0.0 if variances is None else float(np.sqrt(variances[_UNFINISHED_SCALE:][0]))
    changes = abs(asymptote.deviation[_UNFINISHED_SCALE:][0]) > _UNFINISHED + noise
    return bool(changes or asymptote.mean * lags[-1] < _LEAST_GROWTH * displacement_A2)


def check_linearity(
    displacements: ScaleSlopes,
    asymptote: Asymptote,
    covariance: FloatArray,
    models: CrossoverModels,
    tolerance: float,
) -> LinearityCheck:
    """Return what speaks against diffusion of ions with these displacements."""
    curve, noise = (displacements.lags, displacements.slopes), (covariance, displacements.brownian)
    of_curve = check_curve(curve, asymptote, noise, models, tolerance)
    changes, later = _changes(displacements)
    return replace(of_curve, changes=changes, later_over_earlier=later, scattered=_scattered(displacements))


def check_curve(
    curve: tuple[Sequence[int], FloatArray],
    asymptote: Asymptote,
    noise: tuple[FloatArray, FloatArray],
    models: CrossoverModels,
    tolerance: float,
) -> LinearityCheck:
    """Return what the mean displacement alone says against diffusion.

    Parameters
    ----------
    curve
        Lags (frames) and slopes of their scales.
    noise
        Covariance of the slopes, and that of Brownian paths over the squares of the slopes.
    """
    lags, slopes = curve
    covariance, brownian = noise
    law = power_law(slopes, asymptote, covariance, lags, models)
    displacement_A2 = float(slopes @ np.diff([0, *lags]))
    unfinished = is_unfinished(asymptote, lags, displacement_A2, np.diag(brownian))
    return LinearityCheck(law, law.deviates(tolerance), unfinished, False, 1.0, False)


def _time_blocks(displacements: ScaleSlopes) -> FloatArray | None:
    """Return slopes of a short scale in blocks of time, shape [n_replicas, n_blocks]; None where there are too few."""
    lags = np.array(displacements.lags)
    scale = max(int(np.searchsorted(lags, displacements.n_frames / _BLOCKS_PER_LAG, side="right")) - 1, 0)
    fewest = min(len(one.by_origin_A2[scale]) for one in displacements.replicas)
    blocks = min(_TIME_BLOCKS, fewest // 2)
    return displacements.block_slopes(scale, blocks) if blocks >= _FEWEST_TIME_BLOCKS else None


def _changes(displacements: ScaleSlopes) -> tuple[bool, float]:
    values = _time_blocks(displacements)
    if values is None or np.ptp(values) <= _EQUAL * np.abs(values).max():
        return False, 1.0
    count = values.shape[1]
    earlier, later = values[:, : count // 2].mean(), values[:, count - count // 2 :].mean()
    ratio = float(later / earlier) if earlier > 0 else np.inf
    # Counts of few hops are skewed, their roots hardly (Bartlett, J. R. Stat. Soc. 1936, S3, 68, 10.2307/2983678).
    roots = np.sqrt(np.maximum(values, 0.0))
    # Replicas differ for other reasons: only what changes within each counts.
    within = roots - roots.mean(axis=1, keepdims=True)
    blocks = np.arange(count)
    thirds = np.minimum(blocks * 3 // count, 2)
    edges = [edge[:, None] for size in _EDGE_BLOCKS for edge in (blocks < size, blocks >= count - size)]
    patterns = (blocks[:, None], np.stack([thirds == 0, thirds == 1], 1), *edges)
    return len(patterns) * min(_chance(within, one.astype(float)) for one in patterns) < SCATTER_LEVEL, ratio


def _chance(within: FloatArray, pattern: FloatArray) -> float:
    """Return with which chance blocks [n_replicas, n_blocks] of mean 0 follow patterns [n_blocks, n] so much (F)."""
    directions = np.linalg.qr(pattern - pattern.mean(axis=0))[0]
    followed = len(within) * float(np.sum((within.mean(axis=0) @ directions) ** 2))
    rest = float(np.sum(within**2)) - followed
    freedom = len(within) * (within.shape[1] - 1) - directions.shape[1]
    if rest <= 0:
        return 0.0
    return f_tail(followed / directions.shape[1] / (rest / freedom), directions.shape[1], freedom)


def _scattered(displacements: ScaleSlopes) -> bool:
    values = _time_blocks(displacements)
    if values is None or len(values) < 2:
        return False
    means, weights = values.mean(axis=1), displacements.lengths
    within = values.var(axis=1, ddof=1) / values.shape[1]
    if within.max() <= (_EQUAL * np.abs(means).max()) ** 2:
        return bool(np.ptp(means) > _EQUAL * np.abs(means).max())
    # The variance of a mean slope falls with the length of its replica.
    expected = float(np.sum(weights * within))
    mean = float(weights @ means)
    between = float(np.sum(weights * len(values) * (means - mean) ** 2)) / (len(values) - 1)
    freedom = len(values) * (values.shape[1] - 1)
    return f_tail(between / expected, len(values) - 1, freedom) < SCATTER_LEVEL
