"""An engine of somebody else: a campaign has it, and goes on being read where it is not installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

CAMPAIGN = """
name: toys
structure: copper.extxyz
mobile: Cu
models: [gap]
reference: {engine: lennard-jones, depth_eV: 0.3}
initial:
  molecular_dynamics: {count: 2, every: 2, timestep_fs: 2.0}
  lithium_monte_carlo: {count: 0}
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 6}
  soap: {cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 6}
"""
CLI = ("-m", "ionloop.cli")
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
AFTER_THE_DOCTOR = "-- the page --"
DOCTOR_AND_PAGE = f"""
from ionloop.cli import run_command_line
from ionloop.workflows.campaign.reference_page import reference_page
status = run_command_line(["doctor", "--json", "--smoke", "lennard-jones"])
print({AFTER_THE_DOCTOR!r})
print(reference_page())
raise SystemExit(status)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("campaign")
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=1)
    write(place / "copper.extxyz", atoms)
    (place / "campaign.yaml").write_text(CAMPAIGN)
    return place


def statuses(output: str) -> list[int]:
    return [int(line.split()[1]) for line in output.splitlines() if line.startswith("status ")]


@pytest.mark.slow
def test_a_campaign_is_checked_labelled_and_shown_and_read_where_it_is_not_installed(
    toys: Path, folder: Path, run_with: Callable
) -> None:
    commands = (
        "check campaign.yaml",
        "submit campaign.yaml",
        "worker --max-jobs 3",
        "query labels --format json",
        "report toys --output with.html",
    )
    found = run_with([toys], "-c", RUN, *commands, cwd=folder)
    assert statuses(found.stdout) == [0] * len(commands), found.stdout + found.stderr
    assert "engine lennard-jones" in found.stdout
    labels = json.loads(found.stdout.split("> query labels --format json\n")[1].split("\nstatus")[0])["records"]
    assert {one["engine"] for one in labels} == {"lennard-jones"}
    assert sum(one["state"] == "finished" for one in labels) == 2
    page = (folder / "with.html").read_text()
    assert "Lennard-Jones fluid of 0.3 eV" in page
    assert "10.1098/rspa.1924.0082" in page
    assert "ionloop-toys 1.2" in page

    readers = ("query labels --format json", "status --json", "report toys --output without.html")
    doers = ("worker --max-jobs 1", "check campaign.yaml", "submit campaign.yaml")
    found = run_with([], "-c", RUN, *readers, *doers, cwd=folder)
    told = dict(zip((*readers, *doers), statuses(found.stdout), strict=True))
    assert [told[reader] for reader in readers] == [0] * len(readers), found.stdout + found.stderr
    again = json.loads(found.stdout.split("> query labels --format json\n")[1].split("\nstatus")[0])["records"]
    assert again == labels
    assert "Lennard-Jones fluid" not in (folder / "without.html").read_text()
    assert "lennard-jones" in (folder / "without.html").read_text()
    assert "unknown engine 'lennard-jones'" in found.stdout + found.stderr
    assert told["check campaign.yaml"] == told["submit campaign.yaml"] == 2
    after = run_with([], *CLI, "query", "labels", "--format", "json", cwd=folder)
    assert len(json.loads(after.stdout)["records"]) == len(labels)


@pytest.mark.slow
def test_the_doctor_tells_what_another_package_brought_and_what_is_broken(
    toys: Path, tmp_path: Path, run_with: Callable, install_package: Callable
) -> None:
    broken = tmp_path / "site"
    points = {
        "no-module": "no_such_module:ENGINE",
        "no-engine": "json:dumps",
        "gfn1-xtb": "ionloop_toys.engine:LENNARD_JONES",
    }
    install_package(broken, {"name": "broken-toys", "version": "3", "entry-points": {"ionloop.engines": points}})
    found = run_with([toys, broken], "-c", DOCTOR_AND_PAGE, cwd=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    told_by_the_doctor, page = found.stdout.split(f"{AFTER_THE_DOCTOR}\n")
    checks = {}
    for check in json.loads(told_by_the_doctor)["checks"]:
        checks.setdefault(check["name"], []).append(check)
    (ours,) = checks["lennard-jones"]
    assert (ours["status"], ours["found"]) == ("ok", "engine of ionloop-toys 1.2")
    told = {name: checks[name][-1]["found"] for name in points}
    assert "No module named 'no_such_module'" in told["no-module"]
    assert "evaluate" in told["no-engine"]
    assert "ionloop has one of that name" in told["gfn1-xtb"]
    assert {checks[name][-1]["status"] for name in points} == {"warning"}
    assert checks["smoke run lennard-jones"][0]["status"] == "ok"
    assert "## `reference` with `engine: lennard-jones`" in page
    assert "| `depth_eV` | `0.2` | a number, above 0 | Depth of the well (eV) |" in page


def test_a_broken_engine_is_named_where_it_is_asked_for(
    tmp_path: Path, folder: Path, run_with: Callable, install_package: Callable
) -> None:
    points = {"lennard-jones": "no_such_module:ENGINE"}
    install_package(tmp_path, {"name": "broken-toys", "version": "3", "entry-points": {"ionloop.engines": points}})
    found = run_with([tmp_path], *CLI, "check", str(folder / "campaign.yaml"), cwd=tmp_path)
    assert found.returncode == 2
    told = " ".join((found.stdout + found.stderr).split())
    assert "broken-toys" in told
    assert "no_such_module" in told
