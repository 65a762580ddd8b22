"""Which bins of a cell lie within a cutoff of each other. Imported on first use, as `kernels` is."""

from __future__ import annotations

import numpy as np

from .kernels import compiled


@compiled
def rows_within_reach(metric, reach, squared_cutoff):  # type: ignore[no-untyped-def]
    """Which bins hold a point within the cutoff of some point of the bin at the origin: one half space of them.

    Parameters
    ----------
    metric
        Scalar products of a bin's edges, Å². Shape [3, 3].
    reach
        Largest index to consider along each axis. Shape [3].
    squared_cutoff
        Å².

    Returns
    -------
    (dx, dy, first dz, last dz); the first row is (0, 0, 0, last dz). Shape [n_rows, 4].
    """
    rows = np.empty(((reach[0] + 1) * (2 * reach[1] + 1), 4), np.int64)
    count = 0
    offset, y = np.empty(3), np.empty(3)
    for dx in range(reach[0] + 1):
        for dy in range(0 if dx == 0 else -reach[1], reach[1] + 1):
            origin = dx == 0 and dy == 0
            first, last = reach[2] + 1, -reach[2] - 1
            for dz in range(0 if origin else -reach[2], reach[2] + 1):
                offset[0], offset[1], offset[2] = dx, dy, dz
                for a in range(3):
                    y[a] = offset[a]
                # Two points in the bins differ by y, within 1 of the offset: shorten y by coordinate descent.
                for _ in range(12):
                    for a in range(3):
                        rest = 0.0
                        for b in range(3):
                            if b != a:
                                rest += metric[a, b] * y[b]
                        y[a] = min(max(-rest / metric[a, a], offset[a] - 1.0), offset[a] + 1.0)
                # Whatever the direction of y, no difference is shorter than the least projection on it.
                square, projection = 0.0, 0.0
                for a in range(3):
                    along = 0.0
                    for b in range(3):
                        along += metric[a, b] * y[b]
                    square += y[a] * along
                    projection += along * offset[a] - abs(along)
                if projection <= 0.0 or projection * projection <= squared_cutoff * square:
                    first, last = min(first, dz), max(last, dz)
            if last >= first:
                rows[count, 0], rows[count, 1], rows[count, 2], rows[count, 3] = dx, dy, first, last
                count += 1
    return rows[:count].copy()
