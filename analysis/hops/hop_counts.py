"""Rates from counts of hops, and intervals that know that hops come in groups.

Hops that belong together (several ions in one event, a burst, an ion that runs through a channel) vary more than a
Poisson count. With the index of dispersion φ = variance/mean of the counts, N hops tell as much as N/φ independent
ones: the interval is that of a Poisson count of N/φ, times φ (Cox, Biometrika 1983, 70, 269, 10.1093/biomet/70.1.269).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.arrays import FloatArray, IntArray
from ..distributions import chi2_quantile, normal_quantile, student_quantile

CONFIDENCE = 0.95
_BLOCKS = (48, 12, 4)
"""In so many parts of time the hops are counted: bursts of any length have their greatest effect in one of them."""
# Long parts need some hops in each; in short ones hops that coincide tell, however few they are.
_FEWEST_PER_BLOCK = 3.0
_SHORT = 48
_FEWEST_HOPS = 8
# Probability above which a longer part varies more than shorter ones say, by chance in the other cases.
_LIKELY = 0.7


def poisson_interval(count: float, exposure: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate from a count (Garwood, Biometrika 1936, 28, 437)."""
    tail = (1 - CONFIDENCE) / 2
    low = chi2_quantile(tail, 2 * count) / 2 if count else 0.0
    high = chi2_quantile(1 - tail, 2 * (count + 1)) / 2
    return float(low / exposure), float(high / exposure)


def dispersion(times: Sequence[FloatArray], durations: Sequence[float], event_sizes: IntArray) -> float:
    """Return by how much more a count of hops varies than that of independent ones, at least 1.

    At least what the sizes of the events say (a compound Poisson process has Σ m² / Σ m); more where counts in equal
    parts of time, from short ones to whole trajectories, vary more than that.

    Parameters
    ----------
    times
        Of the hops, per trajectory, [n_hops], in the unit of ``durations``.
    durations
        Of the trajectories, from time 0.
    event_sizes
        Hops in every event of all trajectories, [n_events].
    """
    count = sum(len(one) for one in times)
    if not count:
        return 1.0
    found = max(1.0, float(np.sum(event_sizes**2) / np.sum(event_sizes)))
    total = sum(durations)
    scales = [
        blocks for blocks in _BLOCKS if count >= (_FEWEST_HOPS if blocks >= _SHORT else _FEWEST_PER_BLOCK * blocks)
    ]
    # Whole trajectories are parts as well: replicas may differ.
    for blocks in scales + [len(durations)] * (len(durations) > 1):
        pieces = [max(1, round(blocks * duration / total)) for duration in durations]
        counts = np.concatenate(
            [
                np.histogram(one, bins=n, range=(0.0, duration))[0] * n / duration
                for one, n, duration in zip(times, pieces, durations, strict=True)
            ]
        )
        lengths = np.concatenate([np.full(n, duration / n) for n, duration in zip(pieces, durations, strict=True)])
        rate, freedom = count / total, len(counts) - 1
        varies = float(np.sum(lengths * (counts - rate) ** 2) / (rate * freedom))
        # What shorter parts tell is known better; longer ones, of which there are few, count where they tell more.
        if varies > found * chi2_quantile(_LIKELY, freedom) / freedom:
            varies *= (student_quantile(0.5 + CONFIDENCE / 2, freedom) / normal_quantile(0.5 + CONFIDENCE / 2)) ** 2
        found = max(found, varies)
    return found


def rate_interval(count: float, exposure: float, dispersion: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate whose count varies ``dispersion`` times as much as a Poisson count."""
    low, high = poisson_interval(count / dispersion, exposure / dispersion)
    return low, high
