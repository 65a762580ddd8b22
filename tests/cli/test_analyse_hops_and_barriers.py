"""`ionloop analyse hops` and `ionloop analyse barriers` on files, and on what they cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from typer.testing import CliRunner

from ionloop.cli.analyse import barriers, hops
from ionloop.core.errors import InputError

FRAME_FS = 50


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command("hops")(hops.hops)
    app.command("barriers")(barriers.barriers)
    return app


@pytest.fixture
def trajectory(tmp_path: Path) -> Path:
    """Lithium among sulphur: one ion hops once, 3.2 Å along z; the whole cell drifts."""
    crystal = bulk("LiS", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    del crystal[0]
    mover = int(np.flatnonzero(np.linalg.norm(crystal.positions - [0, 0, 3.2], axis=1) < 0.1)[0])
    random = np.random.default_rng(4)
    frames = []
    for frame in range(160):
        atoms = crystal.copy()
        atoms.positions += random.normal(0, 0.1, (len(atoms), 3)) + 0.01 * frame
        atoms.positions[mover, 2] -= 3.2 * np.clip((frame - 75) / 10, 0, 1)
        atoms.wrap()
        frames.append(atoms)
    write(tmp_path / "frames.xyz", frames, format="extxyz")
    write(tmp_path / "crystal.extxyz", crystal)
    return tmp_path / "frames.xyz"


@pytest.fixture
def ends(tmp_path: Path) -> tuple[str, str]:
    """An atom of copper beside a vacancy, and in it."""
    crystal = bulk("Cu", cubic=True).repeat((2, 1, 1))
    before, after = crystal.copy(), crystal.copy()
    after.positions[1] = crystal.positions[0]
    for name, atoms in (("before", before), ("after", after)):
        del atoms[0]
        write(tmp_path / f"{name}.extxyz", atoms)
    return str(tmp_path / "before.extxyz"), str(tmp_path / "after.extxyz")


def test_a_hop_in_a_file_is_found_with_its_jump_and_rate(app, trajectory):
    crystal = str(trajectory.with_name("crystal.extxyz"))
    arguments = ["hops", str(trajectory), "--timestep-fs", str(FRAME_FS), "--crystal", crystal, "--json"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert values["hops"] == len(values["list"]) == 1
    assert values["list"][0]["jump_A"] == pytest.approx([0, 0, -3.2], abs=0.1)
    assert values["list"][0]["time_ps"] == pytest.approx(80 * FRAME_FS / 1000, abs=0.1)
    low, high = values["rate_interval_per_ion_per_ps"]
    assert low < values["rate_per_ion_per_ps"] < high
    assert sum(site["occupancy"] for site in values["sites"]) == pytest.approx(7, abs=0.1)


def test_the_table_of_hops_has_units(app, trajectory):
    found = CliRunner().invoke(app, ["hops", str(trajectory), "--timestep-fs", str(FRAME_FS)])
    assert found.exit_code == 0, found.output
    assert "7 Li in 8.0 ps" in found.stdout
    assert "net displacement along c, Å" in found.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--every", "9"], "frames; 20 or more are needed"),
        (["--residence", "500"], "ions are at no site for 100%"),
    ],
)
def test_what_makes_hops_doubtful_is_said(app, trajectory, options, message):
    found = CliRunner().invoke(app, ["hops", str(trajectory), "--timestep-fs", str(FRAME_FS), *options])
    assert message in (str(found.exception) if found.exit_code else found.output)


def test_sites_of_the_mobile_ions_may_be_partly_occupied(app, trajectory, tmp_path):
    cif = tmp_path / "partly.cif"
    write(cif, bulk("LiS", "cesiumchloride", a=3.2))
    whole = cif.read_text().splitlines(keepends=True)

    def found_with(element: str):
        partly = [line.replace("1.0000", "0.8750") if line.split()[:1] == [element] else line for line in whole]
        cif.write_text("".join(partly))
        arguments = ["hops", str(trajectory), "--timestep-fs", str(FRAME_FS), "--crystal", str(cif), "--json"]
        return CliRunner().invoke(app, arguments)

    sites = json.loads(found_with("Li").stdout)["sites"]
    assert sum(site["known"] for site in sites) == 8
    assert "partly occupied sites (S 0.875)" in str(found_with("S").exception)


def test_ions_that_are_not_there_are_named(app, trajectory):
    found = CliRunner().invoke(app, ["hops", str(trajectory), "--timestep-fs", "50", "--species", "Na"])
    assert isinstance(found.exception, InputError)
    assert "Na" in str(found.exception)
    found = CliRunner().invoke(app, ["hops", str(trajectory), "--timestep-fs", "50", "--core", "2"])
    assert isinstance(found.exception, InputError)
    assert "--outer" in str(found.exception)


def test_the_barrier_between_two_files(app, ends, tmp_path, monkeypatch):
    monkeypatch.setattr("ionloop.fitting.models.load_model", lambda *_, **__: EMT())
    out = tmp_path / "path.xyz"
    arguments = ["barriers", *ends, "--model", "model", "--images", "5", "--out", str(out), "--json"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert values["converged"]
    assert values["forward_eV"] == pytest.approx(values["reverse_eV"], abs=0.01)
    assert values["forward_eV"] > 0.1
    images = read(out, index=":")
    assert [image.get_potential_energy() - images[0].get_potential_energy() for image in images] == pytest.approx(
        values["energies_eV"], abs=1e-6
    )


def test_an_end_that_is_no_minimum_is_told(app, ends, tmp_path, monkeypatch):
    monkeypatch.setattr("ionloop.fitting.models.load_model", lambda *_, **__: EMT())
    before, after = (read(end) for end in ends)
    halfway, rough = before.copy(), after.copy()
    halfway.positions[0] = (before.positions[0] + after.positions[0]) / 2
    rough.rattle(0.1, seed=1)
    for atoms, relax, message in (
        (halfway, "--relax-ends", "no barrier is seen from the end"),
        (rough, "--no-relax-ends", "the end of the path is not relaxed"),
    ):
        write(tmp_path / "other.extxyz", atoms)
        arguments = ["barriers", ends[0], str(tmp_path / "other.extxyz"), "--model", "model", "--images", "5", relax]
        found = CliRunner().invoke(app, arguments)
        assert message in found.output, found.output


def test_two_files_of_the_same_minimum_are_refused(app, ends, monkeypatch):
    monkeypatch.setattr("ionloop.fitting.models.load_model", lambda *_, **__: EMT())
    found = CliRunner().invoke(app, ["barriers", ends[0], ends[0], "--model", "model"])
    assert isinstance(found.exception, InputError)
    assert "same minimum" in str(found.exception)


def test_ends_of_other_atoms_are_refused(app, ends, tmp_path, monkeypatch):
    monkeypatch.setattr("ionloop.fitting.models.load_model", lambda *_, **__: EMT())
    write(tmp_path / "other.extxyz", Atoms("Au", cell=[9, 9, 9], pbc=True))
    found = CliRunner().invoke(app, ["barriers", ends[0], str(tmp_path / "other.extxyz"), "--model", "model"])
    assert isinstance(found.exception, InputError)
    assert "1 Au instead of 0" in str(found.exception)


def test_a_crystal_that_is_none_is_refused_by_its_file(app, trajectory, tmp_path):
    (tmp_path / "garbage.cif").write_text("garbage")
    sulphur = read(trajectory.with_name("crystal.extxyz"))
    del sulphur[sulphur.symbols == "Li"]
    write(tmp_path / "sulphur.extxyz", sulphur)
    for name, message in (("garbage.cif", "is no structure that ASE can read"), ("sulphur.extxyz", "it has no Li")):
        arguments = ["hops", str(trajectory), "--timestep-fs", "50", "--crystal", str(tmp_path / name)]
        found = CliRunner().invoke(app, arguments)
        assert isinstance(found.exception, InputError)
        assert f"--crystal {tmp_path / name}: " in str(found.exception)
        assert message in str(found.exception)


def test_a_distance_that_is_given_twice_is_refused(app, trajectory):
    arguments = ["hops", str(trajectory), "--timestep-fs", "50", "--minimum-distances", "S:2.2,S:3"]
    assert "given twice" in str(CliRunner().invoke(app, arguments).exception)
