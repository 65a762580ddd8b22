"""Every engine keeps the contract of `ionloop.labelling.contract`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from ionloop.core.states import State
from ionloop.labelling import CommandSettings, Gfn1XtbSettings, isolated_atom_energy
from ionloop.labelling.contract import EngineContract

SMALLEST_DIPOLE_OF_WATER_EA = 0.3
ENGINES_FOR_TESTS = Path(__file__).parent / "engines_for_tests"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ENGINES_FOR_TESTS))


class TestGfn1Xtb(EngineContract):
    def settings(self):
        return Gfn1XtbSettings()

    def test_label_has_stress_and_charges_of_a_neutral_cell(self, tmp_path):
        outcome = self._label(self.atoms(), tmp_path)
        assert outcome.stress is not None
        np.testing.assert_allclose(outcome.charges.sum(), 0.0, atol=1e-8)

    def test_the_dipole_of_a_molecule_turns_with_it_and_stays_where_it_moves(self, tmp_path):
        water = molecule("H2O")
        dipole = self._label(water, tmp_path / "here").dipole
        assert np.linalg.norm(dipole) > SMALLEST_DIPOLE_OF_WATER_EA
        water.positions = water.positions[:, [2, 0, 1]] + [1.0, -2.0, 0.5]
        np.testing.assert_allclose(self._label(water, tmp_path / "there").dipole, dipole[[2, 0, 1]], atol=1e-6)

    def test_a_crystal_has_no_dipole(self, tmp_path):
        assert self._label(self.atoms(), tmp_path).dipole is None

    def test_initial_charges_of_the_atoms_do_not_charge_the_cell(self, tmp_path):
        charged = self.atoms()
        charged.set_initial_charges([1.0, 0.0, 0.0, 0.0])
        assert self._energy(charged, tmp_path / "charged") == self._energy(self.atoms(), tmp_path / "plain")

    @pytest.mark.parametrize("symbol", ["H", "N", "O", "F", "Na", "Al", "Si", "Cl", "Ti", "Ge", "Y", "Zr"])
    def test_isolated_atoms_of_solid_electrolytes(self, symbol, tmp_path):
        assert isolated_atom_energy(symbol, self.settings(), tmp_path).state is State.FINISHED


class TestCalculatorByImportPath(EngineContract):
    def settings(self):
        return CommandSettings(
            calculator="misbehaving_calculators:GaussianPairs",
            environment={"PYTHONPATH": str(ENGINES_FOR_TESTS)},
        )


class TestExecutable(EngineContract):
    # The text of extended XYZ carries eight decimals: derivatives over longer steps.
    displacement_A = 1e-2
    strain = 1e-2
    force_tolerance_eV_per_A = 1e-3
    stress_tolerance_eV_per_A3 = 1e-4

    def settings(self):
        return CommandSettings(executable=f"{sys.executable} {ENGINES_FOR_TESTS / 'extxyz_executable.py'}")
