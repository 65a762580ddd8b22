"""The Coulomb energy of charges that differ from atom to atom, with potentials, forces and stress.

One kernel serves all baselines: Ewald sums of point charges (`.ewald`, or `.particle_mesh` for many atoms), and in
real space what finite clouds change (`.clouds`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ....core.arrays import BoolArray, FloatArray, IntArray
from ....core.errors import AtomsCoincide, InputError
from ...pair_lists import Pairs, open_pairs, periodic_pairs
from .clouds import CloudTable
from .ewald import (
    COMPILED_COSTS,
    COULOMB_CONSTANT_EV_A,
    ChargedCell,
    Contribution,
    ReciprocalLattice,
    checked_cell,
    choose_splitting,
    self_and_background,
)
from .particle_mesh import ParticleMesh, choose_mesh
from .real_space import BinnedAtoms, CellList, PairTables, real_space, tables_fit
from .slabs import Surroundings, slab_contribution, surroundings

SHORTEST_DISTANCE_A = 1e-3
"""Atoms closer than this (Å) are one atom twice."""
SHARE = 0.12
"""Part of ``accuracy`` that each truncated Ewald sum may leave as a root-mean-square error: the largest error among
thousands of components is some five times that."""
TAIL_SHARE = 0.03
"""Largest force of one pair that the clouds' correction leaves out, as a part of ``accuracy``: tens of them beyond the
cutoff add up."""

POINT_CHARGES = "Charges that vary need clouds of a finite size: give every species an exponent or a width."

MESH_FROM_ATOMS = 1000
"""From this many atoms on the reciprocal sum goes over a mesh. Measured for Li7P3S11, time of the sum over
that of the mesh: 0.63, 0.72, 0.96, 1.02, 1.15, 1.36 and 1.52 at 84, 336, 672, 1,008, 1,344, 2,016 and
2,688 atoms and an accuracy of 1e-6 eV/Å; they are equal near 600 atoms at 1e-4 and 1,300 at 1e-8."""

Method = Literal["auto", "ewald", "mesh"]

# Tables of so many splittings are kept: two calculators' worth of cells that are evaluated in turn.
_KEPT_TABLES = 4


@dataclass(frozen=True)
class _Lattice:
    """What an evaluation can reuse as long as the cell and the composition stay."""

    cell: FloatArray
    alpha: float
    cutoffs: FloatArray
    cells: CellList
    reciprocal: ReciprocalLattice | ParticleMesh


class CoulombSum:
    """Evaluates charges; equal arguments give equal bits, whatever was evaluated before.

    A charged crystal has a uniform background, which acts on the ions as on point charges. A slab is alone in vacuum.
    Without periodic boundaries all pairs are summed directly.

    Parameters
    ----------
    clouds
        Charge clouds of the kinds of ions.
    magnitudes
        Charge of each kind (e) that cutoffs are chosen for: the accuracy holds for charges of about this size; ions
        of a kind with 0 have no charge. Shape [n_kinds].
    accuracy
        Bound aimed at for the error of any force component (eV/Å): each truncated sum is extended until the
        root-mean-square error that it leaves in a force, as estimated for these charges, is 0.12 of it, and the
        clouds' correction until no pair left out exerts more than 0.03 of it.
    alpha
        Splitting parameter (1/Å); None takes the cheapest. The result depends on it only within ``accuracy``.
    method
        "ewald" sums over reciprocal vectors, "mesh" is particle-mesh Ewald; "auto" takes the faster by size.
    workers
        Threads of the real-space sum and of the mesh's Fourier transforms; the result does not depend on them.
    with_self
        Whether a cloud's interaction with itself is part of the energy: it must be where charges vary.

    Raises
    ------
    InputError
        If that is wanted of a charged kind of point charges, for which it is infinite.
    """

    def __init__(
        self,
        clouds: CloudTable,
        magnitudes: ArrayLike,
        accuracy: float = 1e-6,
        *,
        alpha: float | None = None,
        method: Method = "auto",
        workers: int = 1,
        with_self: bool = True,
    ) -> None:
        self.clouds = clouds
        self.accuracy = accuracy
        self.alpha = alpha
        self.method = method
        self.workers = workers
        self._magnitudes = np.asarray(magnitudes, dtype=np.float64)
        self._own = np.where(self._magnitudes != 0, clouds.self_interaction, 0.0) if with_self else None
        if self._own is not None and not np.isfinite(self._own).all():
            raise InputError(POINT_CHARGES)
        strengths = COULOMB_CONSTANT_EV_A * np.outer(self._magnitudes, self._magnitudes)
        self._cutoffs = clouds.cutoffs(strengths, TAIL_SHARE * accuracy)
        self._lattice: tuple[tuple[Any, ...], _Lattice] | None = None
        self._tables: dict[tuple[float, int], PairTables] = {}

    def evaluate(
        self, positions: FloatArray, cell: FloatArray, pbc: BoolArray, kinds: IntArray, charges: FloatArray
    ) -> Contribution:
        """Return energy, potentials dE/dq, forces and strain derivative at fixed charges.

        Parameters
        ----------
        positions
            Of the atoms (Å). Shape [n_atoms, 3].
        cell
            Rows are lattice vectors (Å); of any shape. Shape [3, 3].
        pbc
            Periodic directions: all, two of a slab (`.slabs`), or none. Shape [3].
        kinds
            Of the atoms. Shape [n_atoms].
        charges
            Of the atoms (e). Shape [n_atoms].

        Raises
        ------
        InputError
            If positions are not numbers, two atoms are at the same place, or the cell is periodic in one direction
            or has no volume.
        """
        if not np.all(np.isfinite(positions)):
            raise InputError("The structure holds positions that are not numbers: has a trajectory exploded?")
        around = self.surroundings(positions, cell, pbc, kinds)
        if around.cell is not None:
            terms = self._periodic(positions, around, kinds, charges)
            if around.normal is not None:
                terms.append(slab_contribution(positions, around, charges))
        else:
            terms = [self._pair_term(pairs, kinds, charges, None, None) for pairs in open_pairs(positions)]
        if self._own is not None:
            own = COULOMB_CONSTANT_EV_A * self._own[kinds] * charges
            nothing = np.zeros((len(charges), 3))
            terms.append(Contribution(0.5 * float(own @ charges), nothing, np.zeros((3, 3)), own))
        return Contribution(
            float(sum(term.energy for term in terms)),
            sum((term.forces for term in terms), start=np.zeros((len(charges), 3))),
            sum((term.strain_derivative for term in terms), start=np.zeros((3, 3))),
            sum((term.potentials for term in terms), start=np.zeros(len(charges))),
        )

    def surroundings(self, positions: FloatArray, cell: FloatArray, pbc: BoolArray, kinds: IntArray) -> Surroundings:
        """Return what a structure repeats in; arguments and errors as in `evaluate`."""
        return surroundings(positions, cell, pbc, self._magnitudes[kinds], SHARE * self.accuracy)

    def _periodic(
        self, positions: FloatArray, around: Surroundings, kinds: IntArray, charges: FloatArray
    ) -> list[Contribution]:
        lattice = self._lattice_for(around, kinds)
        if lattice is None:
            return []
        atoms = BinnedAtoms.sort(positions, kinds, charges, lattice.cells)
        if isinstance(lattice.reciprocal, ParticleMesh):
            far = lattice.reciprocal.contribution(atoms.fractions, atoms.charges, self.workers)
        else:
            far = lattice.reciprocal.contribution(atoms.fractions, atoms.charges)
        point = self_and_background(atoms.charges, lattice.reciprocal.volume, lattice.alpha)
        near = self._near(positions, kinds, charges, lattice, atoms)
        return [near, atoms.unsorted(far), atoms.unsorted(point)]

    def _near(
        self, positions: FloatArray, kinds: IntArray, charges: FloatArray, lattice: _Lattice, atoms: BinnedAtoms
    ) -> Contribution:
        """The real-space sum: compiled, or for exponents too large to tabulate, by arrays of pairs."""
        reach = math.ceil(lattice.cells.cutoff)
        if not tables_fit(self.clouds, lattice.alpha, reach):
            pairs = periodic_pairs(positions, lattice.cell, lattice.cells.cutoff)
            return self._pair_term(pairs, kinds, charges, lattice.alpha, lattice.cutoffs)
        key = (lattice.alpha, reach)
        tables = self._tables.get(key) or PairTables.build(self.clouds, lattice.alpha, reach)
        if key not in self._tables:
            while len(self._tables) >= _KEPT_TABLES:
                del self._tables[next(iter(self._tables))]
            self._tables[key] = tables
        near, closest = real_space(atoms, lattice.cells, tables, lattice.cutoffs, self.workers)
        if closest.distance < SHORTEST_DISTANCE_A:
            raise overlap(closest.first, closest.second, closest.distance)
        return near

    def _lattice_for(self, around: Surroundings, kinds: IntArray) -> _Lattice | None:
        """The plan for this cell, kept from the last call where nothing changed; None without any charge."""
        counts = np.bincount(kinds, minlength=len(self._magnitudes))
        if not np.any(counts * self._magnitudes):
            return None
        assert around.cell is not None
        key = (around.cell.tobytes(), counts.tobytes())
        if self._lattice is None or self._lattice[0] != key:
            share = SHARE * self.accuracy * around.truncation_share
            self._lattice = (key, self._plan(checked_cell(around.cell), counts, share))
        return self._lattice[1]

    def _plan(self, cell: FloatArray, counts: IntArray, share: float) -> _Lattice:
        charged = charged_cell_of(cell, counts, self._magnitudes, self._cutoffs)
        mesh = None
        if self.method == "mesh" or (self.method == "auto" and charged.n_atoms >= MESH_FROM_ATOMS):
            mesh = choose_mesh(charged, cell, share, self.alpha, COMPILED_COSTS)
        splitting = mesh.splitting if mesh else choose_splitting(charged, share, self.alpha)
        charges_meet = np.outer(self._magnitudes, self._magnitudes) != 0
        cutoffs = np.where(charges_meet, np.maximum(self._cutoffs, splitting.real_cutoff), 0.0)
        return _Lattice(
            cell,
            splitting.alpha,
            cutoffs,
            CellList.build(cell, charged.n_atoms, float(cutoffs.max())),
            ParticleMesh.build(cell, mesh) if mesh else ReciprocalLattice.build(cell, splitting),
        )

    def _pair_term(
        self, pairs: Pairs, kinds: IntArray, charges: FloatArray, alpha: float | None, cutoffs: FloatArray | None
    ) -> Contribution:
        """Screened (or, without α, bare) Coulomb pairs plus the clouds' correction."""
        check_distances(pairs)
        value, slope = pair_potential(pairs, kinds, self.clouds, alpha, cutoffs)
        first, second = charges[pairs.first], charges[pairs.second]
        strengths = COULOMB_CONSTANT_EV_A * pairs.weights
        products = strengths * first * second
        # dE/dr along the bond, per unit vector: the force on the second atom is its negative.
        pulls = (products * slope / pairs.distances)[:, None] * pairs.vectors
        forces = np.empty((len(kinds), 3))
        for axis in range(3):
            forces[:, axis] = np.bincount(pairs.first, pulls[:, axis], len(kinds))
            forces[:, axis] -= np.bincount(pairs.second, pulls[:, axis], len(kinds))
        potentials = np.zeros(len(kinds))
        potentials += np.bincount(pairs.first, strengths * second * value, len(kinds))
        potentials += np.bincount(pairs.second, strengths * first * value, len(kinds))
        return Contribution(float(products @ value), forces, pairs.vectors.T @ pulls, potentials)


