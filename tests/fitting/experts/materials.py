"""Two small materials whose labels are a known potential, and models of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lj import LennardJones

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, isolated_atom
from ionloop.fitting.models import fit_model
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings

ALONE_EV = {"Li": -3.0, "P": -6.0, "S": -7.5}
SETTINGS = GapSettings(
    two_body=TwoBodySettings(cutoff_A=4.0, sparse_points=6),
    soap=SoapSettings(cutoff_A=3.5, n_max=3, l_max=2, sparse_points=12),
)
ANIONS = {"sulphide": "S", "phosphide": "P"}


def cell(anion: str, seed: int) -> Atoms:
    """Return a disordered cell of four lithium atoms and two others."""
    random = np.random.default_rng(seed)
    atoms = Atoms(f"Li4{anion}2", cell=[[5.0, 0.0, 0.0], [0.3, 5.2, 0.0], [-0.2, 0.4, 5.6]], pbc=True)
    places = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.27, 0.25, 0.25], [0.75, 0.75, 0.72]]
    atoms.set_scaled_positions(places)
    atoms.positions += random.normal(0.0, 0.08, atoms.positions.shape)
    return atoms


def labelled(anion: str, seed: int, *, name: str = "") -> LabelledConfiguration:
    """Return a cell with the labels of a Lennard-Jones crystal whose atoms have the energies of ``ALONE_EV``."""
    atoms = cell(anion, seed)
    calculator = LennardJones(sigma=1.7 if anion == "S" else 1.8, epsilon=0.3, rc=4.0, smooth=True)
    energy = calculator.get_property("energy", atoms) + sum(ALONE_EV[symbol] for symbol in atoms.symbols)
    forces, stress = (calculator.get_property(one, atoms) for one in ("forces", "stress"))
    return LabelledConfiguration(atoms, energy, forces, stress, name or f"{anion}-{seed}")


def data_of(material: str, seeds: range = range(6)) -> DataSet:
    """Return labels of a material with its isolated atoms."""
    anion = ANIONS[material]
    alone = tuple(isolated_atom(symbol, ALONE_EV[symbol]) for symbol in ("Li", anion))
    return DataSet(tuple(labelled(anion, seed) for seed in seeds), isolated_atoms=alone)


def fitted(folder: Path, material: str, settings: GapSettings = SETTINGS, seeds: range = range(6)) -> Path:
    """Return the folder of a GAP of a material."""
    fit_model("gap", data_of(material, seeds), settings, None, folder / material, seed=1)
    return folder / material
