"""Real-space half of the Ewald sum with Slater clouds: tabulated per pair of kinds, summed over a cell list."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import erfc

from ....core.arrays import FloatArray, IntArray
from ...threads import in_threads
from .clouds import ERFC_RATE, CloudTable
from .ewald import COULOMB_CONSTANT_EV_A, Contribution

KindArray = NDArray[np.uint32]

_DEGREE = 7
# Width of an interval times the fastest decay: polynomials of degree 7 then reach the rounding of ψ, 1e-15.
_WIDTH = 0.2
MOST_INTERVALS = 20_000
"""Intervals beyond which tables no longer pay: Slater exponents so large that no ion has them."""
# Measured: with 2 or 8 a sum takes up to a tenth longer.
_ATOMS_PER_BIN = 4.0
# Summed one by one, by however many threads: the order of the sum, and with it the last bit, stays.
_PARTS = 4
# Place of each component of the strain derivative behind the energy.
_STRAIN_OF_VOIGT = np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]])


@dataclass(frozen=True)
class PairTables:
    """ψ(r) = erfc(αr) + r J(r) - 1 for each pair of kinds, piecewise polynomials in r.

    ψ is smooth down to r = 0, and the energy of a pair is k_e q_i q_j ψ/r. ``coefficients``
    [n_tables, n_intervals, 8] are of t⁰ ... t⁷ with t from -1 to 1 across an interval of 1/``per_length`` Å;
    ``rows`` [n_kinds, n_kinds] says which table a pair has.
    """

    coefficients: FloatArray
    rows: KindArray
    per_length: float

    @classmethod
    def build(cls, clouds: CloudTable, alpha: float, reach: float) -> PairTables:
        """Tables for distances up to ``reach`` (Å). The coefficients do not depend on the reach."""
        per_length = _intervals_per_length(clouds, alpha)
        n_intervals = math.ceil(reach * per_length) + 1
        nodes = np.cos(math.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
        distances = ((np.arange(n_intervals)[:, None] + 0.5 * (nodes + 1)) / per_length).ravel()
        to_powers = _interpolation_matrix(nodes)
        screened = erfc(alpha * distances)
        first, second = np.triu_indices(clouds.n_kinds)
        rows = np.zeros((clouds.n_kinds, clouds.n_kinds), dtype=np.uint32)
        rows[first, second] = rows[second, first] = np.arange(len(first))
        coefficients = np.empty((len(first), n_intervals, _DEGREE + 1))
        for table, pair in enumerate(clouds.pair_index(first, second)):
            correction, _ = clouds.correction(np.full(len(distances), pair), distances)
            psi = (screened + distances * correction).reshape(n_intervals, -1)
            coefficients[table] = psi @ to_powers
        return cls(coefficients, rows, per_length)


def tables_fit(clouds: CloudTable, alpha: float, reach: float) -> bool:
    """Whether the tables stay small: not for Slater exponents so large that they are points to any ion."""
    return reach * _intervals_per_length(clouds, alpha) < MOST_INTERVALS


def _intervals_per_length(clouds: CloudTable, alpha: float) -> float:
    return max(clouds.rate, ERFC_RATE * alpha) / _WIDTH


def _interpolation_matrix(nodes: FloatArray) -> FloatArray:
    """Values at Chebyshev nodes -> coefficients of powers. Shape [n_nodes, n_powers]."""
    degree = len(nodes) - 1
    series = chebyshev.chebvander(nodes, degree) * (2 / (degree + 1))
    series[:, 0] /= 2
    powers = np.zeros((degree + 1, degree + 1))
    for order in range(degree + 1):
        powers[order, : order + 1] = chebyshev.cheb2poly(np.eye(degree + 1)[order, : order + 1])
    return series @ powers


@dataclass(frozen=True)
class CellList:
    """How a cell is cut into bins, and which bins are within the cutoff of each other."""

    cell: FloatArray
    inverse_cell: FloatArray
    bins: IntArray
    rows: IntArray
    cutoff: float

    @classmethod
    def build(cls, cell: FloatArray, n_atoms: int, cutoff: float) -> CellList:
        """Bins of a cell (rows are lattice vectors, Å) of any shape, also smaller than the cutoff (Å)."""
        from .bin_rows import rows_within_reach

        inverse = np.ascontiguousarray(np.linalg.inv(cell), dtype=np.float64)
        heights = 1 / np.linalg.norm(inverse, axis=0)
        volume = abs(float(np.linalg.det(cell)))
        width = (_ATOMS_PER_BIN * volume / max(n_atoms, 1)) ** (1 / 3)
        bins = np.maximum(1, np.floor(heights / width)).astype(np.int64)
        reach = np.floor(cutoff * bins / heights).astype(np.int64) + 1
        rows = rows_within_reach((cell @ cell.T) / np.outer(bins, bins), reach, cutoff**2)
        return cls(np.ascontiguousarray(cell), inverse, bins, rows, cutoff)


@dataclass(frozen=True)
class BinnedAtoms:
    """Atoms sorted by bin: what the compiled sums take. Shapes [n_atoms], [n_bins + 1], [3, n_atoms]."""

    order: IntArray
    start: IntArray
    coordinates: FloatArray
    fractions: FloatArray
    kinds: KindArray
    charges: FloatArray

    @classmethod
    def sort(cls, positions: FloatArray, kinds: IntArray, charges: FloatArray, cells: CellList) -> BinnedAtoms:
        """Wrap positions (Å) [n_atoms, 3] into the cell and sort them."""
        from . import kernels

        order, start, coordinates, fractions = kernels.sort_into_bins(
            np.ascontiguousarray(positions, dtype=np.float64), cells.inverse_cell, cells.cell, cells.bins
        )
        return cls(order, start, coordinates, fractions, kinds[order].astype(np.uint32), charges[order])

    def unsorted(self, found: Contribution) -> Contribution:
        """Return what was found for sorted atoms in the atoms' own order."""
        forces, potentials = np.empty_like(found.forces), np.empty_like(found.potentials)
        forces[self.order], potentials[self.order] = found.forces, found.potentials
        return Contribution(found.energy, forces, found.strain_derivative, potentials)


