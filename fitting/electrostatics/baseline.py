"""The electrostatic baseline: fixed charges, Slater clouds, Ewald summation, as an ASE calculator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from numpy.typing import ArrayLike
from scipy.special import erfc

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ..pair_lists import Pairs, open_pairs, periodic_pairs
from ..settings import CommonBaselineSettings
from ..threads import default_threads
from .ewald import (
    COMPILED_COSTS,
    COULOMB_CONSTANT_EV_A,
    MATRIX_COSTS,
    ChargedCell,
    Contribution,
    ReciprocalLattice,
    checked_cell,
    choose_splitting,
    self_and_background,
)
from .particle_mesh import ParticleMesh, choose_mesh
from .real_space import BinnedAtoms, CellList, PairTables, real_space, tables_fit
from .slater import SlaterPairTable, check_exponent, slater_coulomb
from .species import DEFAULT_CHARGE_SCALE, FORMAL_CHARGES, SLATER_EXPONENTS, default_charges

__all__ = [
    "COULOMB_CONSTANT_EV_A",
    "DEFAULT_CHARGE_SCALE",
    "FORMAL_CHARGES",
    "SLATER_EXPONENTS",
    "SlaterEwald",
    "default_charges",
    "pair_energy_matrix",
    "slater_coulomb",
]


SHORTEST_DISTANCE_A = 1e-3
"""Atoms closer than this (Å) are one atom twice."""
# Part of `accuracy` that each truncated Ewald sum may leave as a root-mean-square error: the largest error
# among thousands of components is some five times that.
_SHARE = 0.12
# Largest force of one pair that the Slater correction leaves out: tens of them beyond the cutoff add up.
_TAIL_SHARE = 0.03


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


class SlaterEwald(Calculator):
    """Coulomb energy of fixed charges with Slater s densities, as an ASE calculator.

    Energy = Ewald sum of point charges (uniform background where the cell is charged; it acts on the ions as
    on point charges) + Σ k_e q_i q_j (J(R) - 1/R) over pairs of an ion with every other ion and with all
    images, its own included. The constant interaction of a cloud with itself is left out. Species without an
    exponent are point charges. Cells periodic in three directions, of any shape, give energy, forces and
    stress; without periodic boundaries all pairs are summed directly, and there is no stress. From
    `MESH_FROM_ATOMS` atoms on the reciprocal sum is done on a mesh, and the cost grows as N log N. The
    result depends on the atoms alone: equal positions give equal bits, whatever was evaluated before.

    Parameters
    ----------
    charges
        Charge of each species, e, by chemical symbol.
    exponents
        Slater exponent ζ of species, 1/Å; None or missing: a point charge.
    accuracy
        Bound aimed at for the error of any force component, eV/Å: each truncated sum (real space,
        reciprocal space) is extended until the root-mean-square error that it leaves in a force, as
        estimated for these charges, is 0.12 of it, and the Slater correction until no pair left out
        exerts more than 0.03 of it. The energy then errs by less than ``accuracy`` times 1 Å per atom.
    alpha
        Splitting parameter, 1/Å; None takes the cheapest. The result depends on it only within
        ``accuracy``.
    method
        "ewald" sums over reciprocal vectors, "mesh" is particle-mesh Ewald, of the same accuracy, down
        to the rounding at some 3e-12 eV/Å; "auto" takes the faster by size.
    workers
        Threads of the real-space sum and of the mesh's Fourier transforms; None takes OMP_NUM_THREADS,
        or 1 where it is not set. The result does not depend on them.

    Raises
    ------
    InputError
        At construction for a charge, exponent or accuracy that makes no sense; in a calculation
        for a species without a charge, a cell periodic in one or two directions, a cell without volume,
        two atoms at the same place, or positions that are not numbers.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "charges"]

    def __init__(
        self,
        charges: Mapping[str, float],
        exponents: Mapping[str, float] | None = None,
        accuracy: float = 1e-6,
        alpha: float | None = None,
        method: Method = "auto",
        workers: int | None = None,
    ) -> None:
        super().__init__()
        self.charges = {symbol: float(charge) for symbol, charge in charges.items()}
        self.exponents = {symbol: float(exponent) for symbol, exponent in (exponents or {}).items()}
        self.accuracy = float(accuracy)
        self.alpha = alpha
        self.method = method
        self.workers = default_threads() if workers is None else int(workers)
        _check_parameters(self.charges, self.exponents, self.accuracy, self.alpha)
        if method not in get_args(Method):
            raise InputError(
                f"The method of the electrostatic baseline is {method!r}: choose {', '.join(get_args(Method))}."
            )
        self._symbols = sorted(self.charges)
        self._kind_of = np.full(len(chemical_symbols), -1)
        self._kind_of[[chemical_symbols.index(symbol) for symbol in self._symbols]] = np.arange(len(self._symbols))
        self._charge_of_kind = np.array([self.charges[symbol] for symbol in self._symbols])
        self._table = SlaterPairTable([self.exponents.get(symbol, math.inf) for symbol in self._symbols])
        strengths = COULOMB_CONSTANT_EV_A * np.outer(self._charge_of_kind, self._charge_of_kind)
        self._cutoffs = self._table.cutoffs(strengths, _TAIL_SHARE * self.accuracy)
        self._lattice: tuple[tuple[Any, ...], _Lattice] | None = None
        self._tables: dict[tuple[float, int], PairTables] = {}

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill ``results``: energy, free_energy (eV), forces (eV/Å), charges (e) and, if periodic, stress (eV/Å³)."""
        super().calculate(atoms, list(properties), list(system_changes))
        atoms = self.atoms
        kinds = self._kinds(atoms)
        if not np.all(np.isfinite(atoms.positions)):
            raise InputError("The structure holds positions that are not numbers: has a trajectory exploded?")
        if atoms.pbc.all():
            terms = self._periodic(atoms.positions, np.asarray(atoms.cell.array), kinds)
        elif atoms.pbc.any():
            raise InputError(
                "The baseline needs a cell periodic in all three directions or in none, not "
                f"pbc={atoms.pbc.tolist()}: set atoms.pbc = True (add vacuum to a slab or a wire) or "
                "atoms.pbc = False."
            )
        else:
            terms = [self._pair_term(pairs, kinds, None, None) for pairs in open_pairs(atoms.positions)]
        energy = float(sum(term.energy for term in terms))
        forces = sum((term.forces for term in terms), start=np.zeros((len(atoms), 3)))
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "charges": self._charge_of_kind[kinds],
        }
        if atoms.pbc.all():
            strain = sum((term.strain_derivative for term in terms), start=np.zeros((3, 3)))
            stress = strain / atoms.get_volume()
            self.results["stress"] = stress.ravel()[[0, 4, 8, 5, 2, 1]]

    def _kinds(self, atoms: Atoms) -> IntArray:
        kinds = self._kind_of[atoms.numbers]
        if np.any(kinds < 0):
            unknown = sorted({chemical_symbols[n] for n in atoms.numbers[kinds < 0]})
            raise InputError(
                f"The electrostatic baseline has no charge for {', '.join(unknown)}; "
                f"it knows {', '.join(self._symbols)}. Add the missing species to the charges (in e)."
            )
        return kinds

    def _periodic(self, positions: FloatArray, cell: FloatArray, kinds: IntArray) -> list[Contribution]:
        lattice = self._lattice_for(cell, kinds)
        if lattice is None:
            return []
        atoms = BinnedAtoms.sort(positions, kinds, self._charge_of_kind, lattice.cells)
        if isinstance(lattice.reciprocal, ParticleMesh):
            far = lattice.reciprocal.contribution(atoms.fractions, atoms.charges, self.workers)
        else:
            far = lattice.reciprocal.contribution(atoms.fractions, atoms.charges)
        far = Contribution(far.energy, atoms.unsorted(far.forces.T), far.strain_derivative)
        near = self._near(positions, kinds, lattice, atoms)
        return [near, far, self_and_background(atoms.charges, lattice.reciprocal.volume, lattice.alpha)]

    def _near(self, positions: FloatArray, kinds: IntArray, lattice: _Lattice, atoms: BinnedAtoms) -> Contribution:
        """The real-space sum: compiled, or for exponents too large to tabulate, by arrays of pairs."""
        reach = math.ceil(lattice.cells.cutoff)
        if not tables_fit(self._table, lattice.alpha, reach):
            pairs = periodic_pairs(positions, lattice.cell, lattice.cells.cutoff)
            return self._pair_term(pairs, kinds, lattice.alpha, lattice.cutoffs)
        key = (lattice.alpha, reach)
        tables = self._tables.get(key) or PairTables.build(self._table, lattice.alpha, reach)
        if key not in self._tables:
            while len(self._tables) >= _KEPT_TABLES:
                del self._tables[next(iter(self._tables))]
            self._tables[key] = tables
        near, closest = real_space(atoms, lattice.cells, tables, lattice.cutoffs, self.workers)
        if closest.distance < SHORTEST_DISTANCE_A:
            raise _overlap(closest.first, closest.second, closest.distance)
        return near

    def _lattice_for(self, cell: FloatArray, kinds: IntArray) -> _Lattice | None:
        """The plan for this cell, kept from the last call where nothing changed; None without any charge."""
        counts = np.bincount(kinds, minlength=len(self._charge_of_kind))
        if not np.any(counts * self._charge_of_kind):
            return None
        key = (cell.tobytes(), counts.tobytes())
        if self._lattice is None or self._lattice[0] != key:
            self._lattice = (key, self._plan(checked_cell(cell), counts))
        return self._lattice[1]

    def _plan(self, cell: FloatArray, counts: IntArray) -> _Lattice:
        charged = _charged_cell(cell, counts, self._charge_of_kind, self._cutoffs)
        share = _SHARE * self.accuracy
        mesh = None
        if self.method == "mesh" or (self.method == "auto" and charged.n_atoms >= MESH_FROM_ATOMS):
            mesh = choose_mesh(charged, cell, share, self.alpha, COMPILED_COSTS)
        splitting = mesh.splitting if mesh else choose_splitting(charged, share, self.alpha)
        charges_meet = np.outer(self._charge_of_kind, self._charge_of_kind) != 0
        cutoffs = np.where(charges_meet, np.maximum(self._cutoffs, splitting.real_cutoff), 0.0)
        return _Lattice(
            cell,
            splitting.alpha,
            cutoffs,
            CellList.build(cell, charged.n_atoms, float(cutoffs.max())),
            ParticleMesh.build(cell, mesh) if mesh else ReciprocalLattice.build(cell, splitting),
        )

    def _pair_term(
        self, pairs: Pairs, kinds: IntArray, alpha: float | None, cutoffs: FloatArray | None
    ) -> Contribution:
        """Screened (or, without α, bare) Coulomb pairs plus the Slater correction."""
        _check_distances(pairs)
        value, slope = _pair_potential(pairs, kinds, self._table, alpha, cutoffs)
        products = (
            COULOMB_CONSTANT_EV_A
            * pairs.weights
            * self._charge_of_kind[kinds[pairs.first]]
            * self._charge_of_kind[kinds[pairs.second]]
        )
        # dE/dr along the bond, per unit vector: the force on the second atom is its negative.
        pulls = (products * slope / pairs.distances)[:, None] * pairs.vectors
        forces = np.empty((len(kinds), 3))
        for axis in range(3):
            forces[:, axis] = np.bincount(pairs.first, pulls[:, axis], len(kinds))
            forces[:, axis] -= np.bincount(pairs.second, pulls[:, axis], len(kinds))
        return Contribution(float(products @ value), forces, pairs.vectors.T @ pulls)


def baseline_calculator(baseline: CommonBaselineSettings) -> SlaterEwald:
    """Return the baseline of these settings as an ASE calculator."""
    return SlaterEwald(
        charges=dict(baseline.charges), exponents=dict(baseline.exponents) or None, accuracy=baseline.accuracy
    )


def pair_energy_matrix(
    positions: ArrayLike, cell: ArrayLike, exponents: ArrayLike | None = None, accuracy: float = 1e-8
) -> FloatArray:
    """Matrix M of a periodic set of sites such that charges q on them have the energy E = ½ qᵀMq.

    It holds the Ewald pair energies, self images included (on the diagonal), the uniform background of
    charged cells, and the Slater corrections: the same energy as `SlaterEwald`, for any charges.

    Parameters
    ----------
    positions
        Of the sites, Å. Shape [n_sites, 3].
    cell
        Rows are lattice vectors, Å. Shape [3, 3].
    exponents
        Slater exponent of each site, 1/Å, ``math.inf`` for point charges; None: all points.
        Shape [n_sites].
    accuracy
        As in `SlaterEwald`, for unit charges.

    Returns
    -------
    M in eV/e². Shape [n_sites, n_sites], symmetric.

    Raises
    ------
    InputError
        For a cell without volume or two sites at the same place.
    """
    sites = np.asarray(positions, dtype=float)
    n_sites = len(sites)
    zetas = np.full(n_sites, math.inf) if exponents is None else np.asarray(exponents, dtype=float)
    if zetas.shape != (n_sites,):
        raise InputError(f"{n_sites} sites need {n_sites} exponents, not an array of shape {zetas.shape}.")
    for exponent in zetas:
        check_exponent(float(exponent))
    kind_exponents, kinds = np.unique(zetas, return_inverse=True)
    table = SlaterPairTable(kind_exponents)
    unit = np.full((len(kind_exponents),) * 2, COULOMB_CONSTANT_EV_A)
    cutoffs = table.cutoffs(unit, _TAIL_SHARE * accuracy)
    reduced = checked_cell(np.asarray(cell, dtype=float))
    counts = np.bincount(kinds, minlength=len(kind_exponents))
    charged = _charged_cell(reduced, counts, np.ones(len(kind_exponents)), cutoffs)
    splitting = choose_splitting(charged, _SHARE * accuracy, costs=MATRIX_COSTS)
    reciprocal = ReciprocalLattice.build(reduced, splitting)
    cutoffs = np.maximum(cutoffs, splitting.real_cutoff)
    pairs = periodic_pairs(sites, reduced, float(cutoffs.max()))
    _check_distances(pairs)
    value, _ = _pair_potential(pairs, kinds, table, splitting.alpha, cutoffs)
    halves = np.bincount(pairs.first * n_sites + pairs.second, weights=pairs.weights * value, minlength=n_sites**2)
    direct = halves.astype(np.float64).reshape(n_sites, n_sites)
    matrix = COULOMB_CONSTANT_EV_A * (direct + direct.T)
    matrix += reciprocal.pair_matrix(sites)
    matrix -= COULOMB_CONSTANT_EV_A * math.pi / (reciprocal.volume * splitting.alpha**2)
    matrix[np.diag_indices(n_sites)] -= 2 * COULOMB_CONSTANT_EV_A * splitting.alpha / math.sqrt(math.pi)
    return matrix


def _charged_cell(cell: FloatArray, counts: IntArray, charges: FloatArray, cutoffs: FloatArray) -> ChargedCell:
    """What the choice of parameters needs to know, from numbers, charges and Slater cutoffs of each kind."""
    n_atoms = int(counts.sum())
    shares = np.outer(counts, counts) / n_atoms**2
    pair_cutoffs = tuple(
        (float(share), float(cutoff)) for share, cutoff in zip(shares.ravel(), cutoffs.ravel(), strict=True) if share
    )
    volume = abs(float(np.linalg.det(cell)))
    return ChargedCell(n_atoms, volume, float(counts @ charges**2), pair_cutoffs)


def _pair_potential(
    pairs: Pairs, kinds: IntArray, table: SlaterPairTable, alpha: float | None, cutoffs: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Potential of unit charges (1/Å) and its slope (1/Å²) for every pair within its kinds' cutoff."""
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


