"""Small labelled cells and settings with which a fit takes a fraction of a second."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from ase.spacegroup import crystal

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.settings import BaselineSettings, GapSettings, SoapSettings, TwoBodySettings

ISOLATED_ATOM_ENERGIES = {"Li": -1.5, "S": -2.5}


def make_lithium_sulfide(seed: int, displacement_A: float = 0.15) -> Atoms:
    """Antifluorite Li2S, 12 atoms, displaced and sheared at random."""
    random = np.random.default_rng(seed)
    atoms = crystal(["S", "Li"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[5.7] * 3 + [90] * 3)
    atoms = atoms[np.argsort(atoms.numbers, kind="stable")]
    atoms = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    atoms.set_cell(atoms.cell @ (np.eye(3) + random.normal(0.0, 0.02, (3, 3))), scale_atoms=True)
    atoms.positions += random.normal(0.0, displacement_A, atoms.positions.shape)
    return atoms


def make_short_ranged_calculator() -> Calculator:
    return LennardJones(sigma=2.1, epsilon=0.3, rc=4.0, smooth=True)


def label(atoms: Atoms, calculators: list[Calculator], identifier: str) -> LabelledConfiguration:
    """Label with the sum of some calculators and of isolated-atom energies."""
    return LabelledConfiguration(
        atoms=atoms,
        energy=sum(calculator.get_property("energy", atoms) for calculator in calculators)
        + sum(ISOLATED_ATOM_ENERGIES[symbol] for symbol in atoms.symbols),
        forces=sum(calculator.get_property("forces", atoms) for calculator in calculators),
        stress=sum(calculator.get_property("stress", atoms) for calculator in calculators),
        identifier=identifier,
    )


def make_data_set(calculators: list[Calculator], count: int, first_seed: int = 0) -> DataSet:
    return DataSet(
        tuple(
            label(make_lithium_sulfide(seed), calculators, f"li2s-{seed}")
            for seed in range(first_seed, first_seed + count)
        ),
        ISOLATED_ATOM_ENERGIES,
    )


@pytest.fixture(scope="session")
def lithium_sulfide() -> DataSet:
    return make_data_set([make_short_ranged_calculator()], count=5)


@pytest.fixture(scope="session")
def small_settings() -> GapSettings:
    return GapSettings(
        two_body=TwoBodySettings(cutoff_A=4.5, sparse_points=8),
        soap=SoapSettings(cutoff_A=4.0, n_max=3, l_max=2, sparse_points=15),
    )


@pytest.fixture(scope="session")
def baseline() -> BaselineSettings:
    return BaselineSettings(charges={"Li": 0.5, "S": -1.0}, exponents={"Li": 0.7888, "S": 1.6422})
