"""Potentials of many sets of charges on the same atoms: pairs are found and weighted once, for iterations.

In real space the interaction is a sparse matrix, so that it reaches farther than in a single sum and the mesh of the
reciprocal half is the coarser for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from ....core.arrays import FloatArray, IntArray
from ...compiler import numba
from ...native.neighbours import NeighbourList
from .clouds import CloudTable
from .ewald import (
    COULOMB_CONSTANT_EV_A,
    ChargedCell,
    Costs,
    ReciprocalLattice,
    checked_cell,
    choose_splitting,
)
from .particle_mesh import ParticleMesh, choose_mesh
from .real_space import KindArray, PairTables, tables_fit
from .slabs import Surroundings, add_slab_matrix, slab_contribution
from .summation import SHARE, TAIL_SHARE, charged_cell_of

# Measured seconds per pair, of which iterations take a part; per atom and wave of a matrix. They only steer.
_ITERATION_COSTS: Final = Costs(pair=8.0e-9, wave=1.0e-9)
_MATRIX_COSTS: Final = Costs(pair=6.0e-8, wave=1.2e-8)
_SKIN_A = 0.5


@dataclass(frozen=True, eq=False)
class _Plan:
    """What outlives a step of a trajectory: splitting, cutoffs of pairs of kinds (Å), tables and lists."""

    alpha: float
    cutoffs: FloatArray
    tables: PairTables
    neighbours: NeighbourList
    reciprocal: ReciprocalLattice | ParticleMesh


class PotentialSum:
    """Potentials of charges in a cell, as `.summation.CoulombSum` gives them within its accuracy.

    Parameters
    ----------
    clouds, magnitudes, accuracy
        As in `.summation.CoulombSum`, the interaction of a cloud with itself included.
    """

    def __init__(self, clouds: CloudTable, magnitudes: ArrayLike, accuracy: float) -> None:
        self._clouds = clouds
        self._magnitudes = np.asarray(magnitudes, dtype=np.float64)
        self._accuracy = accuracy
        strengths = COULOMB_CONSTANT_EV_A * np.outer(self._magnitudes, self._magnitudes)
        self._cutoffs = clouds.cutoffs(strengths, TAIL_SHARE * accuracy)
        self._plans: dict[bool, tuple[tuple[bytes, bytes], _Plan | None]] = {}

    def matrix(self, positions: FloatArray, around: Surroundings, kinds: IntArray) -> FloatArray | None:
        """Return A (eV/e²) [n_atoms, n_atoms], None where the clouds are too sharp to tabulate.

        Equal arguments give equal bits, whatever was asked for before.

        Parameters
        ----------
        positions
            Å. Shape [n_atoms, 3].
        around
            Of a crystal or a slab.
        kinds
            Of the atoms. Shape [n_atoms].
        """
        plan = self._plan(around, kinds, with_mesh=False)
        if plan is None:
            return None
        assert isinstance(plan.reciprocal, ReciprocalLattice)
        found = self._real_space(plan, positions, around, kinds).toarray()
        found += plan.reciprocal.pair_matrix(positions) - self._background(around, plan.alpha)
        if around.normal is not None:
            nothing = np.zeros((0, len(kinds), 3))
            add_slab_matrix(positions, around, found, nothing, nothing)
        return found

    def at(
        self, positions: FloatArray, around: Surroundings, kinds: IntArray
    ) -> Callable[[FloatArray], FloatArray] | None:
        """Return a function from charges (e) to potentials (V), both [n_atoms]; arguments and None as `matrix`."""
        plan = self._plan(around, kinds, with_mesh=True)
        if plan is None:
            return None
        assert isinstance(plan.reciprocal, ParticleMesh)
        near, mesh = self._real_space(plan, positions, around, kinds), plan.reciprocal
        background = self._background(around, plan.alpha)
        fractions = np.ascontiguousarray((positions @ mesh.inverse_cell).T)
        fractions -= np.floor(fractions)

        def potentials(charges: FloatArray) -> FloatArray:
            far = mesh.contribution(fractions, charges).potentials
            found = near @ charges + far - background * charges.sum()
            if around.normal is not None:
                found = found + slab_contribution(positions, around, charges).potentials
            return np.asarray(found, dtype=np.float64)

        return potentials

    def _plan(self, around: Surroundings, kinds: IntArray, *, with_mesh: bool) -> _Plan | None:
        assert around.cell is not None
        counts = np.bincount(kinds, minlength=len(self._magnitudes))
        key = (around.cell.tobytes(), counts.tobytes())
        kept = self._plans.get(with_mesh)
        if kept is None or kept[0] != key:
            cell = checked_cell(around.cell)
            charged = charged_cell_of(cell, counts, self._magnitudes, self._cutoffs)
            kept = self._plans[with_mesh] = (key, self._planned(cell, charged, with_mesh=with_mesh))
        return kept[1]

    def _planned(self, cell: FloatArray, charged: ChargedCell, *, with_mesh: bool) -> _Plan | None:
        share = SHARE * self._accuracy
        mesh = choose_mesh(charged, cell, share, None, _ITERATION_COSTS) if with_mesh else None
        if with_mesh and mesh is None:
            return None
        splitting = choose_splitting(charged, share, costs=_MATRIX_COSTS) if mesh is None else mesh.splitting
        cutoffs = np.maximum(self._cutoffs, splitting.real_cutoff)
        reach = math.ceil(float(cutoffs.max()))
        if not tables_fit(self._clouds, splitting.alpha, reach):
            return None
        return _Plan(
            splitting.alpha,
            cutoffs,
            PairTables.build(self._clouds, splitting.alpha, reach),
            NeighbourList(float(cutoffs.max()), _SKIN_A),
            ReciprocalLattice.build(cell, splitting) if mesh is None else ParticleMesh.build(cell, mesh),
        )

    def _real_space(self, plan: _Plan, positions: FloatArray, around: Surroundings, kinds: IntArray) -> csr_array:
        """Return what pairs and clouds alone give. Shape [n_atoms, n_atoms]."""
        assert around.cell is not None
        pairs = plan.neighbours.update(positions, around.cell, np.ones(3, dtype=np.bool_))
        tables = plan.tables
        values = _pair_values(
            pairs.starts,
            pairs.second,
            pairs.distances,
            kinds,
            plan.cutoffs,
            tables.rows,
            tables.coefficients,
            tables.per_length,
        )
        n_atoms = len(kinds)
        found = csr_array((COULOMB_CONSTANT_EV_A * values, pairs.second, pairs.starts), shape=(n_atoms, n_atoms))
        # Diffuse clouds reach farther than most.
        found.eliminate_zeros()
        own = self._clouds.self_interaction[kinds] - 2 * plan.alpha / math.sqrt(math.pi)
        diagonal = csr_array((COULOMB_CONSTANT_EV_A * own, np.arange(n_atoms), np.arange(n_atoms + 1)))
        return csr_array(found + diagonal)

    @staticmethod
    def _background(around: Surroundings, alpha: float) -> float:
        return COULOMB_CONSTANT_EV_A * math.pi / (around.volume * alpha**2)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _pair_values(
    starts: IntArray,
    second: IntArray,
    distances: FloatArray,
    kinds: IntArray,
    cutoffs: FloatArray,
    rows: KindArray,
    coefficients: FloatArray,
    per_length: float,
) -> FloatArray:
    """Return ψ(r)/r (1/Å) of ordered pairs, 0 beyond the cutoff of their kinds, from `PairTables`. Shape [n_pairs]."""
    values = np.zeros(len(second))
    for i in range(len(starts) - 1):
        for pair in range(starts[i], starts[i + 1]):
            r, j = distances[pair], second[pair]
            if r >= cutoffs[kinds[i], kinds[j]]:
                continue
            u = r * per_length
            interval = int(u)
            t = 2.0 * (u - interval) - 1.0
            c = coefficients[rows[kinds[i], kinds[j]], interval]
            psi = ((((((c[7] * t + c[6]) * t + c[5]) * t + c[4]) * t + c[3]) * t + c[2]) * t + c[1]) * t + c[0]
            values[pair] = psi / r
    return values
