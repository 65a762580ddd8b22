"""Signs that a unit, a sign or a name was taken wrongly: what numbers say that do not carry their units.

Two atoms that touch are about a sum of covalent radii apart; a crystal that is squeezed pushes back; energies change
by what forces and stresses do along the way; no solid is bound by more than chemistry allows.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.formula import Formula

from ..data_sets import LabelledConfiguration
from .work import work_objections

NEAREST_DISTANCE_OVER_RADII = (0.6, 1.5)
"""Distance of the closest pair over its covalent radii, median over all structures: 0.95 to 1.1 in solids; bohr read as
Å give 1.8, Å read as bohr 0.5."""
LARGEST_ENERGY_EV_PER_ATOM = 1e7
LARGEST_STRESS_EV_PER_A3 = 1.0
LARGEST_POSITIVE_ENERGY_EV_PER_ATOM = 1.0
"""Energies that count from crystals (effective-medium theory, formation energies) are above zero, by less than this."""
LARGEST_BINDING_EV_PER_ATOM = 15.0
"""Tungsten is bound by 8.9 eV/atom, and by 13 where the free atom is computed without its spin; nothing by more."""
_FEWEST_OF_SIZES = 4
_LARGER_CELL = 1.5
_SAME_TOTAL = 0.2
_MOST_STRUCTURES = 200
_FEWEST_FOR_SIGN = 8
_SMALLEST_DENSITY_SPREAD = 0.03
_CORRELATION = 0.5
_SYMMETRY_TOLERANCE_A = 1e-3
_NO_VECTOR = 1e-6


def unit_objections(configurations: Sequence[LabelledConfiguration]) -> list[str]:
    """Return what makes units, signs or names of a whole set doubtful, one line each; empty if nothing does."""
    if not configurations:
        return []
    return [
        *_length_objections(configurations),
        *_energy_objections(configurations),
        *_force_objections(configurations),
        *_stress_objections(configurations),
        *_sign_objections(configurations),
        *work_objections(configurations),
    ]


def _length_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    several = [one for one in configurations if one.n_atoms > 1]
    ratios = [nearest_distance_over_radii(one.atoms) for one in several[:: 1 + len(several) // _MOST_STRUCTURES]]
    lower, upper = NEAREST_DISTANCE_OVER_RADII
    if not ratios or lower <= np.median(ratios) <= upper:
        return
    yield (
        f"the closest atoms are {np.median(ratios):.2f} times the sum of their covalent radii apart (expected "
        f"{lower:g} to {upper:g}): check the unit of length (--length-unit)"
    )


def nearest_distance_over_radii(atoms: Atoms) -> float:
    """Return the smallest distance of two atoms over the sum of their covalent radii; infinity where none are near."""

    from ase.neighborlist import neighbor_list
    from matscipy.neighbours import neighbour_list

    longest = 2.0 * NEAREST_DISTANCE_OVER_RADII[1] * float(covalent_radii[atoms.numbers].max())
    # matscipy's list is thirty times faster, but wants a cell.
    find_neighbours = neighbour_list if atoms.pbc.all() else neighbor_list
    first, second, distances = find_neighbours("ijd", atoms, longest)
    if not len(distances):
        return float("inf")
    radii = covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]]
    return float((distances / radii).min())


def _energy_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    energies = np.array([one.energy / one.n_atoms for one in configurations])
    if np.abs(energies).max() > LARGEST_ENERGY_EV_PER_ATOM:
        yield f"energies reach {np.abs(energies).max():.3g} eV/atom: check the unit of energy (--energy-unit)"
    if np.median(energies) > LARGEST_POSITIVE_ENERGY_EV_PER_ATOM:
        yield (
            f"the energies are positive (median {np.median(energies):.4g} eV/atom), total and cohesive energies are "
            "not: check the name and the sign of the energy (--energy-key)"
        )
    by_formula: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for one in configurations:
        by_formula[reduced_formula(one.atoms)].append((one.n_atoms, one.energy))
    for formula, points in by_formula.items():
        sizes, totals = np.array(points).T
        if len(points) < _FEWEST_OF_SIZES or sizes.max() < _LARGER_CELL * sizes.min():
            continue
        if np.ptp(totals) < _SAME_TOTAL * np.abs(totals).min():
            yield (
                f"cells of {formula} with {sizes.min():.0f} to {sizes.max():.0f} atoms have the same energy "
                f"({totals.min():.4g} to {totals.max():.4g} eV): these look like energies per atom; needed are those "
                "of whole cells"
            )


def _force_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    with_forces = [one for one in configurations if one.forces is not None and one.n_atoms > 1]
    if len(with_forces) < 2 or any(one.forces is not None and one.forces.any() for one in with_forces):
        return
    if any(_has_free_forces(one.atoms) for one in with_forces[:_MOST_STRUCTURES]):
        yield "all forces are zero, also where no symmetry makes them so: check the name of the forces (--forces-key)"


def _has_free_forces(atoms: Atoms) -> bool:
    """Say whether the symmetry of a crystal leaves a force on any atom possible."""

    import spglib

    if not atoms.pbc.all():
        return len(atoms) > 1
    scaled = atoms.get_scaled_positions()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)  # spglib's own transition
        found = spglib.get_symmetry_dataset((atoms.cell.array, scaled, atoms.numbers), symprec=_SYMMETRY_TOLERANCE_A)
    if found is None:
        return True
    for position in scaled:
        images = found.rotations @ position + found.translations - position
        distances = np.linalg.norm((images - np.round(images)) @ atoms.cell.array, axis=1)
        kept = found.rotations[distances < 10 * _SYMMETRY_TOLERANCE_A]
        # The mean over an atom's own symmetry projects on the vectors that it leaves alone.
        if np.abs(kept.mean(axis=0)).max() > _NO_VECTOR:
            return True
    return False


def _stress_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    stresses = [float(np.abs(one.stress).max()) for one in configurations if one.stress is not None]
    zero = [one for one in configurations if one.stress is not None and one.atoms.pbc.all() and not one.stress.any()]
    if zero:
        more = f" and {len(zero) - 1} more" if len(zero) > 1 else ""
        yield (
            f"the stress or virial of {zero[0].identifier}{more} is zero to the last digit, as where a code computed "
            "none: take it out of these frames"
        )
    if stresses and np.median(stresses) > LARGEST_STRESS_EV_PER_A3:
        yield (
            f"stresses reach {np.median(stresses):.3g} eV/Å³ ({np.median(stresses) / units.GPa:.0f} GPa) in half of "
            "the structures: check the unit of stress (--stress-unit) or virial (--energy-unit)"
        )


def _sign_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    """Compare pressure with density, composition by composition: squeezed crystals push back."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in configurations:
        # The volume of a slab's cell is vacuum as one likes.
        if one.stress is not None and one.atoms.pbc.all():
            points[reduced_formula(one.atoms)].append(
                (one.n_atoms / one.atoms.get_volume(), -float(one.stress[:3].mean()))
            )
    for formula, values in points.items():
        density, pressure = np.array(values).T
        if len(values) < _FEWEST_FOR_SIGN or np.ptp(density) < _SMALLEST_DENSITY_SPREAD * density.mean():
            continue
        if pressure.std() == 0.0:
            continue
        correlation = float(np.corrcoef(density, pressure)[0, 1])
        if correlation < -_CORRELATION:
            yield (
                f"the pressure of {formula} falls with its density (correlation {correlation:.2f} over {len(values)} "
                "structures): the stress or virial has the wrong sign (--stress-sign)"
            )