def _check_distances(pairs: Pairs) -> None:
    if len(pairs.distances) and float(pairs.distances.min()) < SHORTEST_DISTANCE_A:
        worst = int(np.argmin(pairs.distances))
        raise _overlap(int(pairs.first[worst]), int(pairs.second[worst]), float(pairs.distances[worst]))


def _overlap(first: int, second: int, distance: float) -> InputError:
    return InputError(
        f"Atoms {min(first, second)} and {max(first, second)} are {distance:.2g} Å apart, less than "
        f"{SHORTEST_DISTANCE_A} Å: is an atom there twice, or a periodic image included?"
    )


def _check_parameters(
    charges: Mapping[str, float], exponents: Mapping[str, float], accuracy: float, alpha: float | None
) -> None:
    """Raise InputError for parameters that cannot be meant."""
    if not charges:
        raise InputError("The electrostatic baseline needs a charge for at least one species.")
    for symbol in [*charges, *exponents]:
        if symbol not in chemical_symbols[1:]:
            raise InputError(f"{symbol!r} in the electrostatic baseline is not a chemical symbol, such as 'Li'.")
    for symbol, charge in charges.items():
        if not math.isfinite(charge):
            raise InputError(f"The charge of {symbol} is {charge}: it must be a finite number, in e.")
    strangers = sorted(set(exponents) - set(charges))
    if strangers:
        raise InputError(
            f"Slater exponents are given for {', '.join(strangers)}, which have no charge; "
            f"charges are given for {', '.join(sorted(charges))}."
        )
    for symbol, exponent in exponents.items():
        check_exponent(exponent, symbol)
    if not 1e-13 <= accuracy <= 1e-1:
        raise InputError(f"The accuracy of the electrostatic baseline is {accuracy}: give 1e-13 to 0.1 eV/Å.")
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise InputError(f"The splitting parameter alpha is {alpha}: give a positive number (1/Å), or None.")
