"""The contract of every engine, kept by GPAW and Quantum ESPRESSO themselves.

CP2K would take a quarter of an hour for it: test_real_engines holds a part of it against GPAW.
"""

from __future__ import annotations

import pytest
from ase.build import bulk

from ionloop.labelling.contract import EngineContract
from ionloop.labelling.engines.dft_settings import KGrid
from ionloop.labelling.engines.espresso import EspressoSettings
from ionloop.labelling.engines.gpaw_engine import GpawSettings

pytestmark = [pytest.mark.dft, pytest.mark.timeout(900)]


class _Contract(EngineContract):
    # Real-space grids move against the atoms: that is what these limits hold.
    energy_tolerance_eV = 5e-3
    force_tolerance_eV_per_A = 2e-2
    stress_tolerance_eV_per_A3 = 1e-3
    displacement_A = 1e-2
    strain = 1e-2

    @pytest.fixture(autouse=True)
    def _engine(self, require_engine):
        require_engine(self.settings())


class TestGpaw(_Contract):
    # Plane waves at a low cutoff: a strained cell has other waves, and a stress of its own.
    stress_tolerance_eV_per_A3 = 5e-3

    def settings(self):
        return GpawSettings(cutoff_eV=300, k_grid=KGrid(gamma=True), isolated_atom_box_A=7.0)


class TestEspresso(_Contract):
    stress_tolerance_eV_per_A3 = 5e-3

    def settings(self):
        return EspressoSettings(
            pseudopotentials={"Si": "Si.pbe-rrkj.UPF"},
            cutoff_Ry=30,
            density_cutoff_Ry=120,
            k_grid=KGrid(grid=(1, 2, 1)),
            isolated_atom_box_A=7.0,
        )

    def atoms(self):
        atoms = bulk("Si", "diamond", a=5.47).repeat((2, 1, 1))
        atoms.rattle(0.05, seed=3)
        return atoms
