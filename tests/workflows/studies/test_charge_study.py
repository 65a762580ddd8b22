"""What charges bring: the study through its function and its command, on a set that costs seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from ionloop.cli import app
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, mean_energy_per_atom, write_extxyz
from ionloop.fitting.electrostatics.baseline import SlaterEwald

SETTINGS = """
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 4}
  soap: {cutoff_A: 3.5, n_max: 2, l_max: 1, sparse_points: 6}
"""


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rock salt of fixed charges, shaken."""
    calculator = SlaterEwald({"Li": 0.5, "Cl": -0.5}, {"Li": 0.79, "Cl": 1.9})
    found = []
    for seed in range(8):
        atoms = Atoms("Li4Cl4", cell=[5.1] * 3, pbc=True)
        corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        atoms.set_scaled_positions(np.concatenate([corners, corners + np.array([0.5, 0, 0])]))
        atoms.rattle(0.1, seed=seed)
        values = [calculator.get_property(name, atoms) for name in ("energy", "forces", "stress")]
        found.append(LabelledConfiguration(atoms.copy(), *values, f"salt-{seed}"))
    path = tmp_path_factory.mktemp("labels") / "labels.xyz"
    write_extxyz(path, DataSet(tuple(found), mean_energy_per_atom(found)))
    return path


def study(labels: Path, folder: Path, settings: str) -> dict:
    file = folder / "settings.yaml"
    file.write_text(settings)
    arguments = ["study", "charges", str(labels), "--out", str(folder / "out"), "--settings", str(file), "--json"]
    found = CliRunner().invoke(app, [*arguments, "--held-out", "0.25"])
    assert found.exit_code == 0, found.output
    assert "What charges bring" in (folder / "out" / "charges.html").read_text()
    return json.loads((folder / "out" / "charges.json").read_text())


def test_a_set_of_charged_ions_shows_which_charges_it_has(labels: Path, tmp_path: Path):
    values = study(labels, tmp_path, SETTINGS + "baseline: {kind: local, charges: {Li: 0.5, Cl: -0.5}}\n")
    rows = {row["name"]: row for row in values["rows"]}
    assert list(rows) == [
        "no charges",
        "fixed 0.5 of those given",
        "fixed 1 of those given",
        "fixed 1.5 of those given",
        "local charges",
        "local, short-ranged control",
        "pair charges",
        "pair, short-ranged control",
        "equilibrated charges",
        "equilibrated, short-ranged control",
    ]
    assert (values["configurations"], values["held_out"]) == (6, 2)
    errors = {name: row["held_out"]["force_eV_per_A"]["rmse"] for name, row in rows.items() if row["held_out"]}
    # The labels are those of the middle charges: nothing else comes near.
    assert errors["fixed 1 of those given"] < 0.2 * errors["no charges"]
    for kind in ("local", "pair", "equilibrated"):
        assert errors[f"{kind} charges"] < errors["no charges"]
    assert rows["local, short-ranged control"]["held_out"] is None
    assert rows["local, short-ranged control"]["leave_out"] is not None
    assert values["charges"]["local"]["species"]["Li"]["mean_e"] == pytest.approx(0.5, abs=0.2)


def test_without_numbers_parts_of_the_formal_charges_are_tried(labels: Path, tmp_path: Path):
    values = study(labels, tmp_path, SETTINGS)
    names = [row["name"] for row in values["rows"]]
    assert names[1:4] == ["fixed 0.15 formal", "fixed 0.3 formal", "fixed 0.5 formal"]
    assert values["skipped"] == []
