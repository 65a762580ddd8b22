"""Fixtures of the tests that run real density-functional codes; each is skipped, with the reason, where there is none.

With IONLOOP_REQUIRE_DFT=1 a missing code fails the test instead: what is meant to run everything says so.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from ase import Atoms

from ionloop.labelling import engine_of
from ionloop.labelling.engines.cp2k_settings import Cp2kSettings
from ionloop.labelling.engines.dft_settings import KGrid
from ionloop.labelling.engines.espresso import EspressoSettings
from ionloop.labelling.engines.gpaw_engine import GpawSettings

P_S_BOND_A = 2.05
LATTICE_CONSTANT_A = 5.5
DISPLACEMENT_A = 0.08


def require(settings) -> None:
    """Skip the test if the engine of the settings is not there."""
    engine = engine_of(settings)
    probe = engine.probe(settings)
    if probe.found:
        return
    if os.environ.get("IONLOOP_REQUIRE_DFT") == "1":
        pytest.fail(f"{probe.engine}: {probe.remedy}")
    pytest.skip(f"{probe.engine}: {probe.remedy}")


@pytest.fixture
def require_engine():
    """The function that skips the test if the engine of given settings is not there."""
    return require


@pytest.fixture
def gpaw() -> GpawSettings:
    settings = GpawSettings(cutoff_eV=350, k_grid=KGrid(grid=(2, 2, 2)))
    require(settings)
    return settings


@pytest.fixture
def cp2k() -> Cp2kSettings:
    settings = Cp2kSettings(cutoff_Ry=300, relative_cutoff_Ry=40, k_grid=KGrid(grid=(2, 2, 2)))
    require(settings)
    return settings


@pytest.fixture
def espresso() -> EspressoSettings:
    settings = EspressoSettings(
        pseudopotentials={"Si": "Si.pbe-rrkj.UPF"},
        cutoff_Ry=16,
        density_cutoff_Ry=64,
        k_grid=KGrid(grid=(2, 2, 2)),
    )
    require(settings)
    return settings


@pytest.fixture(scope="session")
def thiophosphate():
    """Return a function that makes eight atoms of Li3PS4, one tetrahedron in a cubic cell, displaced at random."""

    def make(seed: int) -> Atoms:
        x = P_S_BOND_A / np.sqrt(3) / LATTICE_CONSTANT_A
        corners = [[x, x, x], [x, -x, -x], [-x, x, -x], [-x, -x, x]]
        atoms = Atoms(
            "PLi3S4",
            scaled_positions=[[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], *corners],
            cell=[LATTICE_CONSTANT_A] * 3,
            pbc=True,
        )
        atoms.rattle(DISPLACEMENT_A, seed=seed)
        return atoms

    return make
