"""`ionloop library`: two small models are added, asked and combined."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

from ionloop.cli import run_command_line
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, write_extxyz
from ionloop.fitting.experts.entries import entry_path, read_entries
from ionloop.fitting.experts.library import Library
from ionloop.fitting.models import fit_model, read_manifest
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings

SETTINGS = GapSettings(
    two_body=TwoBodySettings(cutoff_A=4.0, sparse_points=5),
    soap=SoapSettings(cutoff_A=4.0, n_max=3, l_max=2, sparse_points=10),
)


def alloy(seed: int):
    atoms = bulk("CuAu", "cesiumchloride", a=3.1).repeat((2, 2, 1))
    atoms.rattle(0.08, seed=seed)
    return atoms


def fitted(folder: Path, seeds: range, settings: GapSettings = SETTINGS) -> Path:
    labels = []
    for seed in seeds:
        atoms, calculator = alloy(seed), EMT()
        energy, forces = (calculator.get_property(name, atoms) for name in ("energy", "forces"))
        labels.append(LabelledConfiguration(atoms, energy, forces, None, f"alloy-{seed}"))
    fit_model("gap", DataSet(tuple(labels), {"Cu": 0.0, "Au": 0.0}), settings, None, folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return fitted(folder / "first", range(6)), fitted(folder / "second", range(6, 12))


@pytest.fixture
def library(models, tmp_path, monkeypatch):
    monkeypatch.setenv("IONLOOP_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)
    for name, folder in zip(("cold", "warm"), models, strict=True):
        assert run_command_line(["library", "add", str(folder), "--name", name]) == 0
    write("alloy.xyz", alloy(30))
    return tmp_path / "library"


def test_models_are_listed(library, capsys):
    assert run_command_line(["library", "list"]) == 0
    assert "AuCu" in capsys.readouterr().out
    assert run_command_line(["library", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["models"]] == ["cold", "warm"]
    assert Path(found["models"][0]["folder"]).is_dir()


def test_an_empty_library_says_what_to_do(tmp_path, capsys):
    assert run_command_line(["library", "list", "--library", str(tmp_path / "none")]) == 0
    assert "ionloop library add" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_the_nearest_model_comes_first(library, capsys):
    capsys.readouterr()
    assert run_command_line(["library", "nearest", "alloy.xyz", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["model"] for one in found} == {"cold", "warm"}
    # As many atoms of one element as of the other.
    means = [sum(one["novelty"].values()) / 2 for one in found]
    assert 0.0 < means[0] <= means[1] < 1.0


@pytest.mark.parametrize(("tolerance", "outcome"), [("50", "use"), ("0.001", "add labels")])
def test_a_material_is_judged_on_relaxed_cell_and_dynamics(library, capsys, tolerance, outcome):
    command = [
        "library",
        "sufficient",
        "alloy.xyz",
        "--tolerance",
        tolerance,
        "--length",
        "0.04",
        "--frames",
        "todo.xyz",
    ]
    capsys.readouterr()
    assert run_command_line([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == outcome
    assert {(one["stage"], one["element"]) for one in found["elements"]} == {
        (stage, element) for stage in ("relaxed cell", "dynamics") for element in ("Cu", "Au")
    }
    for one in found["elements"]:
        assert one["expected_force_error_eV_per_A"] == pytest.approx(one["novelty"] * one["slope_eV_per_A"])
    assert (found["labels_wanted"] > 0) == Path("todo.xyz").exists() == (outcome == "add labels")
    if outcome == "add labels":
        assert len(read("todo.xyz", ":")) == found["labels_wanted"]


def test_unknown_elements_start_an_expert(library, capsys):
    atoms = alloy(31)
    atoms.symbols[0] = "Ag"
    write("silver.xyz", atoms)
    assert run_command_line(["library", "sufficient", "silver.xyz"]) == 0
    out = capsys.readouterr().out
    assert "START AN EXPERT" in out
    assert "unknown element" in out


def test_a_combination_is_a_model_like_others(library, capsys):
    assert run_command_line(["library", "combine", "cold", "warm", "--out", "both"]) == 0
    assert "12 configurations" in capsys.readouterr().out
    assert read_manifest(Path("both")).configurations == 12
    assert run_command_line(["library", "add", "both", "--name", "both"]) == 0
    atoms = alloy(40)
    atoms.calc = EMT()
    labelled = LabelledConfiguration(atoms, atoms.get_potential_energy(), atoms.get_forces(), None, "test")
    write_extxyz(Path("test.xyz"), DataSet((labelled,)))
    capsys.readouterr()
    assert run_command_line(["evaluate", "both", "test.xyz", "--json"]) == 0
    assert np.isfinite(json.loads(capsys.readouterr().out)["force_eV_per_A"]["rmse"])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["add", "missing", "--name", "x"], "is not a model folder"),
        (["combine", "cold", "wram", "--out", "x"], "did you mean 'warm'"),
        (["combine", "cold", "--out", "x"], "two models or more"),
        (["combine", "cold", "warm", "--how", "fo", "--out", "x"], "foe"),
        (["sufficient", "alloy.xyz", "--how", "poe"], "foe"),
        (["nearest", "alloy.xyz", "--of", "hot"], "no model 'hot'"),
    ],
)
def test_mistakes_are_told_in_words(library, capsys, command, message):
    capsys.readouterr()
    assert run_command_line(["library", *command]) == 2
    assert message in capsys.readouterr().err


def test_models_that_differ_are_not_judged_together(library, models, tmp_path, capsys):
    soap = SETTINGS.soap.model_copy(update={"n_max": 4})
    other = fitted(tmp_path / "other", range(6), SETTINGS.model_copy(update={"soap": soap}))
    assert run_command_line(["library", "add", str(other), "--name", "finer"]) == 0
    capsys.readouterr()
    assert run_command_line(["library", "sufficient", "alloy.xyz"]) == 2
    err = capsys.readouterr().err
    assert "soap.n_max differs" in err
    assert "--of NAME" in err


def test_a_model_is_taken_out_with_what_was_combined_from_it(library, models, capsys):
    folder = Library(library)
    both = folder.model_of(folder.experts(), "foe", 0.02)
    assert run_command_line(["library", "remove", "warn", "--yes"]) == 2
    assert "did you mean 'warm'?" in capsys.readouterr().err
    assert run_command_line(["library", "remove", "cold", "warm"]) == 2, "nobody confirms, nothing goes"
    assert "--yes" in capsys.readouterr().err
    assert run_command_line(["library", "remove", "../models", "--yes"]) == 2
    assert both.is_dir()
    assert run_command_line(["library", "remove", "warm", "--yes"]) == 0
    assert not both.exists()
    assert not folder.model("warm").exists()
    assert [one.name for one in read_entries(library)] == ["cold"]
    # Also one that is damaged, and the name is free again.
    entry_path(library, "cold").write_text("torn")
    assert run_command_line(["library", "remove", "cold", "--yes"]) == 0
    assert run_command_line(["library", "add", str(models[1]), "--name", "cold"]) == 0
