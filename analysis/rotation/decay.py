"""Decay times of correlation functions, or what can be said where they have not decayed.

A correlation function falls at once by libration, then as A exp(-(t/τ)^β) (Kohlrausch; G. Williams, D. C. Watts, Trans.
Faraday Soc. 1970, 66, 80, 10.1039/TF9706600080). The three are fitted by least squares over lags in geometric
progression: of a grid of τ and β, which is then refined, the best A of each is known at once.

A function that has not fallen to A/e within the longest lag has no decay time: the time it was watched for, or what its
interval begins with if that is shorter, is a lower bound.

Intervals are those of a count. In a time L, summed over anions, a memory that lasts τ is lost L/τ times, so that τ is
known no better than to its part (L/τ)^(-1/2) (R. Zwanzig, N. K. Ailawadi, Phys. Rev. 1969, 182, 280,
10.1103/PhysRev.182.280). Where resampled anions and blocks of time scatter more, the count is one of fewer events.
The scatter alone, of few of them, is too small as often as too large: intervals of it hold too little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.settings import FrozenModel
from ..hops.hop_counts import rate_interval
from .correlations import RANKS, CorrelationSums

EXPONENTS = np.linspace(0.3, 1.0, 15)
_TIMES = 120
_REFINED = 21
_FIT_POINTS = 40
_UPPER = 0.975


class DecayTime(FrozenModel):
    """How fast a correlation function decays."""

    decayed: bool = Field(description="Whether it has fallen to 1/e within the longest lag (yes or no)")
    time_ps: float | None = Field(description="Time τ of the stretched exponential; nothing where not decayed (ps)")
    low_ps: float | None = Field(description="Lower end of its 95 % interval, or lower bound (ps)")
    high_ps: float | None = Field(description="Upper end of its 95 % interval; nothing: unknown (ps)")
    exponent: float | None = Field(description="β of the stretched exponential; nothing where not decayed (no unit)")
    mean_time_ps: float | None = Field(description="Area below it, τ/β Γ(1/β); nothing where not decayed (ps)")
    amplitude: float | None = Field(description="What libration leaves, A; nothing where not decayed (no unit)")
    last_value: float | None = Field(description="The function at the longest lag (no unit)")
    longest_ps: float = Field(description="The longest lag (ps)")


def decay_times(sums: CorrelationSums, frame_ps: float, resamples: int, seed: int = 0) -> dict[str, DecayTime | None]:
    """Return the decay of each correlation function, None of one that is not defined.

    Parameters
    ----------
    frame_ps
        Time between frames (ps).
    resamples
        How often pieces are drawn with replacement for 95 % intervals.
    """
    curves = sums.curves()
    watched_ps = float(sums.counts[:, 0].sum()) * frame_ps
    held = np.flatnonzero(sums.counts[:, 0] > 0)
    drawn = np.random.default_rng(seed).choice(held, (resamples, len(held))) if len(held) > 1 else None
    weights = None if drawn is None else np.array([np.bincount(one, minlength=len(sums.counts)) for one in drawn])
    again = np.empty((0, *curves.shape)) if weights is None else sums.curves(weights.astype(float))
    seen = _Watched(watched_ps, len(held))
    return {
        name: _decay(curves[rank], again[:, rank], sums.times_ps(frame_ps), sums.counts.sum(axis=0), seen)
        for rank, name in enumerate(RANKS)
    }


@dataclass(frozen=True)
class _Watched:
    """How long all anions together were watched (ps), and in how many pieces that may be resampled."""

    time_ps: float
    pieces: int

    def interval_ps(self, time_ps: float, scatter: float) -> tuple[float, float]:
        """Return the 95 % interval of a time that memory lasts, from the scatter of its logarithm over resamplings."""
        from scipy.stats import norm, t

        few = math.sqrt(self.pieces / (self.pieces - 1)) * t.ppf(_UPPER, self.pieces - 1) / norm.ppf(_UPPER)
        count = self.time_ps / time_ps
        low, high = rate_interval(count, self.time_ps, max(1.0, count * (few * scatter) ** 2))
        return 1.0 / high, math.inf if low <= 0 else 1.0 / low


def _decay(
    curve: FloatArray, again: FloatArray, times_ps: FloatArray, origins: FloatArray, watched: _Watched
) -> DecayTime | None:
    """Return the decay of one function, [n_lags], with its resampled ones, [n_resamples, n_lags]."""
    usable = np.isfinite(curve) & (origins > 0) & (times_ps > 0)
    if np.count_nonzero(usable) < 4:
        return None
    chosen = np.flatnonzero(usable)
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, _FIT_POINTS).round().astype(int))]
    times = times_ps[chosen]
    longest = float(times[-1])
    again = again[np.isfinite(again[:, chosen]).all(axis=1)]
    fits = fit_stretched(times, np.vstack([curve[None, chosen], again[:, chosen]]))
    tau, beta, amplitude = fits[0]
    decayed = bool(tau < longest)
    mean_ps = float(tau / beta * math.gamma(1.0 / beta))
    spread = None
    if len(again):
        low, high = watched.interval_ps(mean_ps, float(np.log(fits[1:, 0]).std()))
        spread = float(tau) * low / mean_ps, float(tau) * high / mean_ps
    same = {"last_value": float(curve[chosen[-1]]), "longest_ps": longest}
    if not decayed:
        low_ps = longest if spread is None else min(longest, spread[0])
        nothing = dict.fromkeys(("time_ps", "high_ps", "exponent", "mean_time_ps", "amplitude"))
        return DecayTime(decayed=False, low_ps=low_ps, **nothing, **same)
    return DecayTime(
        decayed=True,
        time_ps=float(tau),
        low_ps=None if spread is None else spread[0],
        # What may be longer than it was watched for has no end.
        high_ps=None if spread is None or spread[1] >= longest else spread[1],
        exponent=float(beta),
        mean_time_ps=mean_ps,
        amplitude=float(amplitude),
        **same,
    )


def fit_stretched(times: FloatArray, curves: FloatArray) -> FloatArray:
    """Return τ, β and A of the best A exp(-(t/τ)^β), 0 <= A <= 1, for each curve, [n_curves, 3].

    Parameters
    ----------
    times
        Above 0, [n_times].
    curves
        [n_curves, n_times].
    """
    grid = np.geomspace(times[0] / 3.0, 30.0 * times[-1], _TIMES)
    tau, beta = (one.ravel() for one in np.meshgrid(grid, EXPONENTS, indexing="ij"))
    best, amplitude = _best(times, curves, tau, beta)
    found = np.column_stack([tau[best], beta[best], amplitude])
    step_tau, step_beta = grid[1] / grid[0], EXPONENTS[1] - EXPONENTS[0]
    for row, curve in zip(found, curves, strict=True):
        near = row[0] * step_tau ** np.linspace(-1, 1, _REFINED)
        exponents = np.clip(row[1] + step_beta * np.linspace(-1, 1, _REFINED), EXPONENTS[0], EXPONENTS[-1])
        tau, beta = (one.ravel() for one in np.meshgrid(near, exponents, indexing="ij"))
        best, amplitude = _best(times, curve[None], tau, beta)
        row[:] = tau[best[0]], beta[best[0]], amplitude[0]
    return found


def _best(times: FloatArray, curves: FloatArray, tau: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return which of the pairs (τ, β) fits each curve best, and with which amplitude."""
    shapes = np.exp(-((times[None, :] / tau[:, None]) ** beta[:, None]))
    # What has decayed before the first lag says nothing: its amplitude would be anything.
    norms = np.maximum(np.einsum("gt,gt->g", shapes, shapes), 1e-12)
    overlaps = curves @ shapes.T
    amplitudes = np.clip(overlaps / norms, 0.0, 1.0)
    misfits = amplitudes * (amplitudes * norms - 2.0 * overlaps)
    best = np.argmin(misfits, axis=1)
    return best, np.take_along_axis(amplitudes, best[:, None], axis=1)[:, 0]
