"""g(r), coordination numbers and structure factors out of sums over frames.

The partial structure factors are Faber and Ziman's,

    S_ab(q) = 1 + 4πρ ∫ r² [g_ab(r) - 1] sin(qr)/(qr) L(r) dr,   L(r) = sin(πr/R)/(πr/R)

(Lorch, J. Phys. C 1969, 2, 229, 10.1088/0022-3719/2/2/305), and directly, from the modes ρ_a(q) = Σ exp(iq·r),

    S_ab(q) = 1 + [<Re ρ_a(q) ρ_b(q)*>/N - c_a δ_ab] / (c_a c_b)

of N atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import FloatArray, IntArray
from .sums import BlockSums, Grid

FADE_PER_A = 0.5
"""Range below the end of the direct sum in which the transform takes over (1/Å)."""


@dataclass(frozen=True)
class Partials:
    """Partial functions of one set of frames.

    Attributes
    ----------
    counts
        Atoms of each species, in the order of the first two axes of all that follows.
    r_A, g
        Middles of bins, and pair distribution functions, shape [n_species, n_species, bins].
    running_coordination
        Atoms of the second species around one of the first up to the upper edge of each bin, of the shape of ``g``.
    q_per_A, s
        Wave vectors, and partial structure factors, shape [n_species, n_species, n_q].
    density_per_A3
        Atoms per volume.
    """

    counts: IntArray
    r_A: FloatArray
    g: FloatArray
    running_coordination: FloatArray
    q_per_A: FloatArray
    s: FloatArray
    density_per_A3: float


@dataclass(frozen=True)
class WaveVectors:
    """Where structure factors are taken: shells of the direct sum that are not empty, then evenly spaced.

    Attributes
    ----------
    direct
        Which shells are not empty, numbers, shape [n_direct].
    q_per_A
        All wave vectors, the mean lengths of those shells first, shape [n_q] (1/Å).
    share
        Part of the direct sum at each of the first n_direct, 1 and then down to 0, shape [n_direct].
    """

    direct: IntArray
    q_per_A: FloatArray
    share: FloatArray


def wave_vectors(blocks: Sequence[BlockSums], grid: Grid, q_max_per_A: float, q_step_per_A: float) -> WaveVectors:
    """Return the wave vectors of structure factors: shells that are empty in no block, whose cells may differ."""
    direct = np.flatnonzero(np.min([block.vectors for block in blocks], axis=0))
    vectors = np.sum([block.vectors for block in blocks], axis=0)[direct]
    lengths = np.sum([block.lengths_per_A for block in blocks], axis=0)[direct] / vectors
    beyond = np.arange(grid.shells + 1, int(q_max_per_A / q_step_per_A + 1e-9) + 1) * q_step_per_A
    end = grid.direct_q_max_per_A
    # Where the transform is all that there is beyond, it takes over little by little.
    share = np.clip((end - lengths) / FADE_PER_A, 0.0, 1.0) if len(beyond) else np.ones(len(direct))
    return WaveVectors(direct, np.concatenate([lengths, beyond]), share)


def pair_distribution(sums: BlockSums, counts: IntArray, grid: Grid) -> FloatArray:
    """Return g_ab(r) = V N_ab(r) / (N_a N_b v(r)) with v the volume of the shell, shape [n_species, n_species, bins].

    An atom is no neighbour of itself, so that an ideal gas of N_a atoms has 1 - 1/N_a in a cell.
    """
    pairs = counts[:, None] * counts[None, :]
    return np.asarray(sums.pairs * sums.volume_A3 / (sums.frames * pairs[:, :, None] * grid.shell_volumes_A3))


def running_coordination(sums: BlockSums, counts: IntArray) -> FloatArray:
    """Return the number of atoms of the second species around one of the first, up to each bin's upper edge."""
    return np.asarray(np.cumsum(sums.pairs, axis=2) / (sums.frames * counts[:, None, None]))


def transformed(g: FloatArray, grid: Grid, density_per_A3: float, q_per_A: FloatArray) -> FloatArray:
    """Return partial structure factors from g(r), shape [n_species, n_species, n_q].

    Parameters
    ----------
    g
        Shape [n_species, n_species, bins].
    """
    bins = grid.transformed_bins
    return _transform(g[:, :, :bins], grid, density_per_A3, q_per_A, np.sinc(grid.r_A[:bins] / grid.edges_A[bins]))


