"""The data of several experts as one set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..data_sets import DataSet, LabelledConfiguration
from ..reading.isolated import differing_energies

RIDGE = 1.0
"""On the energies of elements that are not known, about their mean: one composition cannot tell elements apart, and
then all of them have the mean energy per atom."""


def joined_data(named: Sequence[tuple[str, DataSet]]) -> DataSet:
    """Return all configurations, each structure once, and one zero of energy.

    Energies of isolated atoms that were computed stay. Those that stand in for them, where the sets disagree, make way
    for the energies per element that the configurations of all of them give (least squares).

    Parameters
    ----------
    named
        Sets with a name each, which becomes part of a configuration's where two would have the same.
    """
    configurations: list[LabelledConfiguration] = []
    seen: set[bytes] = set()
    names: Counter[str] = Counter()
    for name, data_set in named:
        for one in data_set:
            structure = structure_digest(one)
            if structure in seen:
                continue
            seen.add(structure)
            identifier = one.identifier
            if names[identifier]:
                identifier = f"{'-'.join(name.split())}-{one.identifier}"
                while names[identifier]:
                    identifier += "-again"
            names[identifier] += 1
            configurations.append(one if identifier == one.identifier else replace(one, identifier=identifier))
    sets = [data_set for _, data_set in named]
    atoms = {str(one.atoms.symbols[0]): one for data_set in reversed(sets) for one in data_set.isolated_atoms}
    known = {symbol: one.energy for symbol, one in atoms.items()}
    joined = DataSet(tuple(configurations))
    missing = [symbol for symbol in joined.elements if symbol not in known]
    given = {
        symbol: [one.isolated_atom_energies[symbol] for one in sets if symbol in one.isolated_atom_energies]
        for symbol in missing
    }
    if all(len(energies) and not differing_energies(energies) for energies in given.values()):
        stand_ins = {symbol: energies[0] for symbol, energies in given.items()}
    else:
        stand_ins = common_zero(configurations, known)
    # Elements that only a zero is known of stay known.
    others = {symbol: energy for one in sets for symbol, energy in one.isolated_atom_energies.items()}
    others = {symbol: energy for symbol, energy in others.items() if symbol not in {*known, *stand_ins}}
    return DataSet(tuple(configurations), {**others, **stand_ins}, tuple(atoms.values()))


def structure_digest(one: LabelledConfiguration) -> bytes:
    """Return a digest of a structure without its labels and its name."""
    digest = hashlib.sha256(one.atoms.numbers.astype("<i8").tobytes() + one.atoms.pbc.tobytes())
    for array in (one.atoms.cell.array, one.atoms.positions):
        digest.update((array + 0.0).astype("<f8").tobytes() + b"|")
    return digest.digest()


def common_zero(configurations: Sequence[LabelledConfiguration], known_eV: Mapping[str, float]) -> dict[str, float]:
    """Return energies (eV) of the elements that are not known, such that configurations are unbound in the mean.

    Parameters
    ----------
    configurations
        With their energies.
    known_eV
        Energies of isolated atoms that were computed.
    """
    elements = [symbol for symbol in DataSet(tuple(configurations)).elements if symbol not in known_eV]
    counts = np.array([[one.atoms.symbols.count(symbol) for symbol in elements] for one in configurations], dtype=float)
    if not elements:
        return {}
    left = np.array(
        [one.energy - sum(known_eV.get(symbol, 0.0) for symbol in one.atoms.symbols) for one in configurations]
    )
    holding = counts.sum(axis=1) > 0
    counts, left = counts[holding], left[holding]
    mean = float(np.mean(left / counts.sum(axis=1)))
    shifts = np.linalg.solve(
        counts.T @ counts + RIDGE * np.eye(len(elements)), counts.T @ (left - mean * counts.sum(axis=1))
    )
    return {symbol: float(mean + shift) for symbol, shift in zip(elements, shifts, strict=True)}
