"""Structures for evaluations: what outlives a step of a trajectory is kept from one to the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from ....core.arrays import FloatArray, IntArray
from ...native.neighbours import NeighbourList
from ...pair_lists import Pairs
from ..coulomb.clouds import CloudTable
from ..coulomb.matrix import coulomb_matrix
from ..coulomb.potentials import PotentialSum
from ..coulomb.slabs import Surroundings
from ..coulomb.summation import CoulombSum
from .bonds import pairs_once
from .charge_models import LargeStructure

_SKIN_A = 0.5


class LargeStructures:
    """Makes `LargeStructure` of atoms; equal atoms give equal bits, whatever came before.

    Parameters
    ----------
    clouds, magnitudes, accuracy, workers
        As in `..coulomb.summation.CoulombSum`.
    """

    def __init__(self, clouds: CloudTable, magnitudes: ArrayLike, accuracy: float, workers: int = 1) -> None:
        self._clouds = clouds
        self._accuracy = accuracy
        self._sum = CoulombSum(clouds, magnitudes, accuracy, workers=workers)
        self._potentials = PotentialSum(clouds, magnitudes, accuracy, workers)
        self._neighbours: dict[float, NeighbourList] = {}

    def of(self, atoms: Atoms, kinds: IntArray) -> LargeStructure:
        """Return what charges of a structure are evaluated with.

        Raises
        ------
        InputError
            If it is periodic in one direction.
        """
        positions, cell, pbc = atoms.positions.copy(), np.array(atoms.cell.array), np.array(atoms.pbc)
        around = self._sum.surroundings(positions, cell, pbc, kinds)

        def pairs(cutoff_A: float) -> Pairs:
            neighbours = self._neighbours.setdefault(cutoff_A, NeighbourList(cutoff_A, _SKIN_A))
            return pairs_once(neighbours.update(positions, cell, pbc))

        return LargeStructure(
            positions,
            kinds,
            pairs,
            lambda charges: self._sum.evaluate(positions, cell, pbc, kinds, charges),
            lambda: self._matrix(positions, around, kinds),
            lambda: self._potentials_at(positions, around, kinds),
        )

    def _matrix(self, positions: FloatArray, around: Surroundings, kinds: IntArray) -> FloatArray:
        found = None if around.cell is None else self._potentials.matrix(positions, around, kinds)
        if found is not None:
            return found
        return coulomb_matrix(positions, around, kinds, self._clouds, self._accuracy, with_derivatives=False).values

    def _potentials_at(
        self, positions: FloatArray, around: Surroundings, kinds: IntArray
    ) -> Callable[[FloatArray], FloatArray]:
        found = None if around.cell is None else self._potentials.at(positions, around, kinds)
        if found is not None:
            return found
        cell = np.zeros((3, 3)) if around.cell is None else around.cell
        if around.cell is None:
            matrix = self._matrix(positions, around, kinds)
            return lambda charges: matrix @ charges
        pbc = np.ones(3, dtype=np.bool_)
        return lambda charges: self._sum.evaluate(positions, cell, pbc, kinds, charges).potentials