def charged_cell_of(cell: FloatArray, counts: IntArray, charges: FloatArray, cutoffs: FloatArray) -> ChargedCell:
    """What the choice of parameters needs to know, from numbers, charges and Slater cutoffs of each kind."""
    n_atoms = int(counts.sum())
    shares = np.outer(counts, counts) / n_atoms**2
    pair_cutoffs = tuple(
        (float(share), float(cutoff)) for share, cutoff in zip(shares.ravel(), cutoffs.ravel(), strict=True) if share
    )
    volume = abs(float(np.linalg.det(cell)))
    return ChargedCell(n_atoms, volume, float(counts @ charges**2), pair_cutoffs)


def pair_potential(
    pairs: Pairs, kinds: IntArray, table: CloudTable, alpha: float | None, cutoffs: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Potential of unit charges (1/Å) and its slope (1/Å²) for every pair within its kinds' cutoff."""

    from scipy.special import erfc

    value = np.zeros(len(pairs.distances))
    slope = np.zeros(len(pairs.distances))
    rows = table.pair_index(kinds[pairs.first], kinds[pairs.second])
    near = np.arange(len(rows)) if cutoffs is None else np.flatnonzero(pairs.distances < cutoffs.ravel()[rows])
    distances = pairs.distances[near]
    value[near], slope[near] = table.correction(rows[near], distances)
    if alpha is None:
        value += 1 / pairs.distances
        slope -= 1 / pairs.distances**2
    else:
        screened = erfc(alpha * distances) / distances
        gaussian = np.exp(-((alpha * distances) ** 2))
        value[near] += screened
        slope[near] -= (screened + 2 * alpha / math.sqrt(math.pi) * gaussian) / distances
    return value, slope


def check_distances(pairs: Pairs) -> None:
    """Raise InputError where two atoms are at the same place."""
    if len(pairs.distances) and float(pairs.distances.min()) < SHORTEST_DISTANCE_A:
        worst = int(np.argmin(pairs.distances))
        raise overlap(int(pairs.first[worst]), int(pairs.second[worst]), float(pairs.distances[worst]))


def overlap(first: int, second: int, distance: float) -> AtomsCoincide:
    """Return what refuses two atoms at the same place; ``distance`` in Å."""
    return AtomsCoincide(
        f"Atoms {min(first, second)} and {max(first, second)} are {distance:.2g} Å apart, less than "
        f"{SHORTEST_DISTANCE_A} Å: is an atom there twice, or a periodic image included?"
    )
