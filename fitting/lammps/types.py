"""Which element each of LAMMPS's types of atoms is, compared with the masses that it moves with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError

# Masses in input files are rounded (u).
_SAME_MASS = 0.05


def numbers_of_types(elements: Sequence[str], n_types: int, known: frozenset[int], where: str) -> IntArray:
    """Return the atomic number of every type, from 1 on. Shape [n_types + 1], the first of it 0.

    Parameters
    ----------
    elements
        Symbols, one for every type.
    n_types
        How many types LAMMPS has.
    known
        Atomic numbers that the model knows; 0 stands for any.
    where
        For messages.

    Raises
    ------
    InputError
        If there are more or fewer symbols than types, or one that is no element or unknown to the model.
    """
    if len(elements) != n_types:
        raise InputError(
            f"{where}: LAMMPS has {n_types} types of atoms, and {len(elements)} elements are given for them "
            f"({' '.join(elements)}); give one for each"
        )
    strangers = [symbol for symbol in elements if symbol not in atomic_numbers or not atomic_numbers[symbol]]
    if strangers:
        raise InputError(
            f"{where}: {', '.join(strangers)} is no chemical symbol; every type needs an element, as in Li P S"
        )
    numbers = [atomic_numbers[symbol] for symbol in elements]
    unknown = sorted({chemical_symbols[number] for number in numbers if number not in known})
    if unknown and 0 not in known:
        names = ", ".join(chemical_symbols[number] for number in sorted(known))
        raise InputError(f"{where}: the model was fitted for {names} and knows nothing about {', '.join(unknown)}")
    return np.array([0, *numbers], dtype=np.int64)


def check_masses(numbers: IntArray, masses: FloatArray, where: str) -> None:
    """Refuse types that have the mass of another element (u); arguments as `numbers_of_types` returns them.

    Other isotopes, and masses that are no element's, pass.

    Raises
    ------
    InputError
        For the first such type.
    """
    for kind in range(1, len(numbers)):
        symbol, mass = chemical_symbols[numbers[kind]], float(masses[kind])
        likely = int(np.argmin(np.abs(np.asarray(atomic_masses[1:]) - mass))) + 1
        # Neighbours in the periodic table, such as Co and Ni, may have nearly the same.
        if abs(atomic_masses[numbers[kind]] - mass) < 2 * _SAME_MASS:
            continue
        if likely != numbers[kind] and abs(atomic_masses[likely] - mass) < _SAME_MASS:
            raise InputError(
                f"{where}: type {kind} is to be {symbol}, but has the mass of {chemical_symbols[likely]} ({mass:g}): "
                "give the elements in the order of the types, or the masses of these elements"
            )
