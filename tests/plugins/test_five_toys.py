"""One campaign whose model, engine, sampler, selection and analysis are all somebody else's, to its end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

CAMPAIGN = """
name: toys
structure: copper.extxyz
mobile: Cu
reference: {engine: lennard-jones, depth_eV: 0.3}
models: {mine: {kind: toy-pair, cutoff_A: 4.5, bumps: 6}}
initial:
  - {kind: breathing, count: 6}
  - {kind: nvt, candidates: 4, replicas: 1, length_ps: 0.04, timestep_fs: 2.0, write_every: 5}
explore:
  - {kind: breathing, count: 3, largest_strain: 0.04}
  - {kind: nvt, temperature_K: 300, replicas: 1, length_ps: 0.06, timestep_fs: 2.0, write_every: 5}
selection: {method: shortest-bond, count: 3}
stop: {max_generations: 1}
analyses: {toy_neighbours: {}}
"""
RUN = """
import os, sys
from ionloop.cli import run_command_line
home = os.getcwd()
for line in sys.argv[1:]:
    # A worker works in a folder of its own.
    os.chdir(home)
    print(">", line, flush=True)
    print("status", run_command_line(line.split()), flush=True)
"""
DASHBOARD = """
from ionloop.deploy.dashboard import DashboardSettings, create_app
from ionloop.store.connection import open_store

store = open_store("ionloop.db", read_only=True)
client = create_app(store, DashboardSettings()).test_client()
client.environ_base["HTTP_HOST"] = "127.0.0.1:8484"
assert "Nearest neighbours" in client.get("/campaign?name=toys").data.decode()
(chosen,) = [one for one in store.configurations.find({"origin.sampler": "breathing", "generation": 1})][:1]
page = client.get(f"/configuration?id={chosen.id}").data.decode()
assert "breathing" in page
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("toys")
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=1)
    write(place / "copper.extxyz", atoms)
    (place / "campaign.yaml").write_text(CAMPAIGN)
    return place


def told(output: str, line: str) -> str:
    """Return what the command of that line printed."""
    return output.split(f"> {line}\n")[1].split("\nstatus")[0]


@pytest.mark.slow
def test_it_runs_to_its_end_and_everything_shows_its_kinds(toys: Path, folder: Path, run_with: Callable) -> None:
    queries = ("query trajectories --format json", "query configurations --format json", "query kind=toy-neighbours")
    lines = (
        "check campaign.yaml",
        "run campaign.yaml --workers 1",
        *queries,
        "report toys --output page.html",
        "export --to lammps --model mine --output exported",
        "doctor",
    )
    found = run_with([toys], "-c", RUN, *lines, cwd=folder)
    statuses = [int(line.split()[1]) for line in found.stdout.splitlines() if line.startswith("status ")]
    assert statuses == [0] * len(lines), found.stdout + found.stderr
    check = told(found.stdout, lines[0])
    assert "breathing: 1 run, 6 configurations" in check
    assert "nvt: 1 run, 6 candidates, 30 evaluations with mine" in check
    assert "evaluations of 4 atoms" in check
    trajectories = json.loads(told(found.stdout, queries[0]))["records"]
    assert {(one["generation"], one["sampler"], one["driver"]) for one in trajectories} == {
        (0, "breathing", "none"),
        (0, "nvt", "reference"),
        (1, "breathing", "none"),
        (1, "nvt", "mine"),
    }
    configurations = json.loads(told(found.stdout, queries[1]))["records"]
    assert sum(one["generation"] == 0 and one["origin"]["sampler"] == "breathing" for one in configurations) == 6
    assert "toy-neighbours" in told(found.stdout, queries[2])
    assert (folder / "exported" / "pairs.table").is_file()
    doctor = told(found.stdout, "doctor")
    for name in ("breathing", "shortest-bond", "toy-pair", "lennard-jones", "toy_neighbours"):
        assert name in doctor
    page = (folder / "page.html").read_text()
    for said in (
        "The first training set held 6 breathing cells",
        "<td>breathing</td>",
        "Lennard-Jones fluid of 0.3 eV",
        "Toy pair potentials had 6 bumps up to 4.5 Å",
        "for their shortest bonds",
        "Mean distance to the nearest neighbour: mine",
        "J. Toys 2026, 1, 3",
    ):
        assert said in page
    shown = run_with([toys], "-c", DASHBOARD, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    (model, *_) = (folder / "ionloop-files" / "models").iterdir()
    asked = ("analyse", "toy-neighbours", "copper.extxyz", "--model", str(model), "--mobile", "Cu")
    analysed = run_with([toys], "-m", "ionloop.cli", *asked, cwd=folder)
    assert "Mean distance to the nearest neighbour:" in analysed.stdout, analysed.stderr
    reference = run_with([toys], "-m", "ionloop.workflows.campaign.reference_page", cwd=folder).stdout
    assert "## `explore[n]` with `kind: breathing`" in reference
    assert (
        "| `largest_strain` | `0.02` | a number from 0 to 0.2 | Largest strain along each axis (no unit) |" in reference
    )


@pytest.mark.slow
def test_where_they_are_not_installed_it_is_read_and_nothing_is_done(folder: Path, run_with: Callable) -> None:
    readers = ("query trajectories --format json", "status --json", "report toys --output without.html")
    doers = ("worker --max-jobs 1", "check campaign.yaml", "run campaign.yaml")
    found = run_with([], "-c", RUN, *readers, *doers, cwd=folder)
    statuses = [int(line.split()[1]) for line in found.stdout.splitlines() if line.startswith("status ")]
    assert statuses[: len(readers)] == [0] * len(readers), found.stdout + found.stderr
    assert statuses[len(readers) + 1 :] == [2, 2]
    assert "breathing" in told(found.stdout, readers[0])
    assert "breathing" in (folder / "without.html").read_text()
    assert 'initial[0].kind = "breathing"' in found.stdout + found.stderr
    shutil.rmtree(folder)
