"""Models of Li2S, and input files that run them in LAMMPS."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import cellpar_to_cell
from ase.io.lammpsdata import write_lammps_data

from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.electrostatics.local import LocalSettings
from ionloop.fitting.models import fit_model
from ionloop.fitting.settings import BaselineSettings, GapSettings

# Helpers that both ways into LAMMPS share.
sys.path.insert(0, str(Path(__file__).parent))

ELEMENTS = ("Li", "S")


def upright(atoms: Atoms) -> Atoms:
    """Turn a structure as LAMMPS wants it: the first lattice vector along x, the second in the plane of x and y."""
    turned = atoms.copy()
    turned.set_cell(cellpar_to_cell(atoms.cell.cellpar()), scale_atoms=True)
    return turned


@pytest.fixture(scope="session")
def structure(lithium_sulfide: DataSet) -> Atoms:
    """24 atoms in a triclinic cell, in no order of elements, some of them outside of it."""
    atoms = upright(lithium_sulfide.configurations[1].atoms.repeat((2, 1, 1)))
    atoms = atoms[np.random.default_rng(0).permutation(len(atoms))]
    atoms.positions[3] += atoms.cell[1]
    return atoms


@pytest.fixture(scope="session")
def gap_folder(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lammps") / "gap"
    fit_model("gap", lithium_sulfide, small_settings, None, folder)
    return folder


@pytest.fixture(scope="session")
def es_gap_folder(
    lithium_sulfide: DataSet,
    small_settings: GapSettings,
    baseline: BaselineSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("lammps") / "es-gap"
    fit_model("es-gap", lithium_sulfide, small_settings, baseline, folder)
    return folder


HEAD = """units metal
atom_style charge
boundary p p p
box tilt large
read_data {data}
{pair}
thermo_modify norm no format float %.17g
"""
THERMO = "thermo_style custom step temp pe etotal press pxx pyy pzz pxy pxz pyz vol"


@pytest.fixture
def write_deck(structure: Atoms, tmp_path: Path) -> Callable[..., Path]:
    """Return what writes an input file of the structure (or another) with commands at its end."""

    def write(
        commands: Sequence[str],
        atoms: Atoms | None = None,
        pair: str = "pair_style ionloop\npair_coeff * * MODEL Li S",
        units: str = "metal",
    ) -> Path:
        data = tmp_path / "structure.data"
        with data.open("w") as file:
            write_lammps_data(
                file,
                structure if atoms is None else atoms,
                specorder=list(ELEMENTS),
                masses=True,
                units="metal",
                atom_style="charge",
            )
        head = HEAD.format(data=data, pair=pair).replace("units metal", f"units {units}")
        deck = tmp_path / "in.lammps"
        deck.write_text(head.replace("thermo_modify", f"{THERMO}\nthermo_modify") + "\n".join(commands) + "\n")
        return deck

    return write


@pytest.fixture(scope="session")
def local_charges_folder(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("lammps") / "local"
    baseline = LocalSettings(
        charges={"Li": 0.5, "S": -1.0}, exponents={"Li": 0.7888, "S": 1.6422}, accuracy=1e-11, spread_e=0.2
    )
    fit_model("es-gap", lithium_sulfide, small_settings, baseline, folder)
    return folder
