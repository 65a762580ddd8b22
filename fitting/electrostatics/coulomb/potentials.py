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
from .real_space import BinnedAtoms, CellList, PairTables, tables_fit
from .slabs import Surroundings, add_slab_matrix, slab_contribution
from .summation import SHARE, SHORTEST_DISTANCE_A, TAIL_SHARE, charged_cell_of, overlap

# Measured seconds per pair, of which iterations take a part; per atom and wave of a matrix. They only steer.
_ITERATION_COSTS: Final = Costs(pair=8.0e-9, wave=1.0e-9)
_MATRIX_COSTS: Final = Costs(pair=6.0e-8, wave=1.2e-8)
# Entries that are held for pairs, over those expected; more are found room for.
_ROOM = 1.2


@dataclass(frozen=True, eq=False)
class _Plan:
    """What outlives a step of a trajectory: splitting, cutoffs of pairs of kinds (Å), tables, and room for pairs."""

    alpha: float
    cutoffs: FloatArray
    tables: PairTables
    cells: CellList
    room: int
    reciprocal: ReciprocalLattice | ParticleMesh


class PotentialSum:
    """Potentials of charges in a cell, as `.summation.CoulombSum` gives them within its accuracy.

    Parameters
    ----------
    clouds, magnitudes, accuracy
        As in `.summation.CoulombSum`, the interaction of a cloud with itself included.
    workers
        Threads of the mesh's Fourier transforms; the result does not depend on them.
    """

    def __init__(self, clouds: CloudTable, magnitudes: ArrayLike, accuracy: float, workers: int = 1) -> None:
        self._workers = workers
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
        atoms = BinnedAtoms.sort(positions, kinds, np.zeros(len(kinds)), plan.cells)
        half = self._half(plan, atoms).toarray()
        found = plan.reciprocal.pair_matrix(positions) - self._background(around, plan.alpha)
        found[np.ix_(atoms.order, atoms.order)] += half + half.T
        found += np.diag(self._own(plan, kinds))
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
        atoms = BinnedAtoms.sort(positions, kinds, np.zeros(len(kinds)), plan.cells)
        half, own, mesh = self._half(plan, atoms), self._own(plan, kinds), plan.reciprocal
        other, background = half.T, self._background(around, plan.alpha)

        def potentials(charges: FloatArray) -> FloatArray:
            ordered = charges[atoms.order]
            found = own * charges - background * charges.sum()
            far = mesh.contribution(atoms.fractions, ordered, self._workers).potentials
            found[atoms.order] += half @ ordered + other @ ordered + far
            if around.normal is not None:
                found = found + slab_contribution(positions, around, charges).potentials
            return found

        return potentials

    def _plan(self, around: Surroundings, kinds: IntArray, *, with_mesh: bool) -> _Plan | None:
        assert around.cell is not None
        counts = np.bincount(kinds, minlength=len(self._magnitudes))
        key = (around.cell.tobytes(), counts.tobytes())
        kept = self._plans.get(with_mesh)
        if kept is None or kept[0] != key:
            cell = checked_cell(around.cell)
            charged = charged_cell_of(cell, counts, self._magnitudes, self._cutoffs)
            share = SHARE * self._accuracy * around.truncation_share
            kept = self._plans[with_mesh] = (key, self._planned(cell, charged, share, with_mesh=with_mesh))
        return kept[1]

    def _planned(self, cell: FloatArray, charged: ChargedCell, share: float, *, with_mesh: bool) -> _Plan | None:
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
            CellList.build(cell, charged.n_atoms, float(cutoffs.max())),
            int(_ROOM * charged.n_pairs(np.array([splitting.real_cutoff]))[0]) + charged.n_atoms,
            ReciprocalLattice.build(cell, splitting) if mesh is None else ParticleMesh.build(cell, mesh),
        )

    def _half(self, plan: _Plan, atoms: BinnedAtoms) -> csr_array:
        """Return what pairs give, each once, in the order of the sorted atoms (eV/e²). Shape [n_atoms, n_atoms]."""
        from .pair_entries import pair_entries

        tables, n_atoms = plan.tables, len(atoms.order)
        starts, columns, values, square, first, second = pair_entries(
            (atoms.coordinates, atoms.kinds, atoms.charges, atoms.start),
            (plan.cells.bins, plan.cells.cell, plan.cells.rows),
            (plan.cutoffs**2, tables.rows, tables.coefficients, tables.per_length),
            plan.room,
        )
        if square < SHORTEST_DISTANCE_A**2:
            raise overlap(int(atoms.order[first]), int(atoms.order[second]), math.sqrt(square))
        return csr_array((COULOMB_CONSTANT_EV_A * values, columns, starts), shape=(n_atoms, n_atoms))

    def _own(self, plan: _Plan, kinds: IntArray) -> FloatArray:
        """Return what a cloud is to itself, less what the reciprocal sum has of it (eV/e²). Shape [n_atoms]."""
        own = self._clouds.self_interaction[kinds] - 2 * plan.alpha / math.sqrt(math.pi)
        return np.asarray(COULOMB_CONSTANT_EV_A * own, dtype=np.float64)

    @staticmethod
    def _background(around: Surroundings, alpha: float) -> float:
        return COULOMB_CONSTANT_EV_A * math.pi / (around.volume * alpha**2)
