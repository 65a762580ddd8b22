"""How often ions hop, where nobody knows their sites: moves of their mean positions.

Positions are averaged over half a picosecond, in which vibrations cancel. An ion is where it was until its mean is
``length_A`` away; that is a hop, and there it is from then on. Ions that rattle within that length never hop, long
hops count once for every such length on the way.
"""

from __future__ import annotations

import numpy as np

from ...core.arrays import FloatArray, IntArray

_AVERAGED_PS = 0.5


def count_hops(positions_A: FloatArray, frame_ps: float, length_A: float) -> IntArray:
    """Return the number of hops of every ion, [n_ions].

    Parameters
    ----------
    positions_A
        Unwrapped positions of the ions against the host, [n_frames, n_ions, 3] (Å).
    frame_ps
        Time between two frames (ps).
    length_A
        Distance from which on a move is a hop (Å).
    """
    width = max(1, min(round(_AVERAGED_PS / frame_ps), len(positions_A)))
    sums = np.cumsum(np.concatenate([np.zeros((1, *positions_A.shape[1:])), positions_A]), axis=0)
    means = (sums[width:] - sums[:-width]) / width
    at = means[0].copy()
    hops = np.zeros(positions_A.shape[1], dtype=np.int64)
    for mean in means[1:]:
        moved = np.einsum("ic,ic->i", mean - at, mean - at) >= length_A**2
        hops[moved] += 1
        at[moved] = mean[moved]
    return hops
