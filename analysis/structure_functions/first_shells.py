"""The first shell of neighbours: where the first peak of g(r) is, where it ends, and how many atoms it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ...core.arrays import FloatArray

SMOOTHING_A: Final = 0.04
"""Standard deviation of the Gaussian that g(r) is smoothed by before peaks are looked for (Å)."""
LEAST_RISE: Final = 0.5
"""How far g(r) must fall behind a peak, and come up again, where its mean is 1, at most; of lower peaks half of what
they stand above their minimum."""
_ZERO: Final = 0.02


@dataclass(frozen=True)
class FirstShell:
    """The first shell of a pair.

    Attributes
    ----------
    peak_A
        Where its peak is, and ``height`` g(r) there.
    end_A
        The first minimum; the middle of it where g(r) is 0 over some range.
    minimum
        g(r) there, smoothed.
    """

    peak_A: float
    height: float
    end_A: float
    minimum: float


def smoothed(g: FloatArray, step_A: float, width_A: float = SMOOTHING_A) -> FloatArray:
    """Return g(r) smoothed by a Gaussian; ends are continued."""
    reach = max(1, int(np.ceil(4.0 * width_A / step_A)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step_A / width_A) ** 2)
    padded = np.concatenate([np.full(reach, g[0]), g, np.full(reach, g[-1])])
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def first_shell(r_A: FloatArray, g: FloatArray) -> FirstShell | None:
    """Return the first peak of g(r) and the minimum behind it; None where there is none before the end.

    A peak counts if g(r), smoothed, rises above 1 and then falls and rises again by `LEAST_RISE`, or by half of the
    height that the peak has over the minimum: noise does neither.

    Parameters
    ----------
    r_A, g
        Evenly spaced, shape [bins].
    """
    if len(r_A) < 3:
        return None
    step = float(r_A[1] - r_A[0])
    smooth = smoothed(g, step)
    peak = lowest = -1
    for place, value in enumerate(smooth):
        if peak < 0 or (value > smooth[peak] and lowest < 0):
            if value > 1.0:
                peak = place
            continue
        if lowest < 0:
            if value < smooth[peak] - min(LEAST_RISE, 0.5 * smooth[peak]):
                lowest = place
            continue
        if value < smooth[lowest]:
            lowest = place
        elif value - smooth[lowest] > min(LEAST_RISE, 0.5 * (smooth[peak] - smooth[lowest])) * _share(smooth[lowest]):
            return _shell(r_A, smooth, peak, lowest, place)
    return None


def _share(minimum: float) -> float:
    """Return the part of the rise that is asked for behind a minimum: where that is near 1, next peaks are low."""
    return float(np.clip(1.0 - minimum, 0.2, 1.0))


def _shell(r_A: FloatArray, smooth: FloatArray, peak: int, lowest: int, risen: int) -> FirstShell:
    # Where there is a gap any end in it gives the same number; its middle is farthest from both shells.
    flat = peak + np.flatnonzero(smooth[peak:risen] <= smooth[lowest] + _ZERO * min(1.0, smooth[peak]))
    middle = int((flat[0] + flat[-1]) // 2)
    return FirstShell(float(r_A[peak]), float(smooth[peak]), float(r_A[middle]), float(smooth[middle]))
