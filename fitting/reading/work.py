"""Energies against forces and stresses: between two near structures dE = -F·dr + V σ:dε, in whatever units.

The mean of both ends makes the work right to second order, so that rattled cells, volumes and molecular dynamics tell
a factor or a sign between the three kinds of labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import units
from ase.geometry import find_mic
from ase.stress import voigt_6_to_full_3x3_stress

from ..data_sets import LabelledConfiguration

LARGEST_FACTOR = 3.0
"""Work and energy that differ by more than this factor are of different units: the work of large steps in anharmonic
crystals was seen to be off by 1.6, units of force by 23 and more."""
SMALLEST_SHARE_EXPLAINED = 0.97
"""Part of the energy differences that work times one factor must explain before the factor means anything."""
_LARGEST_STEP_A = 0.5
_LARGEST_STRAIN = 0.1
_SMALLEST_STRAIN = 1e-7
_NEIGHBOURS_IN_FILE = 4
_MOST_PAIRS = 600
_FEWEST_PAIRS = 4
_SMALLEST_PART = 0.05
_GUESS_DISTANCE = 0.25
"""Logarithm of a factor over that of a unit."""
_FORCE_GUESSES = {
    -1.0: "they have the opposite sign, as gradients have",
    units.Hartree / units.Bohr: "they look like Ha/Bohr (--force-unit Ha/Bohr)",
    units.Rydberg / units.Bohr: "they look like Ry/Bohr (--force-unit Ry/Bohr)",
    units.kcal / units.mol: "they look like kcal/mol/Å (--force-unit kcal/mol/Ang)",
    0.1 * units.kJ / units.mol: "they look like kJ/mol/nm (--force-unit kJ/mol/nm)",
    1e-3: "they look like meV/Å (--force-unit meV/Ang)",
    1.0 / units.Hartree: "energies look like Ha (--energy-unit Ha --force-unit eV/Ang)",
    1.0 / units.Rydberg: "energies look like Ry (--energy-unit Ry --force-unit eV/Ang)",
    units.mol / units.kcal: "energies look like kcal/mol (--energy-unit kcal/mol --force-unit eV/Ang)",
    units.mol / units.kJ: "energies look like kJ/mol (--energy-unit kJ/mol --force-unit eV/Ang)",
    1e3: "energies look like meV (--energy-unit meV --force-unit eV/Ang)",
}
_STRESS_GUESSES = {
    -1.0: "it has the opposite sign (--stress-sign opposite)",
    units.GPa: "it looks like GPa (--stress-unit GPa)",
    0.1 * units.GPa: "it looks like kbar (--stress-unit kbar)",
    -units.GPa: "it looks like GPa with the opposite sign (--stress-unit GPa --stress-sign opposite)",
    -0.1 * units.GPa: "it looks like kbar with the opposite sign (--stress-unit kbar --stress-sign opposite)",
}


@dataclass(frozen=True)
class _Step:
    """From one structure to a near one: difference of energies, work of forces and of stresses (eV)."""

    energy: float
    forces: float
    stress: float


def work_objections(configurations: Sequence[LabelledConfiguration]) -> Iterator[str]:
    """Yield what the work along small steps says against units and signs of forces, stresses and energies."""
    steps = list(_steps(configurations))
    if len(steps) < _FEWEST_PAIRS:
        return
    energies = np.array([step.energy for step in steps])
    works = np.array([[step.forces, step.stress] for step in steps])
    present = [column for column in range(2) if np.any(works[:, column])]
    if not present or not np.any(energies):
        return
    factors, *_ = np.linalg.lstsq(works[:, present], energies, rcond=None)
    parts = works[:, present] * factors
    total = float(energies @ energies)
    if 1.0 - float(np.sum((energies - parts.sum(axis=1)) ** 2)) / total < SMALLEST_SHARE_EXPLAINED:
        return
    sizes = [one.n_atoms for one in configurations]
    per_atom = 1.0 / sizes[0] if len(set(sizes)) == 1 else None
    for index, column in enumerate(present):
        factor = float(factors[index])
        # What hardly changes the energy has no factor that could be told.
        if float(parts[:, index] @ parts[:, index]) < _SMALLEST_PART * total:
            continue
        if 1.0 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR:
            continue
        what, guesses = (("forces", _FORCE_GUESSES), ("stresses or virials", _STRESS_GUESSES))[column]
        yield (
            f"energies change by {factor:.3g} times what the {what} do along {len(steps)} small steps: "
            f"{_guess(factor, guesses, per_atom)}"
        )


def _guess(factor: float, guesses: dict[float, str], per_atom: float | None) -> str:
    if per_atom is not None and factor > 0.0 and abs(np.log(factor / per_atom)) < _GUESS_DISTANCE:
        return "the energies look like energies per atom; needed are those of whole cells"
    ranked = sorted((abs(np.log(factor / value)), words) for value, words in guesses.items() if factor * value > 0.0)
    if ranked and ranked[0][0] < _GUESS_DISTANCE and (len(ranked) == 1 or ranked[1][0] > 2.0 * ranked[0][0]):
        return ranked[0][1]
    return f"{'one has the opposite sign; ' if factor < 0.0 else ''}check the units, signs and names of all three"


def _steps(configurations: Sequence[LabelledConfiguration]) -> Iterator[_Step]:
    """Yield steps between near structures of the same atoms in the same order, spread over the whole set."""
    groups: dict[bytes, list[LabelledConfiguration]] = defaultdict(list)
    for one in configurations:
        if one.forces is not None:
            groups[one.atoms.numbers.tobytes() + one.atoms.pbc.tobytes()].append(one)
    pairs = [
        (first, second)
        for group in groups.values()
        for place, first in enumerate(group)
        for second in group[place + 1 : place + 1 + _NEIGHBOURS_IN_FILE]
    ]
    for first, second in pairs[:: 1 + len(pairs) // _MOST_PAIRS]:
        step = _step(first, second)
        if step is not None:
            yield step


def _step(first: LabelledConfiguration, second: LabelledConfiguration) -> _Step | None:
    """Return the step from one structure to another, None if it is too long or lacks the stresses it needs."""
    if first.forces is None or second.forces is None:
        return None
    cells = first.atoms.cell.array, second.atoms.cell.array
    stress_work = 0.0
    middle = (cells[0] + cells[1]) / 2.0
    whole = first.atoms.cell.rank == 3 and second.atoms.cell.rank == 3 and bool(first.atoms.pbc.any())
    if whole:
        strain = np.linalg.solve(middle, cells[1] - cells[0])
        if np.abs(strain).max() > _LARGEST_STRAIN:
            return None
        if np.abs(strain).max() > _SMALLEST_STRAIN:
            if first.stress is None or second.stress is None:
                return None
            stress_work = 0.5 * sum(
                one.atoms.get_volume() * float(np.sum(voigt_6_to_full_3x3_stress(one.stress) * strain))
                for one in (first, second)
            )
        scaled = [one.atoms.positions @ np.linalg.inv(cell) for one, cell in zip((first, second), cells, strict=True)]
        steps = find_mic((scaled[1] - scaled[0]) @ middle, middle, first.atoms.pbc)[0]
    else:
        steps = second.atoms.positions - first.atoms.positions
    if not np.isfinite(steps).all() or np.linalg.norm(steps, axis=1).max() > _LARGEST_STEP_A:
        return None
    work = -0.5 * float(np.sum((first.forces + second.forces) * steps))
    step = _Step(second.energy - first.energy, work, stress_work)
    return step if np.isfinite([step.energy, step.forces, step.stress]).all() else None
