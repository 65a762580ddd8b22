"""`ionloop analyse energy-volume` on a file of energies, on a model, and on what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.eos import birchmurnaghan
from ase.io import read, write
from ase.units import GPa
from typer.testing import CliRunner

from ionloop.cli.analyse import energy_volume
from ionloop.core.errors import InputError

# See tests/analysis/energy_volume/test_energy_volume.py.
EMT_COPPER_MODULUS_GPA, EMT_TOLERANCE_GPA = 137.0, 10.0


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command("energy-volume")(energy_volume.energy_volume)
    return app


def write_curve(path: Path, energies: bool = True) -> Path:
    frames = []
    for length in np.linspace(3.45, 3.75, 9):
        atoms = bulk("Cu", a=length)
        if energies:
            atoms.calc = EMT()
            atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy())
        frames.append(atoms)
    write(path, frames)
    return path


def test_a_file_of_energies_gives_the_bulk_modulus(app, tmp_path):
    found = CliRunner().invoke(app, [str(write_curve(tmp_path / "cu.xyz")), "--json"])
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert values["cells"] == 9
    assert values["bulk_modulus_GPa"] == pytest.approx(EMT_COPPER_MODULUS_GPA, abs=EMT_TOLERANCE_GPA)
    assert values["bulk_modulus_standard_error_GPa"] > 0


V0_A3, MODULUS_GPA, DERIVATIVE = 16.5, 32.0, 4.5
MODULUS_TOLERANCE_GPA = 1e-4


@pytest.mark.parametrize("key", ["REF_energy", "dft_energy", "energy"])
@pytest.mark.parametrize("offset_eV", [0.0, -60000.0])
@pytest.mark.parametrize("repeats", [1, 2])
def test_names_offsets_and_supercells_of_other_programs_do_not_matter(app, tmp_path, key, offset_eV, repeats):
    volumes = V0_A3 * np.linspace(0.98, 1.02, 9)
    energies = birchmurnaghan(volumes, 0.0, MODULUS_GPA * GPa, DERIVATIVE, V0_A3) + offset_eV
    frames = []
    for number, (volume, energy) in enumerate(zip(volumes, energies, strict=True)):
        atoms = bulk("LiCl", "rocksalt", a=5.1).repeat((1, 1, repeats if number % 2 else 1))
        atoms.set_cell(atoms.cell * (volume * len(atoms) / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        atoms.info[key] = energy * len(atoms)
        frames.append(atoms)
    write(tmp_path / "curve.xyz", frames, format="extxyz")
    found = CliRunner().invoke(app, [str(tmp_path / "curve.xyz"), "--json"])
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert values["bulk_modulus_GPa"] == pytest.approx(MODULUS_GPA, abs=MODULUS_TOLERANCE_GPA)
    assert values["energy_eV_per_atom"] == pytest.approx(offset_eV, abs=1e-6)


def test_two_crystals_in_one_file_are_no_curve(app, tmp_path):
    path = write_curve(tmp_path / "cu.xyz")
    other = bulk("Au", a=4.0)
    other.calc = SinglePointCalculator(other, energy=-1.0)
    write(path, other, append=True)
    found = CliRunner().invoke(app, [str(path)])
    assert isinstance(found.exception, InputError)
    assert "the first frame is Cu and another one Au (frame 9" in str(found.exception)


@pytest.mark.parametrize("name", ["cu.xyz", "cu.traj"])
def test_what_is_not_periodic_has_no_volume(app, tmp_path, name):
    path = write_curve(tmp_path / name)
    frames = read(path, index=":")
    energy = frames[2].get_potential_energy()
    frames[2].pbc = (True, True, False)
    frames[2].calc = SinglePointCalculator(frames[2], energy=energy)
    write(path, frames)
    found = CliRunner().invoke(app, [str(path)])
    assert isinstance(found.exception, InputError)
    assert "not periodic in all three directions (frame 2" in str(found.exception)


def test_the_table_has_units(app, tmp_path):
    found = CliRunner().invoke(app, [str(write_curve(tmp_path / "cu.xyz"))])
    assert "GPa" in found.stdout
    assert "Å³/atom" in found.stdout


@pytest.mark.parametrize("energies", [True, False])
def test_what_cannot_be_used_is_refused_with_the_reason(app, tmp_path, energies):
    path = tmp_path / "cu.xyz"
    if energies:
        path.write_text("not a structure\n")
    else:
        write_curve(path, energies=False)
    found = CliRunner().invoke(app, [str(path)])
    assert isinstance(found.exception, InputError)
    assert ("line 1" if energies else "no frame has energies") in str(found.exception)


def test_files_of_ase_are_checked_as_extended_xyz_is(app, tmp_path):
    def refused(*arguments: str) -> str:
        found = CliRunner().invoke(app, [str(path), *arguments])
        assert isinstance(found.exception, InputError)
        return str(found.exception)

    path = write_curve(tmp_path / "cu.traj")
    assert json.loads(CliRunner().invoke(app, [str(path), "--json"]).stdout)["cells"] == 9
    assert "options for extended XYZ" in refused("--energy-unit", "kcal/mol")
    frames = read(path, index=":")
    frames[3].calc.results["energy"] = np.nan
    write(path, frames)
    assert "no finite number (frame 3" in refused()
    frames = read(write_curve(path), index=":")
    for atoms in frames:
        energy = atoms.get_potential_energy()
        atoms.set_cell([0, 0, 0])
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    write(path, frames)
    assert "no cell with a volume" in refused()
    path.write_bytes(b"- of Ulm, cut off")
    assert str(path) in (message := refused())
    assert "buffer" not in message
