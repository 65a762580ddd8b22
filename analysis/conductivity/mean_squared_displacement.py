"""Mean squared displacements over all time origins, by fast Fourier transform.

<|r(t+m) - r(t)|²> averaged over the T - m origins t is (A(m) - 2 C(m)) / (T - m), where C is the autocorrelation of
the positions, which a Fourier transform gives in O(T log T), and A the sum of squares of the positions that take
part, a running sum: Kneller et al., Comput. Phys. Commun. 1995, 91, 191 (10.1016/0010-4655(95)00048-K) and Calandrini
et al., Collection SFN 2011, 12, 201 (10.1051/sfn/201112010).

The difference cancels digits: A and 2 C are of the size of T times the squares of the positions. Every series is
therefore centred at its own mean first, the running sums are kept in extended precision, and the shortest lags, for
which cancellation is worst, are summed directly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import FloatArray, IntArray

# Values (of 8 bytes) that one chunk of series may hold: some ten times this is in memory at once.
_CHUNK_VALUES = 4_000_000
# Below this lag the direct sum is as cheap as the transform and loses no digits.
_DIRECT_LAGS = 4


def mean_squared_displacements(
    positions_A: FloatArray,
    lags: IntArray,
    *,
    atoms: IntArray | None = None,
    drift_A: FloatArray | None = None,
) -> FloatArray:
    """Return each atom's mean squared displacement along each axis, shape [n_lags, n_atoms, 3] (Å²).

    Atoms are done in chunks: beside the input and the result, memory stays below some 0.5 GB.

    Parameters
    ----------
    positions_A
        Unwrapped positions, shape [n_frames, n_all, 3] (Å).
    lags
        Distances in time (frames), each from 0 to n_frames - 1, shape [n_lags].
    atoms
        Indices of the atoms wanted, shape [n_atoms]; None takes all.
    drift_A
        Displacement of the frame of reference, subtracted from every atom, shape [n_frames, 3] (Å).

    Raises
    ------
    ValueError
        If a lag is negative or not shorter than the trajectory.
    """
    n_frames, n_all, _ = positions_A.shape
    lags = np.asarray(lags, dtype=np.int64)
    if len(lags) and (lags.min() < 0 or lags.max() >= n_frames):
        raise ValueError(f"lags must be from 0 to {n_frames - 1} frames, not {lags.min()} to {lags.max()}")
    chosen = np.arange(n_all) if atoms is None else np.asarray(atoms, dtype=np.int64)
    found = np.empty((len(lags), len(chosen), 3))
    size = max(1, _CHUNK_VALUES // (3 * n_frames))
    for start in range(0, len(chosen), size):
        part = chosen[start : start + size]
        moved = positions_A[:, part]
        if drift_A is not None:
            moved = moved - drift_A[:, None]
        series = np.ascontiguousarray(moved.reshape(n_frames, -1).T)
        found[:, start : start + size] = _squared_displacements(series, lags).T.reshape(len(lags), -1, 3)
    return found


def _squared_displacements(series: FloatArray, lags: IntArray) -> FloatArray:
    """Return mean squared displacements of one-dimensional series [n_series, n_frames], shape [n_series, n_lags]."""

    import scipy.fft

    n_frames = series.shape[1]
    series = series - series.mean(axis=1, keepdims=True)
    # A transform of this length leaves no origin to wrap around into a lag that is asked for.
    length = scipy.fft.next_fast_len(n_frames + int(lags.max(initial=0)), real=True)
    spectrum = scipy.fft.rfft(series, length, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    del spectrum
    correlation = scipy.fft.irfft(power, length, axis=1, overwrite_x=True)[:, lags]
    del power
    # Squares of the first T - m positions, and of all but the first m.
    ends = np.concatenate([n_frames - lags, lags, [n_frames]])
    first, skipped, total = np.split(_running_sums(series**2, ends), [len(lags), 2 * len(lags)], axis=1)
    found = np.asarray((first + total - skipped - 2 * correlation) / (n_frames - lags), dtype=np.float64)
    for index, lag in enumerate(lags):
        if lag <= _DIRECT_LAGS:
            found[:, index] = np.mean((series[:, lag:] - series[:, : n_frames - lag]) ** 2, axis=1)
    return np.maximum(found, 0.0)


def _running_sums(values: FloatArray, ends: IntArray) -> NDArray[np.longdouble]:
    """Return the sums of the first ``ends`` values of each row [n_rows, n_values], shape [n_rows, n_ends]."""
    known, where = np.unique(ends, return_inverse=True)
    sums = np.zeros((len(values), len(known)), dtype=np.longdouble)
    for index, (start, end) in enumerate(zip([0, *known[:-1]], known, strict=True)):
        sums[:, index] = values[:, start:end].sum(axis=1)
    return np.asarray(np.cumsum(sums, axis=1)[:, where])


def direct_mean_squared_displacements(positions_A: FloatArray, lags: IntArray) -> FloatArray:
    """Return what `mean_squared_displacements` does by the direct sum, O(T) for every lag: the yardstick."""
    n_frames = len(positions_A)
    return np.stack([np.mean((positions_A[m:] - positions_A[: n_frames - m]) ** 2, axis=0) for m in lags])


def spread_lags(longest: int, per_decade: int = 16) -> IntArray:
    """Return whole lags from 1 to ``longest`` in geometric progression, each once, shape [n_lags]."""
    if longest < 1:
        return np.zeros(0, dtype=np.int64)
    count = int(np.ceil(per_decade * np.log10(longest))) + 1
    return np.unique(np.geomspace(1, longest, max(count, 2)).round().astype(np.int64))


def brownian_covariance(n_frames: int, lags: IntArray, strides: IntArray | None = None) -> FloatArray:
    """Return the covariance of the mean squared displacements of a one-dimensional Brownian path, [n_lags, n_lags].

    Steps between frames have variance 1. With Y_m(t) the displacement in m steps from origin t,
    cov(Y_m(t)², Y_n(t')²) = 2 o², o the number of steps that both contain; this is summed over all origins (Qian,
    Sheetz, Elson, Biophys. J. 1991, 60, 910, 10.1016/S0006-3495(91)82125-7, who do so for m = n).

    Parameters
    ----------
    strides
        Distances between the origins that are used at each lag, each a multiple of those before it; None uses all.
    """
    lags = np.asarray(lags, dtype=np.int64)
    steps = np.ones_like(lags) if strides is None else np.asarray(strides, dtype=np.int64)
    counts = (n_frames - lags + steps - 1) // steps
    covariance = np.empty((len(lags), len(lags)))
    for i, (m, coarse) in enumerate(zip(lags, steps, strict=True)):
        for j, (n, fine) in enumerate(zip(lags[: i + 1], steps[: i + 1], strict=True)):
            # Origin t' = t + shift of the shorter lag n; only overlapping pairs count.
            shift = fine * np.arange(-((n - 1) // fine), (m - 1) // fine + 1)
            overlap = np.minimum(m, shift + n) - np.maximum(0, shift)
            last = np.minimum(n_frames - m - 1, n_frames - n - 1 - shift) // coarse
            first = -(np.minimum(shift, 0) // coarse)
            total = float(np.sum(overlap.astype(float) ** 2 * np.maximum(last - first + 1, 0)))
            covariance[i, j] = covariance[j, i] = 2.0 * total / (float(counts[i]) * float(counts[j]))
    return covariance