@dataclass(frozen=True)
class ClosestPair:
    """The two atoms nearest to each other; infinitely far where no two are within the cutoff."""

    distance: float
    first: int
    second: int


def real_space(
    atoms: BinnedAtoms, cells: CellList, tables: PairTables, cutoffs: FloatArray, workers: int = 1
) -> tuple[Contribution, ClosestPair]:
    """Energy, forces, strain derivative and potentials of k_e Σ q_i q_j ψ(r)/r, each pair within its kinds' cutoff.

    Parameters
    ----------
    atoms
        Sorted into the bins of ``cells``.
    cells
        Its cutoff must be the largest of ``cutoffs``.
    tables
        Must reach to the largest of ``cutoffs``.
    cutoffs
        Å, symmetric. Shape [n_kinds, n_kinds].
    workers
        Threads; the result does not depend on them.
    """
    from . import kernels

    sorted_atoms = (atoms.coordinates, atoms.kinds, atoms.charges, atoms.start)
    grid = (cells.bins, cells.cell, cells.rows)
    potential = (cutoffs**2, tables.rows, tables.coefficients, tables.per_length)
    edges = np.linspace(0, len(atoms.start) - 1, _PARTS + 1).astype(np.int64)
    parts = in_threads(
        lambda part: kernels.sum_pairs(edges[part : part + 2], sorted_atoms, grid, potential), range(_PARTS), workers
    )
    gradient = np.sum([part[0] for part in parts], axis=0)
    sums = np.sum([part[1] for part in parts], axis=0)
    closest, first, second = min((part[2:] for part in parts), key=lambda pair: pair[0])
    contribution = Contribution(
        COULOMB_CONSTANT_EV_A * float(sums[0]),
        -COULOMB_CONSTANT_EV_A * gradient[:3].T,
        COULOMB_CONSTANT_EV_A * sums[_STRAIN_OF_VOIGT],
        COULOMB_CONSTANT_EV_A * gradient[3],
    )
    pair = ClosestPair(math.sqrt(closest), int(atoms.order[first]), int(atoms.order[second]))
    return atoms.unsorted(contribution), pair
