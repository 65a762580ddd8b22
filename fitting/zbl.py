"""The repulsion of screened nuclei, as a core that keeps atoms apart where there are no data.

J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, Pergamon, 1985.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.units import Bohr, Hartree

from ..core.arrays import FloatArray
from .native.glue import NATURAL_SLOPE, GluePotential, Spline

SCREENING: Final = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
"""Weights and exponents of the universal screening function."""
SWITCHED_FROM: Final = 0.5
SWITCHED_TO: Final = 0.9
"""Distances between which it is switched off, as parts of the sum of the covalent radii: bonds are left to the fit."""
FIRST_POINT_A: Final = 0.1
POINTS: Final = 120


def zbl_energy_eV(first: int, second: int, distances_A: FloatArray) -> FloatArray:
    """Return Z₁Z₂e²/(4πε₀r) φ(r/a), a = 0.8854 a₀/(Z₁^0.23 + Z₂^0.23), of two nuclei; shape of the distances."""
    length_A = 0.8854 * Bohr / (first**0.23 + second**0.23)
    reduced = distances_A / length_A
    screening = sum(weight * np.exp(-exponent * reduced) for weight, exponent in SCREENING)
    return np.asarray(first * second * Hartree * Bohr / distances_A * screening)


def zbl_core(elements: Sequence[str]) -> GluePotential:
    """Return the repulsion between all pairs of elements, each smoothly to zero below the length of their bond.

    The switch is 1 - 10x³ + 15x⁴ - 6x⁵ in the distance: energy, force and its slope are continuous.
    """
    numbers = sorted({atomic_numbers[symbol] for symbol in elements})
    return GluePotential(
        {pair: _spline(*pair) for pair in combinations_with_replacement(numbers, 2)}, {}, {}, frozenset(numbers)
    )


def _spline(first: int, second: int) -> Spline:
    bond_A = float(covalent_radii[first] + covalent_radii[second])
    distances_A = np.geomspace(FIRST_POINT_A, SWITCHED_TO * bond_A, POINTS)
    part = np.clip((distances_A / bond_A - SWITCHED_FROM) / (SWITCHED_TO - SWITCHED_FROM), 0.0, 1.0)
    switch = 1.0 - part**3 * (10.0 - 15.0 * part + 6.0 * part**2)
    return Spline(distances_A, zbl_energy_eV(first, second, distances_A) * switch, (NATURAL_SLOPE, 0.0))
