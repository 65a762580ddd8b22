"""Whether two evaluations of the same potential give the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from .model_errors import Agreement


def compare_calculators(first: Calculator, second: Calculator, structures: Sequence[Atoms]) -> Agreement:
    """Evaluate every structure with both calculators and return the largest differences.

    Stress is compared for structures that are periodic in three directions.

    Raises
    ------
    ValueError
        If there is nothing to compare.
    """
    if not structures:
        raise ValueError("two calculators cannot be compared without structures")
    energies, forces, stresses = [], [], []
    for atoms in structures:
        difference = {
            name: np.abs(np.asarray(first.get_property(name, atoms)) - np.asarray(second.get_property(name, atoms)))
            for name in ("energy", "forces", *(["stress"] if atoms.pbc.all() else []))
        }
        energies.append(float(difference["energy"]) / len(atoms))
        forces.append(float(difference["forces"].max()))
        if "stress" in difference:
            stresses.append(float(difference["stress"].max()))
    return Agreement(
        energy_eV_per_atom=max(energies),
        force_eV_per_A=max(forces),
        stress_eV_per_A3=max(stresses, default=None),
        configurations=len(structures),
    )