def reduced_formula(atoms: Atoms) -> str:
    """Return the formula with the smallest whole numbers, in Hill's order."""
    return _reduced(atoms.get_chemical_formula())


@lru_cache(maxsize=1024)
def _reduced(formula: str) -> str:
    return str(Formula(formula).reduce()[0].format("hill"))


def binding_objections(
    configurations: Iterable[LabelledConfiguration], isolated_atom_energies: Mapping[str, float]
) -> list[str]:
    """Return which compositions are bound by more than chemistry allows, or not at all: one line for the worst.

    All-electron energies, pseudopotentials and tight binding count from different zeros; any is right if crystals
    and atoms count from the same.
    """
    lowest: dict[str, tuple[float, LabelledConfiguration]] = {}
    for one in configurations:
        symbols = one.atoms.get_chemical_symbols()
        if one.n_atoms < 2 or not set(symbols) <= set(isolated_atom_energies) or not np.isfinite(one.energy):
            continue
        binding = (one.energy - sum(isolated_atom_energies[symbol] for symbol in symbols)) / one.n_atoms
        formula = reduced_formula(one.atoms)
        if formula not in lowest or binding < lowest[formula][0]:
            lowest[formula] = binding, one
    wrong = {formula: found for formula, found in lowest.items() if abs(found[0]) > LARGEST_BINDING_EV_PER_ATOM}
    if not wrong:
        return []
    formula, (binding, one) = max(wrong.items(), key=lambda item: abs(item[1][0]))
    atoms = ", ".join(
        f"{symbol} {isolated_atom_energies[symbol]:.6g}" for symbol in sorted(one.atoms.symbols.species())
    )
    return [
        f"{formula} ({one.identifier}) has {one.energy / one.n_atoms:.6g} eV/atom, its isolated atoms {atoms} eV: "
        f"{abs(binding):.4g} eV/atom {'below' if binding < 0 else 'above'} them, chemistry allows "
        f"{LARGEST_BINDING_EV_PER_ATOM:g}; the isolated atoms are of another reference (code, pseudopotential, unit)"
    ]
