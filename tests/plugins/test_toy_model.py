"""Somebody else's kind of model in the commands, in a campaign beside GAP, and after it is gone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, isolated_atom, write_extxyz
from tests.small_campaign import CAMPAIGN, prepare

LARGEST_ERROR_EV_PER_A = 0.8
"""Of a fitted pair potential on EMT's copper, whose forces are some 1 eV/Å."""
COMMANDS = """
import sys
from ionloop.cli import run_command_line
for line in sys.argv[1:]:
    print("status", run_command_line(line.split()), flush=True)
"""
MODELS = "models: {gap: {}, mine: {kind: toy-pair, cutoff_A: 4.5, bumps: 6}}\nsampling: {driver: mine, "


@pytest.fixture(scope="module")
def campaign(toys: Path, run_with, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of one generation that fits the toy beside a GAP and is driven by the toy."""
    folder = tmp_path_factory.mktemp("toy-campaign")
    file = prepare(folder)
    text = CAMPAIGN.replace("sampling: {", MODELS).replace("max_generations: 2", "max_generations: 1")
    file.write_text(text + "evaluate: {cross_check: 1}\n")
    done = run_with([toys], "-m", "ionloop.cli", "run", file.name, "--workers", "1", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def ask(run, folders: list[Path], folder: Path, *arguments: str) -> str:
    found = run(folders, "-m", "ionloop.cli", *arguments, cwd=folder)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def labels(folder: Path) -> Path:
    from ase.build import bulk

    random = np.random.default_rng(1)
    configurations = []
    for index in range(5):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.positions += random.normal(0, 0.1, atoms.positions.shape)
        values = (EMT().get_property(name, atoms) for name in ("energy", "forces", "stress"))
        configurations.append(LabelledConfiguration(atoms, *values, f"cu-{index}"))
    path = folder / "labels.xyz"
    write_extxyz(path, DataSet(tuple(configurations), isolated_atoms=(isolated_atom("Cu", 3.5),)))
    return path


@pytest.mark.slow
def test_commands_know_the_kind_where_it_is_installed(toys: Path, run_with, tmp_path: Path):
    labels(tmp_path)
    lines = (
        "fit labels.xyz --out model --kind toy-pair",
        "evaluate model labels.xyz --json",
        "fit labels.xyz --out m --kind toy-pari",
    )
    done = run_with([toys], "-c", COMMANDS, *lines, cwd=tmp_path)
    assert re.findall(r"^status (\d)$", done.stdout, re.MULTILINE) == ["0", "0", "2"], done.stdout + done.stderr
    found = json.loads(done.stdout.split("status 0\n")[1])
    forces = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (forces["kind"], forces["versions"]["ionloop-toys"]) == ("toy-pair", "1.2")
    assert found["force_eV_per_A"]["rmse"] < LARGEST_ERROR_EV_PER_A
    assert "did you mean toy-pair?" in done.stderr
    gone = run_with([], "-m", "ionloop.cli", "evaluate", "model", "labels.xyz", cwd=tmp_path)
    assert gone.returncode == 2
    assert "unknown kind of model 'toy-pair'; installed are gap, fusion, es-gap, es-fusion" in gone.stderr


@pytest.mark.slow
def test_a_campaign_is_driven_by_it_and_shows_it(toys: Path, run_with, campaign: Path):
    rows = json.loads(ask(run_with, [toys], campaign, "query", "models", "--model", "mine", "--format", "json"))
    assert len(rows["records"]) == 2
    ask(run_with, [toys], campaign, "report", "--output", "report.html")
    page = (campaign / "report.html").read_text()
    assert "Toy pair potentials had 6 bumps up to 4.5 Å" in page
    assert "J. Toys 2026, 1, 2" in page
    ask(run_with, [toys], campaign, "export", "--to", "lammps", "--model", "mine", "--output", "exported")
    assert (campaign / "exported" / "pairs.table").is_file()


@pytest.mark.slow
def test_the_store_can_be_read_where_the_kind_is_gone(run_with, campaign: Path):
    assert "mine" in ask(run_with, [], campaign, "query", "models", "--model", "mine")
    ask(run_with, [], campaign, "status")
    ask(run_with, [], campaign, "report", "--output", "without.html")
    assert "mine" in (campaign / "without.html").read_text()
