"""Ewald sum of point charges in a triclinic cell: how to split it, and its reciprocal half.

With charges q, volume V, splitting α and structure factor S(G) = Σ q exp(iG·r) (Ewald, Ann. Phys. 1921, 369,
253, 10.1002/andp.19213690304)::

    E/k_e = ½ Σ' q_i q_j erfc(αr)/r + (2π/V) Σ_{G≠0} exp(-G²/4α²) |S(G)|²/G² - (α/√π) Σ q² - πQ²/(2Vα²)

The last term is a uniform background that makes a charged cell neutral. Both sums are truncated where the
root-mean-square error that they leave in a force, as estimated by Kolafa and Perram (Mol. Simul. 1992, 9,
351, 10.1080/08927029208049126), reaches the target.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....core.arrays import FloatArray, IntArray
from ....core.errors import InputError

COULOMB_CONSTANT_EV_A = 14.399645478
"""e²/(4πε₀) in eV Å."""

_ROWS_PER_BLOCK_ELEMENTS = 4_000_000
# α comes from a fixed grid, so that what is tabulated for it outlives small changes of the cell.
_ALPHAS = 0.04 * 1.03 ** np.arange(170)
# Each makes the cutoffs, which depend on their own logarithm, ten times more precise.
_ITERATIONS = 4


@dataclass(frozen=True)
class Costs:
    """Seconds per pair in real space, and per atom and reciprocal vector: they only steer the splitting."""

    pair: float
    wave: float


# Measured on one core (AVX-512, 2.0 to 3.5 GHz).
COMPILED_COSTS = Costs(pair=1.7e-8, wave=1.0e-9)
MATRIX_COSTS = Costs(pair=2.0e-7, wave=8.0e-9)


@dataclass(frozen=True)
class ChargedCell:
    """What a choice of parameters depends on: the cell's volume (Å³) and the ions in it.

    ``pair_cutoffs`` holds, for each class of pairs, its share of all pairs and the distance (Å) to which its
    Slater correction must be summed whatever the splitting.
    """

    n_atoms: int
    volume: float
    squared_charges: float
    pair_cutoffs: tuple[tuple[float, float], ...] = ((1.0, 0.0),)

    def n_pairs(self, cutoffs: FloatArray) -> FloatArray:
        """Expected number of pairs for real-space cutoffs in Å. Shapes [n]."""
        cubes = np.zeros_like(cutoffs)
        for share, slater_cutoff in self.pair_cutoffs:
            cubes += share * np.maximum(cutoffs, slater_cutoff) ** 3
        return np.asarray(self.n_atoms**2 / self.volume * (2 * math.pi / 3) * cubes, dtype=np.float64)

    def strength(self, accuracy: float) -> float:
        """2 k_e Σq² over the target (Å): the estimated errors depend on both through it alone."""
        return 2 * COULOMB_CONSTANT_EV_A * max(self.squared_charges, 1e-12) / accuracy


@dataclass(frozen=True)
class Splitting:
    """Where the Ewald sum is split (``alpha``, 1/Å) and truncated (Å in real, 1/Å in reciprocal space)."""

    alpha: float
    real_cutoff: float
    reciprocal_cutoff: float


@dataclass(frozen=True)
class Contribution:
    """Energy (eV), forces (eV/Å) [n_atoms, 3], strain derivative dE/dε (eV) [3, 3] and potentials dE/dq (V) [n_atoms].

    Forces and strain derivative are at fixed charges.
    """

    energy: float
    forces: FloatArray
    strain_derivative: FloatArray
    potentials: FloatArray


def candidate_alphas(alpha: float | None) -> FloatArray:
    """The splittings to choose from (1/Å): those of a fixed grid, or the one that is asked for. Shape [n]."""
    return np.asarray(_ALPHAS if alpha is None else [alpha], dtype=np.float64)


def real_cutoffs(charged: ChargedCell, alphas: FloatArray, accuracy: float) -> FloatArray:
    """Cutoffs (Å) at which the real-space sum leaves a root-mean-square force error of ``accuracy`` (eV/Å)."""
    cutoffs = np.asarray(3.0 / alphas, dtype=np.float64)
    for _ in range(_ITERATIONS):
        argument = charged.strength(accuracy) / np.sqrt(charged.n_atoms * cutoffs * charged.volume)
        cutoffs = np.asarray(_root_log(argument) / alphas, dtype=np.float64)
    return cutoffs


def _reciprocal_cutoffs(charged: ChargedCell, alphas: FloatArray, accuracy: float) -> FloatArray:
    length = charged.volume ** (1 / 3)
    exponents = np.full_like(alphas, 4.0)
    for _ in range(_ITERATIONS):
        waves = np.maximum(2 * alphas * exponents * length / (2 * math.pi), 1.0)
        argument = charged.strength(accuracy) * alphas / (length * np.sqrt(math.pi * waves * charged.n_atoms))
        exponents = _root_log(argument)
    return 2 * alphas * exponents


def choose_splitting(
    charged: ChargedCell, accuracy: float, alpha: float | None = None, costs: Costs = COMPILED_COSTS
) -> Splitting:
    """The cheapest splitting whose two truncation errors each stay at ``accuracy``.

    Parameters
    ----------
    charged
        The cell and its ions.
    accuracy
        Estimated root-mean-square error of a force from each sum, eV/Å.
    alpha
        Use this α (1/Å) instead of the cheapest.
    costs
        Of the loops that will run.
    """
    alphas = candidate_alphas(alpha)
    near = real_cutoffs(charged, alphas, accuracy)
    far = _reciprocal_cutoffs(charged, alphas, accuracy)
    n_waves = charged.n_atoms * charged.volume * far**3 / (6 * math.pi**2)
    best = int(np.argmin(charged.n_pairs(near) * costs.pair + n_waves * costs.wave))
    return Splitting(float(alphas[best]), float(near[best]), float(far[best]))


def _root_log(argument: FloatArray) -> FloatArray:
    """√(ln x), never below 1.5, so that a generous target still gives a meaningful sum."""
    return np.sqrt(np.log(np.maximum(argument, math.exp(1.5**2))))


@dataclass(frozen=True)
class ReciprocalLattice:
    """Everything of the reciprocal sum that depends on the cell and the splitting alone.

    Vectors G = h b1 + k b2 + l b3 of one half of the sphere |G| ≤ G_c. Those with the same (h, k) share a
    row; ``prefactors`` [n_rows, n_l] are (4π k_e/V) exp(-G²/4α²)/G² times 1 (h = 0) or 2 (h > 0, standing
    for -G too), 0 outside the sphere.
    """

    volume: float
    alpha: float
    inverse_cell: FloatArray
    h: IntArray
    k: IntArray
    l_range: IntArray
    vectors: FloatArray
    prefactors: FloatArray

    @classmethod
    def build(cls, cell: FloatArray, splitting: Splitting) -> ReciprocalLattice:
        """Vectors and factors for a cell (rows are lattice vectors, Å) [3, 3]."""
        inverse = np.linalg.inv(cell).astype(np.float64)
        volume = abs(float(np.linalg.det(cell)))
        # G·a = 2πh bounds each index by the sphere's radius.
        limits = np.floor(splitting.reciprocal_cutoff * np.linalg.norm(cell, axis=1) / (2 * math.pi))
        h_max, k_max, l_max = (int(n) for n in limits)
        plane = np.meshgrid(np.arange(h_max + 1), np.arange(-k_max, k_max + 1), indexing="ij")
        h, k = (index.ravel() for index in plane)
        l_range = np.arange(-l_max, l_max + 1)
        indices = np.empty((len(h), len(l_range), 3))
        indices[..., 0], indices[..., 1], indices[..., 2] = h[:, None], k[:, None], l_range[None, :]
        vectors = 2 * math.pi * indices @ inverse.T
        squares = np.einsum("rlx,rlx->rl", vectors, vectors)
        inside = (squares <= splitting.reciprocal_cutoff**2) & indices.any(axis=-1)
        damping = np.exp(-squares[inside] / (4 * splitting.alpha**2)) / squares[inside]
        prefactors = np.zeros(inside.shape)
        prefactors[inside] = 4 * math.pi * COULOMB_CONSTANT_EV_A / volume * damping
        prefactors[h > 0] *= 2
        rows = inside.any(axis=1)
        return cls(volume, splitting.alpha, inverse, h[rows], k[rows], l_range, vectors[rows], prefactors[rows])

    def _axis_phases(self, positions: FloatArray) -> tuple[NDArray[np.complex128], ...]:
        """exp(2πi n s) for the indices n of each axis, s the fractional coordinates. Shapes [n, n_atoms]."""
        phases = 2j * math.pi * (positions @ self.inverse_cell).T
        k_max = int(np.max(np.abs(self.k), initial=0))
        h_range = np.arange(int(np.max(self.h, initial=0)) + 1)
        ranges = (h_range, np.arange(-k_max, k_max + 1), self.l_range)
        return tuple(np.exp(np.outer(n, phase)) for n, phase in zip(ranges, phases, strict=True))

    def contribution(self, fractions: FloatArray, charges: FloatArray) -> Contribution:
        """Energy, forces and strain derivative of (2π/V) Σ exp(-G²/4α²) |S|²/G².

        Parameters
        ----------
        fractions
            Fractional coordinates. Shape [3, n_atoms].
        charges
            e. Shape [n_atoms].
        """
        from . import kernels

        energy, gradient, strain, potentials = kernels.sum_waves(
            fractions, charges, np.stack([self.h, self.k]), self.prefactors, self.vectors, self.alpha
        )
        return Contribution(energy, -(gradient.T @ self.inverse_cell.T), strain, potentials)

    def pair_matrix(self, positions: FloatArray) -> FloatArray:
        """Return the matrix M with ½ qᵀMq the energy of `contribution` (eV/e²). Shape [n_atoms, n_atoms]."""
        matrix = np.zeros((len(positions), len(positions)))
        for waves, _ in self._wave_blocks(positions):
            matrix += waves.real.T @ waves.real + waves.imag.T @ waves.imag
        return matrix

    def add_to_matrix(
        self, positions: FloatArray, values: FloatArray, gradients: FloatArray, strains: FloatArray
    ) -> None:
        """Add `pair_matrix` (eV/e²) [n_atoms, n_atoms], its derivatives by the first atom's position and by strain.

        Shapes [n_atoms, n_atoms, 3] and [n_atoms, n_atoms, 6], the latter in the order xx, xy, xz, yy, yz, zz.
        """
        components = [(a, b) for a in range(3) for b in range(a, 3)]
        for waves, vectors in self._wave_blocks(positions):
            real, imag = np.ascontiguousarray(waves.real), np.ascontiguousarray(waves.imag)
            powers = real.T @ real + imag.T @ imag
            values += powers
            for axis in range(3):
                # d cos(G·(r_i - r_j))/dr_i = -G sin(G·(r_i - r_j)).
                crossed = (imag * vectors[:, axis, None]).T @ real
                gradients[:, :, axis] -= crossed - crossed.T
            weights = 2 / np.einsum("wx,wx->w", vectors, vectors) + 0.5 / self.alpha**2
            for component, (a, b) in enumerate(components):
                scaled = (weights * vectors[:, a] * vectors[:, b])[:, None]
                strains[:, :, component] += (real * scaled).T @ real + (imag * scaled).T @ imag
                if a == b:
                    strains[:, :, component] -= powers

    def _wave_blocks(self, positions: FloatArray) -> Iterator[tuple[NDArray[np.complex128], FloatArray]]:
        """Yield √p exp(iG·r) [n_waves, n_atoms] and G [n_waves, 3] of all waves, in blocks that bound the memory."""
        along_h, along_k, along_l = self._axis_phases(positions)
        k_max = (len(along_k) - 1) // 2
        n_atoms = len(positions)
        size = max(1, _ROWS_PER_BLOCK_ELEMENTS // (n_atoms * len(self.l_range)))
        for start in range(0, len(self.h), size):
            block = slice(start, start + size)
            waves = along_h[self.h[block]] * along_k[self.k[block] + k_max]
            waves = (waves[:, None, :] * along_l[None, :, :]).reshape(-1, n_atoms)
            factors = self.prefactors[block].ravel()
            inside = factors > 0
            yield np.sqrt(factors[inside])[:, None] * waves[inside], self.vectors[block].reshape(-1, 3)[inside]


def self_and_background(charges: FloatArray, volume: float, alpha: float) -> Contribution:
    """-(α/√π) Σq² and the neutralising background -πQ²/(2Vα²), times k_e."""
    total = float(charges.sum())
    background = COULOMB_CONSTANT_EV_A * math.pi * total**2 / (2 * volume * alpha**2)
    per_square = COULOMB_CONSTANT_EV_A * alpha / math.sqrt(math.pi)
    own = per_square * float(charges @ charges)
    of_background = COULOMB_CONSTANT_EV_A * math.pi * total / (volume * alpha**2)
    potentials = -2 * per_square * charges - of_background
    return Contribution(-own - background, np.zeros((len(charges), 3)), background * np.eye(3), potentials)


def checked_cell(cell: FloatArray) -> FloatArray:
    """The cell with its vectors shortened pairwise: the same lattice, but a skewed cell costs no more.

    Raises
    ------
    InputError
        Where the three vectors do not span a volume.
    """
    cell = np.array(cell, dtype=float)
    lengths = np.linalg.norm(cell, axis=1)
    if not np.all(np.isfinite(cell)) or abs(np.linalg.det(cell)) <= 1e-9 * np.prod(lengths):
        raise InputError(f"The cell {cell.tolist()} (Å) has no volume: give three independent lattice vectors.")
    # Lagrange reduction of each pair of vectors: every step shortens one, so it ends.
    shortened = True
    while shortened:
        shortened = False
        for row in range(3):
            for other in range(3):
                steps = round(float(cell[row] @ cell[other] / (cell[other] @ cell[other]))) * (row != other)
                candidate = cell[row] - steps * cell[other]
                if candidate @ candidate < (1 - 1e-9) * (cell[row] @ cell[row]):
                    cell[row] = candidate
                    shortened = True
    return cell
