"""Isolated atoms in a file of labels: recognised, compared, and kept apart from crystals of one atom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import minkowski_reduce

from ...core.errors import InputError
from ..data_sets import ISOLATED_SPELLINGS, DataSet, mean_energy_per_atom

SMALLEST_SEPARATION_A = 7.0
SEPARATION_OVER_RADII = 1.8
"""Periodic images of an isolated atom are farther apart than both: crystals reach 5.3 Å (caesium) and 1.2 times the sum
of two covalent radii."""
_DOUBTFUL_SEPARATION_A = 5.0
SAME_ENERGY_EV = 1e-5
LARGEST_STAND_IN_EV = 15.0
"""No free atom has an energy so far above zero: then those that stand beside it are of another reference."""


@dataclass(frozen=True)
class Verdict:
    """Whether a frame is an isolated atom, what is wrong with it, if anything, and what is doubtful."""

    isolated: bool
    objection: str = ""
    remark: str = ""


def is_named_isolated(config_type: str) -> bool:
    """Say whether a configuration type is that of isolated atoms."""
    return config_type.lower().replace("-", "_") in ISOLATED_SPELLINGS


def judge(atoms: Atoms, config_type: str) -> Verdict:
    """Say whether a frame is an isolated atom: one atom in open space or in a large cell, whatever its type."""
    named = is_named_isolated(config_type)
    if len(atoms) != 1:
        objection = f"config_type={config_type} says isolated atom, but the frame has {len(atoms)} atoms"
        return Verdict(False, objection if named else "")
    separation = image_separation_A(atoms)
    far = SEPARATION_OVER_RADII * 2.0 * float(covalent_radii[atoms.numbers[0]])
    if separation >= max(SMALLEST_SEPARATION_A, far):
        return Verdict(True)
    if named:
        return Verdict(
            False,
            f"config_type={config_type} says isolated atom, but the periodic images of {atoms.symbols[0]} are "
            f'{separation:.2f} Å apart, which is a crystal; write another config_type, or pbc="F F F" if it is none',
        )
    doubtful = separation >= max(_DOUBTFUL_SEPARATION_A, far)
    remark = f'one atom whose images are {separation:.2f} Å apart counts as a crystal; write pbc="F F F" if it is none'
    return Verdict(False, remark=remark if doubtful else "")


def image_separation_A(atoms: Atoms) -> float:
    """Return the shortest distance of an atom from a periodic image of itself (Å); infinity in open space."""
    periodic = atoms.pbc & (atoms.cell.lengths() > 0.0)
    if not periodic.any():
        return float("inf")
    if periodic.all():
        reduced, _ = minkowski_reduce(atoms.cell.array)
        return float(np.linalg.norm(reduced, axis=1).min())
    return float(atoms.cell.lengths()[periodic].min())


def differing_energies(energies: Sequence[float]) -> bool:
    """Say whether energies of one element differ by more than the digits of a file."""
    return bool(np.ptp(energies) > SAME_ENERGY_EV)


def stand_in(data_set: DataSet) -> tuple[DataSet, str]:
    """Return the set with an energy for the isolated atoms that it lacks, and what was done in words.

    One energy for all of them, such that the configurations which hold them are unbound in the mean: without any
    isolated atom the mean energy per atom.

    Raises
    ------
    InputError
        If the isolated atoms that are there leave an energy for the others that no atom has.
    """
    known = data_set.isolated_atom_energies
    missing = [symbol for symbol in sorted(data_set.elements) if symbol not in known]
    if not missing:
        return data_set, ""
    if len(missing) == len(data_set.elements):
        energies = mean_energy_per_atom(data_set.configurations)
        remark = (
            f"no isolated atom of {', '.join(missing)}: energies count from the mean energy per atom, so the potential "
            "says nothing about dissociation"
        )
    else:
        energy = _energy_of_missing(data_set, missing)
        if energy > LARGEST_STAND_IN_EV:
            raise InputError(
                f"no isolated atom of {', '.join(missing)}, and those of {', '.join(known)} would leave {energy:.6g} "
                "eV for it: they are of another reference; compute all with the labels' settings, or leave them out"
            )
        energies = dict.fromkeys(missing, energy)
        remark = (
            f"no isolated atom of {', '.join(missing)} beside those of {', '.join(known)}: {energy:.6g} eV stands in, "
            f"the mean that the configurations leave for it; the potential says nothing about its dissociation"
        )
    return replace(data_set, isolated_atom_energies={**known, **energies}), remark


def _energy_of_missing(data_set: DataSet, missing: Sequence[str]) -> float:
    left, atoms = 0.0, 0
    for one in data_set:
        symbols = one.atoms.get_chemical_symbols()
        count = sum(symbol in missing for symbol in symbols)
        if count:
            left += one.energy - sum(data_set.isolated_atom_energies.get(symbol, 0.0) for symbol in symbols)
            atoms += count
    return left / atoms
