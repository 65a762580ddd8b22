"""Shapes of polyanions by formula: tetrahedra, alone, at a shared corner, or at a bond of their centres."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.formula import Formula

from ...core.arrays import FloatArray

BRIDGE_DEGREES: Final = 110.0
"""Angle at the ligand that two centres share; 105° to 112° in crystals with P2S7."""
MOST_LIGANDS: Final = 4
_TETRAHEDRON: Final = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
_TRIGONAL: Final = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [-0.5, -np.sqrt(0.75), 0]])
_LINEAR: Final = np.array([[1.0, 0, 0], [-1, 0, 0]])


class Polyanion(NamedTuple):
    """Atoms that are bound to each other.

    Attributes
    ----------
    symbols
        The centres first.
    positions
        About their mean, Å. [n_atoms, 3]
    """

    symbols: tuple[str, ...]
    positions: FloatArray

    @property
    def centre(self) -> str:
        """Element of its centres."""
        return self.symbols[0]


def polyanion(formula: str, bond_A: float | None = None) -> Polyanion:
    """Return a polyanion by its formula, the centre's element first: PS4, BH4, P2S7, P2S6, NO3.

    MX_n with n to 4 has its ligands around one centre (a line, a triangle, a tetrahedron), M2X7 is two tetrahedra with
    a common corner, M2X6 two halves of tetrahedra that a bond of their centres joins, staggered, as in Li4P2S6.

    Parameters
    ----------
    bond_A
        Distance of centre and ligand (Å); None: the sum of their covalent radii. Centres that are bound are twice the
        covalent radius of one apart.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    counts = _counts(formula)
    (centre, centres), (ligand, ligands) = counts.items()
    bond = bond_A or float(covalent_radii[atomic_numbers[centre]] + covalent_radii[atomic_numbers[ligand]])
    if centres == 1:
        places = np.vstack([np.zeros((1, 3)), bond * _around(ligands)])
    elif ligands == 7:
        places = _corner_sharing(bond)
    else:
        places = _bound(bond, 2.0 * float(covalent_radii[atomic_numbers[centre]]))
    symbols = (centre,) * centres + (ligand,) * ligands
    return Polyanion(symbols, places - places.mean(axis=0))


def _counts(formula: str) -> dict[str, int]:
    try:
        counts = Formula(formula).count()
    except ValueError:
        counts = {}
    known = len(counts) == 2 and all(symbol in atomic_numbers and symbol != "X" for symbol in counts)
    numbers = tuple(counts.values())
    if not known or not ((numbers[0] == 1 and 1 <= numbers[1] <= MOST_LIGANDS) or numbers in ((2, 7), (2, 6))):
        raise ValueError(
            f"{formula!r} is no polyanion that can be packed: MX to MX4, M2X6 or M2X7, the centre first, as PS4 or P2S7"
        )
    return counts


def _around(ligands: int) -> FloatArray:
    """Return directions of ligands around one centre. [n_ligands, 3]"""
    return np.asarray({1: _LINEAR[:1], 2: _LINEAR, 3: _TRIGONAL, 4: _TETRAHEDRON}[ligands])


def _corner_sharing(bond: float) -> FloatArray:
    """Return two centres, the ligand between them and three at each. [9, 3]"""
    half = np.radians(BRIDGE_DEGREES) / 2
    centres = bond * np.array([[np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    # One leg of each points away from the other centre: so the others come least close.
    ends = [centre + bond * _legs(centre / bond, np.sign(centre) * [1.0, 0.0, 0.0]) for centre in centres]
    return np.vstack([centres, np.zeros((1, 3)), *ends])


def _bound(bond: float, between: float) -> FloatArray:
    """Return two centres and three ligands at each, those of one half turned by 60°. [8, 3]"""
    axis = np.array([1.0, 0.0, 0.0])
    side = np.array([0.0, 0.0, 1.0])
    return np.vstack(
        [
            -0.5 * between * axis,
            0.5 * between * axis,
            -0.5 * between * axis + bond * _legs(-axis, side),
            0.5 * between * axis + bond * _legs(axis, -side),
        ]
    )


def _legs(away: FloatArray, side: FloatArray) -> FloatArray:
    """Return the three directions of a tetrahedron whose fourth points against ``away``. [3, 3]

    The first of them lies in the plane of ``away`` and ``side``.
    """
    first = side - (side @ away) * away
    first /= np.linalg.norm(first)
    second = np.cross(away, first)
    angles = 2 * np.pi / 3 * np.arange(3)
    ring = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second)
    return np.asarray(away / 3.0 + np.sqrt(8.0) / 3.0 * ring)
