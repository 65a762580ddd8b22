"""Formulas as chemists write them: Li3SbS4, LiCoO2, Li6PS5Cl."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from math import gcd
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ase import Atoms

_PERIODS: Final = (2, 8, 8, 18, 18, 32, 32)
_ENDS: Final = tuple(accumulate(_PERIODS))
_HYDROGEN_GROUP: Final = 15.5
_OTHERS_FIRST: Final = (0.0, 0)


def written(counts: Mapping[str, int]) -> str:
    """Return a formula with the electropositive elements first, "Li7La3Zr2O12", of atoms by element.

    The order is the element sequence of IUPAC's Red Book (2005, table VI): by groups, from the heaviest element of each
    to the lightest, hydrogen after nitrogen's.
    """
    ordered = sorted(counts, key=_place)
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] != 1 else ''}" for symbol in ordered)


def formula_of(atoms: Atoms) -> str:
    """Return the formula of all atoms of a structure, as `written`."""
    return written(atoms.symbols.formula.count())


def composition_of(atoms: Atoms) -> str:
    """Return the formula in the smallest whole numbers: the same for any number of formula units."""
    counts = atoms.symbols.formula.count()
    common = gcd(*counts.values())
    return written({symbol: count // common for symbol, count in counts.items()})


def _place(symbol: str) -> tuple[float, int]:
    # Records are listed by commands that load no physics.
    from ase.data import atomic_numbers

    number = atomic_numbers.get(symbol, 0)
    if number < 1:
        return _OTHERS_FIRST
    if number == 1:
        return (_HYDROGEN_GROUP, -1)
    length, end = next((length, end) for length, end in zip(_PERIODS, _ENDS, strict=True) if number <= end)
    column = number - (end - length)
    # Periods are filled from both ends; what the longest have more belongs to group 3.
    group = column if column <= 2 else max(3, column + 18 - length)
    return (group % 18, -number)
