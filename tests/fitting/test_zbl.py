"""The repulsion of screened nuclei: Coulomb's where they are bare, nothing where they are bound."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii

from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import GapModel
from ionloop.fitting.zbl import SWITCHED_FROM, SWITCHED_TO, zbl_core, zbl_energy_eV

COULOMB_eV_A = 14.399645
DISPLACEMENT_A = 1e-5
FORCE_TOLERANCE = 1e-6
SPLINE_TOLERANCE = 1e-3
SULPHUR_PAIR_eV = 136.2
"""Two sulphur atoms 0.8 Å apart, worked out by hand: a = 0.12381 Å, φ(6.4614) = 0.029557."""


def energy_eV(symbols: str, distance_A: float) -> float:
    atoms = Atoms(symbols, positions=[[0, 0, 0], [distance_A, 0, 0]])
    atoms.calc = NativeGapCalculator(GapModel({}, (), core=zbl_core(atoms.get_chemical_symbols())))
    return float(atoms.get_potential_energy())


def test_nuclei_that_touch_are_bare() -> None:
    assert zbl_energy_eV(3, 16, np.array([1e-5]))[0] * 1e-5 / (3 * 16) == pytest.approx(COULOMB_eV_A, rel=1e-3)


def test_the_energy_is_that_worked_out_by_hand() -> None:
    assert zbl_energy_eV(16, 16, np.array([0.8]))[0] == pytest.approx(SULPHUR_PAIR_eV, rel=1e-3)


@pytest.mark.parametrize("symbols", ["LiS", "S2", "PS", "LiI"])
def test_the_core_is_zbl_below_and_nothing_at_bonds(symbols: str) -> None:
    atoms = Atoms(symbols)
    bond_A = float(covalent_radii[atoms.numbers].sum())
    first, second = sorted(int(number) for number in atoms.numbers)
    for part in (0.2, 0.35, 0.999 * SWITCHED_FROM):
        expected = zbl_energy_eV(first, second, np.array([part * bond_A]))[0]
        assert energy_eV(symbols, part * bond_A) == pytest.approx(expected, rel=SPLINE_TOLERANCE)
    assert energy_eV(symbols, 1.001 * SWITCHED_TO * bond_A) == 0.0
    falling = [energy_eV(symbols, part * bond_A) for part in np.linspace(0.2, SWITCHED_TO, 40)]
    assert all(later < earlier for earlier, later in pairwise(falling))


@pytest.mark.parametrize("part", [0.3, 0.55, 0.7, 0.85])
def test_forces_are_those_of_the_energy(part: float) -> None:
    distance_A = part * float(2 * covalent_radii[16])
    atoms = Atoms("S2", positions=[[0, 0, 0], [distance_A, 0, 0]])
    atoms.calc = NativeGapCalculator(GapModel({}, (), core=zbl_core(["S"])))
    slope = (energy_eV("S2", distance_A + DISPLACEMENT_A) - energy_eV("S2", distance_A - DISPLACEMENT_A)) / (
        2 * DISPLACEMENT_A
    )
    assert atoms.get_forces()[1, 0] == pytest.approx(-slope, rel=FORCE_TOLERANCE)
