"""When and where ions hop, where nobody knows their sites: moves of their mean positions.

Positions are averaged over half a picosecond, in which vibrations cancel. An ion is where it was until its mean is a
length away; that is a hop, and there it is from then on. Its time is when the mean was halfway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arrays import FloatArray, IntArray

_AVERAGED_PS = 0.5


@dataclass(frozen=True)
class IonHops:
    """Hops as columns, in order of time.

    Attributes
    ----------
    ion
        Index among the mobile ions, [n_hops].
    frame
        When (frames), [n_hops].
    place_A
        The middle between before and after, [n_hops, 3] (Å).
    """

    ion: IntArray
    frame: FloatArray
    place_A: FloatArray

    def __len__(self) -> int:
        """Return the number of hops."""
        return len(self.ion)


def ion_hops(positions_A: FloatArray, frame_ps: float, length_A: float) -> IonHops:
    """Return the hops of ions.

    Parameters
    ----------
    positions_A
        Unwrapped positions of the ions against the host, [n_frames, n_ions, 3] (Å).
    frame_ps
        Time between frames (ps).
    length_A
        Distance from which on a move is a hop (Å).
    """
    width = max(1, min(round(_AVERAGED_PS / frame_ps), len(positions_A)))
    sums = np.cumsum(np.concatenate([np.zeros((1, *positions_A.shape[1:])), positions_A]), axis=0)
    means = (sums[width:] - sums[:-width]) / width
    at = means[0].copy()
    # The last frame in which each ion was less than halfway.
    before_half = np.zeros(positions_A.shape[1], dtype=np.int64)
    ions, frames, places = [], [], []
    for number, mean in enumerate(means):
        squares = np.einsum("ic,ic->i", mean - at, mean - at)
        moved = np.flatnonzero(squares >= length_A**2)
        before_half[squares < (0.5 * length_A) ** 2] = number
        if len(moved):
            ions.append(moved)
            frames.append(np.minimum(before_half[moved] + 0.5, number))
            places.append(0.5 * (mean[moved] + at[moved]))
            at[moved] = mean[moved]
            before_half[moved] = number
    if not ions:
        return IonHops(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, 3)))
    frame = np.concatenate(frames) + 0.5 * (width - 1)
    order = np.argsort(frame, kind="stable")
    return IonHops(np.concatenate(ions)[order], frame[order], np.concatenate(places)[order])
