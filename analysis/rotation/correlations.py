"""How long polyanions remember their orientation: correlation functions of ranks 1, 2 and 3.

With unit vectors u_k(t) along the bonds of one polyanion, ligands followed in time:

- C1(t) = <u(t)·u(0)> and C2(t) = <(3 (u(t)·u(0))² - 1)/2>, over bonds, time origins and anions: they decay by any
  rotation, by one that only exchanges ligands as well;
- C_T(t) = <T(t):T(0)> / <T:T> with T_abc = 1/n Σ_k u_a u_b u_c, the order of rank 3 that a tetrahedron has: it does not
  know which ligand is where, and jumps between equivalent orientations leave it as it is.

A free rotor with the rotational diffusivity D has exp(-l(l + 1) D t), l = 1, 2, 3 (Debye). All origins are summed by
fast Fourier transforms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import FloatArray, IntArray

RANKS = ("c1", "c2", "ct")
"""Names of the three correlation functions."""
FEWEST_PIECES = 8
_POINTS = 120
# Σ_abc over a symmetric tensor of rank 3 from its ten elements.
_TRIPLES = (
    (0, 0, 0),
    (1, 1, 1),
    (2, 2, 2),
    (0, 0, 1),
    (0, 0, 2),
    (1, 1, 0),
    (1, 1, 2),
    (2, 2, 0),
    (2, 2, 1),
    (0, 1, 2),
)
_TRIPLE_WEIGHTS = np.array([1.0] * 3 + [3.0] * 6 + [6.0])
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_PAIR_WEIGHTS = np.array([1.0] * 3 + [2.0] * 3)
_NO_TENSOR = 1e-3
"""<T:T> below which there is no order of rank 3, as of an octahedron; that of a tetrahedron is 2/9 · 1 = 0.22."""


@dataclass(frozen=True)
class Directions:
    """Unit vectors along the bonds of one polyanion in one stretch of time.

    Attributes
    ----------
    vectors
        [n_frames, n_ligands, 3].
    anion
        Number of the anion: all its stretches belong together.
    first
        The stretch's first frame in its trajectory, for blocks of time.
    """

    vectors: FloatArray
    anion: int
    first: int = 0


@dataclass(frozen=True)
class CorrelationSums:
    """Sums over time origins, apart for each piece: an anion, or an anion in a block of time.

    Attributes
    ----------
    lags
        Lags that are kept (frames), [n_lags]; the first is 0.
    sums
        Of the products by rank, [3, n_pieces, n_lags].
    counts
        Time origins, [n_pieces, n_lags].
    """

    lags: IntArray
    sums: FloatArray
    counts: FloatArray

    def times_ps(self, frame_ps: float) -> FloatArray:
        """Return the lags as times (ps), from the time between frames."""
        return np.asarray(self.lags * frame_ps, dtype=np.float64)

    def curves(self, weights: FloatArray | None = None) -> FloatArray:
        """Return C1, C2 and C_T, [..., 3, n_lags]; not a number where there is none.

        Parameters
        ----------
        weights
            How often each piece counts, [..., n_pieces]; None: each once.
        """
        if weights is None:
            weights = np.ones(len(self.counts))
        counts = weights @ self.counts
        means = np.stack([weights @ one for one in self.sums], axis=-2)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = means / counts[..., None, :]
            tensor = means[..., 2, :1]
            means[..., 2, :] = np.where(tensor > _NO_TENSOR, means[..., 2, :] / tensor, np.nan)
        return np.asarray(means)


def correlation_sums(
    directions: Iterable[Directions],
    n_frames: int,
    n_anions: int,
    *,
    lags: IntArray | None = None,
    blocks: int = 1,
) -> CorrelationSums:
    """Return the sums of the three correlation functions.

    Parameters
    ----------
    n_frames, n_anions
        Of the trajectory.
    lags
        As of `lags_of`; None: up to half of the trajectory.
    blocks
        Blocks of time origins that each anion is cut in, so that there are pieces to resample; lags are as long as
        ever.
    """
    lags = lags_of(n_frames) if lags is None else lags
    edges = np.linspace(0, n_frames, blocks + 1).round().astype(np.int64)
    sums = np.zeros((len(RANKS), n_anions * blocks, len(lags)))
    counts = np.zeros((n_anions * blocks, len(lags)))
    for one in directions:
        length = len(one.vectors)
        kept = lags[lags < length]
        features = [(_transformed(values, length), values, weights) for values, weights in _features(one.vectors)]
        for block in range(blocks):
            start, stop = (int(np.clip(edge - one.first, 0, length)) for edge in edges[block : block + 2])
            if stop <= start:
                continue
            piece = one.anion * blocks + block
            counts[piece, : len(kept)] += np.clip(np.minimum(stop, length - kept) - start, 0, None)
            for rank, (transformed, values, weights) in enumerate(features):
                origins = transformed if blocks == 1 else _transformed(values, length, (start, stop))
                product = np.einsum("fc,fc,c->f", origins.conj(), transformed, weights)
                sums[rank, piece, : len(kept)] += np.fft.irfft(product, _padded(length))[kept]
    return CorrelationSums(lags, sums, counts)


def blocks_for(n_anions: int) -> int:
    """Return in how many blocks of time each of few anions is cut for there to be enough pieces."""
    return max(1, -(-FEWEST_PIECES // max(n_anions, 1)))


def together(parts: Sequence[CorrelationSums]) -> CorrelationSums:
    """Return the pieces of several trajectories, with the same lags, as those of one."""
    return CorrelationSums(
        parts[0].lags,
        np.concatenate([one.sums for one in parts], axis=1),
        np.concatenate([one.counts for one in parts]),
    )


def lags_of(n_frames: int) -> IntArray:
    """Return lags up to half of a trajectory (frames), all short ones and of the longer ones some in progression."""
    longest = max(1, (n_frames - 1) // 2)
    steps = np.unique(np.geomspace(1, longest, _POINTS).round().astype(np.int64))
    return np.concatenate([[0], steps])


def tetrahedral_order(vectors: FloatArray) -> FloatArray:
    """Return the ten elements of T_abc of polyanions, [..., 10], from unit vectors [..., n_ligands, 3]."""
    return np.stack([np.mean(np.prod(vectors[..., one], axis=-1), axis=-1) for one in _TRIPLES], axis=-1)


def tensor_product(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return T:T' = Σ_abc T_abc T'_abc from elements as `tetrahedral_order` gives them."""
    return np.asarray((first * second) @ _TRIPLE_WEIGHTS)