def _transform(g: FloatArray, grid: Grid, density_per_A3: float, q_per_A: FloatArray, window: FloatArray) -> FloatArray:
    bins = g.shape[2]
    kernel = np.sinc(np.outer(grid.r_A[:bins], q_per_A) / np.pi) * (grid.shell_volumes_A3[:bins] * window)[:, None]
    return np.asarray(1.0 + density_per_A3 * ((g - 1.0) @ kernel))


def direct_structure_factors(sums: BlockSums, counts: IntArray, shells: IntArray) -> FloatArray:
    """Return partial structure factors of the direct sum in these shells, none of which may be empty.

    Shape [n_species, n_species, n_shells].
    """
    atoms = int(counts.sum())
    shares = counts / atoms
    mean = sums.products[:, :, shells] / (sums.vectors[shells] * atoms)
    own = np.diag(shares)[:, :, None]
    return np.asarray(1.0 + (mean - own) / (shares[:, None] * shares[None, :])[:, :, None])


def partials(sums: BlockSums, counts: IntArray, grid: Grid, waves: WaveVectors) -> Partials:
    """Return all partial functions of sums over frames."""
    density = float(counts.sum() / sums.volume_A3)
    g = pair_distribution(sums, counts, grid)
    s = transformed(g, grid, density, waves.q_per_A)
    joined = len(waves.direct)
    direct = direct_structure_factors(sums, counts, waves.direct)
    s[:, :, :joined] = waves.share * direct + (1.0 - waves.share) * s[:, :, :joined]
    return Partials(counts, grid.r_A, g, running_coordination(sums, counts), waves.q_per_A, s, density)


def seam(sums: BlockSums, counts: IntArray, grid: Grid, waves: WaveVectors, weights: FloatArray) -> float | None:
    """Return how far direct sum and transform are apart where one takes over from the other; None without such a place.

    Root-mean-square difference of the total structure factor (no unit). Of a crystal it is large: its peaks are sharper
    than the transform of a g(r) that ends can show.
    """
    fading = np.flatnonzero((waves.share > 0) & (waves.share < 1))
    if not len(fading):
        return None
    g = pair_distribution(sums, counts, grid)
    density = float(counts.sum() / sums.volume_A3)
    there = transformed(g, grid, density, waves.q_per_A[fading])
    direct = direct_structure_factors(sums, counts, waves.direct[fading])
    apart = total(direct, weights[:, :, fading]) - total(there, weights[:, :, fading])
    return float(np.sqrt(np.mean(apart**2)))


def total(each: FloatArray, weights: FloatArray) -> FloatArray:
    """Return Σ_ab w_ab x_ab of partial functions, shape [n_q] (or [n_r])."""
    return np.asarray(np.einsum("abk,abk->k", np.broadcast_to(weights, each.shape), each))


def total_correlation(
    g: FloatArray, grid: Grid, density_per_A3: float, weights: FloatArray, q_per_A: FloatArray
) -> FloatArray:
    """Return T(r) = 4πρr G(r) as an experiment sees it whose S(q) ends at the last wave vector, shape [bins] (1/Å²).

    S(q) of g(r) is weighted at each wave vector and transformed back with Lorch's window:
    T(r) = 4πρr + (2/π) ∫ q [S(q) - 1] L(q) sin(qr) dq. Divided by <b>².

    Parameters
    ----------
    weights
        Of `scattering.faber_ziman_weights` at ``q_per_A``, shape [n_species, n_species, n_q].
    q_per_A
        Evenly spaced from 0 or one step, shape [n_q].
    """
    interference = total(_transform(g, grid, density_per_A3, q_per_A, np.ones(grid.bins)) - 1.0, weights)
    step = float(q_per_A[1] - q_per_A[0])
    window = np.sinc(q_per_A / q_per_A[-1])
    sines = np.sin(np.outer(grid.r_A, q_per_A))
    return np.asarray(
        4.0 * np.pi * density_per_A3 * grid.r_A + 2.0 / np.pi * step * (sines @ (q_per_A * interference * window))
    )
