"""The electrostatic baseline: fixed charges, Slater clouds, Ewald summation, as an ASE calculator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ..pair_lists import periodic_pairs
from ..settings import CommonBaselineSettings
from ..threads import default_threads
from .coulomb.clouds import cloud_table
from .coulomb.ewald import COULOMB_CONSTANT_EV_A, MATRIX_COSTS, ReciprocalLattice, checked_cell, choose_splitting
from .coulomb.slabs import has_stress
from .coulomb.slater import SlaterPairTable, check_exponent, slater_coulomb
from .coulomb.summation import (
    MESH_FROM_ATOMS,
    SHARE,
    SHORTEST_DISTANCE_A,
    TAIL_SHARE,
    CoulombSum,
    Method,
    charged_cell_of,
    check_distances,
    pair_potential,
)
from .species import DEFAULT_CHARGE_SCALE, FORMAL_CHARGES, SLATER_EXPONENTS, default_charges

__all__ = [
    "COULOMB_CONSTANT_EV_A",
    "DEFAULT_CHARGE_SCALE",
    "FORMAL_CHARGES",
    "MESH_FROM_ATOMS",
    "SHORTEST_DISTANCE_A",
    "SLATER_EXPONENTS",
    "Method",
    "SlaterEwald",
    "default_charges",
    "pair_energy_matrix",
    "slater_coulomb",
]


class SlaterEwald(Calculator):
    """Coulomb energy of fixed charges with Slater s densities, as an ASE calculator.

    Energy = Ewald sum of point charges (uniform background where the cell is charged; it acts on the ions as
    on point charges) + Σ k_e q_i q_j (J(R) - 1/R) over pairs of an ion with every other ion and with all
    images, its own included. The constant interaction of a cloud with itself is left out. Species without an
    exponent are point charges. Cells periodic in three directions, of any shape, give energy, forces and
    stress; slabs, periodic in two, are alone in vacuum (`coulomb.slabs`), with a stress where the cell has a volume;
    without periodic boundaries all pairs are summed directly, and there is no stress. From
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
        for a species without a charge, a cell periodic in one direction, a cell without volume,
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
        clouds = cloud_table(self._symbols, self.exponents)
        self._sum = CoulombSum(
            clouds,
            self._charge_of_kind,
            self.accuracy,
            alpha=alpha,
            method=method,
            workers=self.workers,
            with_self=False,
        )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill ``results``: energy, free_energy (eV), forces (eV/Å), charges (e) and stress (eV/Å³), if any."""
        super().calculate(atoms, list(properties), list(system_changes))
        atoms = self.atoms
        kinds = self._kinds(atoms)
        charges = self._charge_of_kind[kinds]
        found = self._sum.evaluate(atoms.positions, np.asarray(atoms.cell.array), atoms.pbc, kinds, charges)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "forces": found.forces,
            "charges": charges,
        }
        if has_stress(atoms):
            stress = found.strain_derivative / atoms.get_volume()
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
    cutoffs = table.cutoffs(unit, TAIL_SHARE * accuracy)
    reduced = checked_cell(np.asarray(cell, dtype=float))
    counts = np.bincount(kinds, minlength=len(kind_exponents))
    charged = charged_cell_of(reduced, counts, np.ones(len(kind_exponents)), cutoffs)
    splitting = choose_splitting(charged, SHARE * accuracy, costs=MATRIX_COSTS)
    reciprocal = ReciprocalLattice.build(reduced, splitting)
    cutoffs = np.maximum(cutoffs, splitting.real_cutoff)
    pairs = periodic_pairs(sites, reduced, float(cutoffs.max()))
    check_distances(pairs)
    value, _ = pair_potential(pairs, kinds, table, splitting.alpha, cutoffs)
    halves = np.bincount(pairs.first * n_sites + pairs.second, weights=pairs.weights * value, minlength=n_sites**2)
    direct = halves.astype(np.float64).reshape(n_sites, n_sites)
    matrix = COULOMB_CONSTANT_EV_A * (direct + direct.T)
    matrix += reciprocal.pair_matrix(sites)
    matrix -= COULOMB_CONSTANT_EV_A * math.pi / (reciprocal.volume * splitting.alpha**2)
    matrix[np.diag_indices(n_sites)] -= 2 * COULOMB_CONSTANT_EV_A * splitting.alpha / math.sqrt(math.pi)
    return matrix


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