def _features(vectors: FloatArray) -> Iterable[tuple[FloatArray, FloatArray]]:
    """Yield columns of numbers [n_frames, n_columns] and weights, Σ w x(t) x(0) of which is the product of a rank."""
    n_frames, n_ligands, _ = vectors.shape
    share = 1.0 / n_ligands
    yield vectors.reshape(n_frames, -1), np.full(3 * n_ligands, share)
    # (3 (u·u')² - 1)/2 = 3/2 Σ_ab (u_a u_b - δ_ab/3)(u'_a u'_b - δ_ab/3)
    squares = np.stack([vectors[..., a] * vectors[..., b] - (a == b) / 3.0 for a, b in _PAIRS], axis=-1)
    yield squares.reshape(n_frames, -1), np.tile(1.5 * share * _PAIR_WEIGHTS, n_ligands)
    yield tetrahedral_order(vectors), _TRIPLE_WEIGHTS


def _transformed(values: FloatArray, length: int, origins: tuple[int, int] | None = None) -> FloatArray:
    if origins is not None:
        masked = np.zeros_like(values)
        masked[slice(*origins)] = values[slice(*origins)]
        values = masked
    return np.asarray(np.fft.rfft(values, _padded(length), axis=0))


def _padded(length: int) -> int:
    """Return a length for which transforms are fast and products do not wrap around."""
    least = 2 * length
    best = 1 << (least - 1).bit_length()
    for odd in (3, 5, 9, 15):
        power = odd << max(0, -(-least // odd) - 1).bit_length()
        best = min(best, power) if power >= least else best
    return best
