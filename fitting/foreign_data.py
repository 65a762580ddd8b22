"""Labelled configurations of other programs: into eV and Å, and signs that a unit or a sign was taken wrongly.

Numbers do not carry their units. What can be held against them: two atoms that touch are about a sum of covalent
radii apart; a crystal that is squeezed pushes back; stress and virial say the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.formula import Formula
from ase.neighborlist import neighbor_list

from ..errors import InputError
from ..units import EnergyUnit, LengthUnit, StressSign, StressUnit
from .data_sets import DataSet, ExtxyzKeys, LabelledConfiguration, read_extxyz

ENERGIES_EV: dict[EnergyUnit, float] = {
    EnergyUnit.EV: 1.0,
    EnergyUnit.MEV: 1e-3,
    EnergyUnit.HARTREE: units.Hartree,
    EnergyUnit.RYDBERG: units.Rydberg,
    EnergyUnit.KJ_PER_MOL: units.kJ / units.mol,
    EnergyUnit.KCAL_PER_MOL: units.kcal / units.mol,
}
LENGTHS_A: dict[LengthUnit, float] = {LengthUnit.ANGSTROM: 1.0, LengthUnit.BOHR: units.Bohr, LengthUnit.NANOMETRE: 10.0}
STRESSES_EV_PER_A3 = {StressUnit.EV_PER_A3: 1.0, StressUnit.GPA: units.GPa, StressUnit.KBAR: 0.1 * units.GPa}

NEAREST_DISTANCE_OVER_RADII = (0.6, 1.5)
"""Distance of the closest pair over its covalent radii, median over all structures: 0.95 to 1.1 in solids; bohr read as
Å give 1.8, Å read as bohr 0.5."""
LARGEST_ENERGY_EV_PER_ATOM = 1e7
LARGEST_STRESS_EV_PER_A3 = 1.0
STRESS_AGREEMENT_EV_PER_A3 = 1e-4
_FEWEST_FOR_SIGN = 8
_SMALLEST_DENSITY_SPREAD = 0.03
_CORRELATION = 0.5


@dataclass(frozen=True)
class FileUnits:
    """Units of a file; forces are energy over length, virials energies."""

    energy: EnergyUnit = EnergyUnit.EV
    length: LengthUnit = LengthUnit.ANGSTROM
    stress: StressUnit = StressUnit.CONSISTENT
    stress_sign: StressSign = StressSign.ASE

    @property
    def energy_eV(self) -> float:
        """The unit of energy (eV)."""
        return ENERGIES_EV[self.energy]

    @property
    def length_A(self) -> float:
        """The unit of length (Å)."""
        return LENGTHS_A[self.length]

    @property
    def consistent_stress_eV_per_A3(self) -> float:
        """Energy over length cubed (eV/Å³)."""
        return self.energy_eV / self.length_A**3

    @property
    def stress_eV_per_A3(self) -> float:
        """The unit of stress with its sign (eV/Å³)."""
        sign = 1.0 if self.stress_sign is StressSign.ASE else -1.0
        return sign * STRESSES_EV_PER_A3.get(self.stress, self.consistent_stress_eV_per_A3)


def read_foreign(path: Path, keys: ExtxyzKeys, file_units: FileUnits) -> DataSet:
    """Read a file of labels into eV and Å; where a frame has stress and virial, they must agree.

    Raises
    ------
    InputError
        If the file cannot be read, labels are missing, or stress and virial contradict each other.
    """
    # No entry can have the empty name: each reading sees one of the two, and knows its unit by that.
    by_virial = read_extxyz(path, replace(keys, stress=""))
    by_stress = read_extxyz(path, replace(keys, virial=""))
    configurations = []
    pairs = zip(by_virial.configurations, by_stress.configurations, strict=True)
    for index, (virial, stress) in enumerate(pairs):
        from_virial = _scaled(virial.stress, file_units.consistent_stress_eV_per_A3)
        from_stress = _scaled(stress.stress, file_units.stress_eV_per_A3)
        if from_virial is not None and from_stress is not None:
            _check_agreement(index, from_virial, from_stress)
        best = from_stress if from_virial is None else from_virial
        configurations.append(_converted(virial, best, file_units))
    isolated = {element: energy * file_units.energy_eV for element, energy in by_virial.isolated_atom_energies.items()}
    labels = tuple(_converted(one, None, file_units) for one in by_virial.isolated_atoms)
    return DataSet(tuple(configurations), isolated, labels)


def _scaled(values: np.ndarray | None, unit: float) -> np.ndarray | None:
    return None if values is None else values * unit


def _check_agreement(index: int, from_virial: np.ndarray, from_stress: np.ndarray) -> None:
    if np.abs(from_virial - from_stress).max() <= STRESS_AGREEMENT_EV_PER_A3:
        return
    opposite = np.abs(from_virial + from_stress).max() <= STRESS_AGREEMENT_EV_PER_A3
    hint = (
        "they have opposite signs: give the stress its sign (--stress-sign opposite)"
        if opposite
        else "check the units (--stress-unit), or name only one of them"
    )
    raise InputError(
        f"frame {index}: -virial/volume is {from_virial[0]:.5f} eV/Å³ along xx, the stress {from_stress[0]:.5f}; {hint}"
    )


def _converted(
    configuration: LabelledConfiguration, stress: np.ndarray | None, file_units: FileUnits
) -> LabelledConfiguration:
    atoms, weights = configuration.atoms.copy(), configuration.weights
    atoms.set_cell(atoms.cell.array * file_units.length_A)
    atoms.positions *= file_units.length_A
    return replace(
        configuration,
        atoms=atoms,
        energy=configuration.energy * file_units.energy_eV,
        forces=_scaled(configuration.forces, file_units.energy_eV / file_units.length_A),
        stress=stress,
        weights=weights and weights.scaled(file_units.energy_eV, file_units.length_A),
    )


def unit_objections(configurations: Sequence[LabelledConfiguration]) -> list[str]:
    """Return what makes units or signs of a whole set doubtful, one line each; empty if nothing does."""
    return [*_length_objections(configurations), *_size_objections(configurations), *_sign_objections(configurations)]


def _length_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    ratios = [nearest_distance_over_radii(one.atoms) for one in configurations if one.n_atoms > 1]
    lower, upper = NEAREST_DISTANCE_OVER_RADII
    if not ratios or lower <= np.median(ratios) <= upper:
        return
    yield (
        f"the closest atoms are {np.median(ratios):.2f} times the sum of their covalent radii apart (expected "
        f"{lower:g} to {upper:g}): check the unit of length"
    )


def nearest_distance_over_radii(atoms: Atoms) -> float:
    """Return the smallest distance of two atoms over the sum of their covalent radii; infinity where none are near."""
    longest = 2.0 * NEAREST_DISTANCE_OVER_RADII[1] * float(covalent_radii[atoms.numbers].max())
    first, second, distances = neighbor_list("ijd", atoms, longest)
    if not len(distances):
        return float("inf")
    radii = covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]]
    return float((distances / radii).min())


def _size_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    energies = np.array([one.energy / one.n_atoms for one in configurations])
    if np.abs(energies).max() > LARGEST_ENERGY_EV_PER_ATOM:
        yield f"energies reach {np.abs(energies).max():.3g} eV/atom: check the unit of energy"
    if np.median(energies) > 0.0:
        yield (
            f"the energies are positive (median {np.median(energies):.4g} eV/atom), total and cohesive energies are "
            "not: check the name and the sign of the energy"
        )
    forces = [one.forces for one in configurations if one.forces is not None]
    if len(forces) > 1 and not any(one.any() for one in forces):
        yield "all forces are zero: check the name of the forces"
    stresses = [float(np.abs(one.stress).max()) for one in configurations if one.stress is not None]
    if stresses and np.median(stresses) > LARGEST_STRESS_EV_PER_A3:
        yield (
            f"stresses reach {np.median(stresses):.3g} eV/Å³ ({np.median(stresses) / units.GPa:.0f} GPa) in half of "
            "the structures: check the unit of stress or virial"
        )


def _sign_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    """Compare pressure with density, composition by composition: squeezed crystals push back."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in configurations:
        if one.stress is not None:
            formula = Formula(one.atoms.get_chemical_formula()).reduce()[0].format("hill")
            points[formula].append((one.n_atoms / one.atoms.get_volume(), -float(one.stress[:3].mean())))
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
                "structures): the stress or virial has the wrong sign"
            )
