"""The command: a structure, a trajectory without times, tables and pages, a measured curve, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import write
from typer.testing import CliRunner, Result

from ionloop.cli import app
from ionloop.sampling.structures.crystals import build_crystal

SHAKE_A = 0.05


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["analyse", "structure-functions", *map(str, arguments)])


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Li7P3S11 whose atoms are shaken, six times, in a file that says no times."""
    path = tmp_path_factory.mktemp("frames") / "shaken.xyz"
    crystal = build_crystal("li7p3s11")
    found = []
    for seed in range(6):
        one = crystal.copy()
        one.rattle(SHAKE_A, seed=seed)
        found.append(one)
    write(path, found, format="extxyz")
    return path


def test_a_crystal_is_described_with_its_density_shells_and_chains() -> None:
    result = run("li7p3s11")
    assert result.exit_code == 0, result.output
    for words in ("0.0479032 1/Å³, 1.8718 g/cm³", "S around P", "4: 100", "1: 33, 2: 67", "not defined: no path"):
        assert words in result.output


def test_frames_without_times_have_structure_with_intervals(frames: Path) -> None:
    result = run(frames, "--json", "--isotope", "Li=7", "--cutoffs", "P-S:2.6")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["frames"], found["pair_interval_reason"]) == (6, "")
    assert found["diffraction"][0]["lengths"]["Li"] == -2.22
    (shell,) = [one for one in found["shells"] if (one["centre"], one["neighbour"]) == ("P", "S")]
    assert (shell["cutoff_A"], shell["is_given"], shell["coordination"]) == (2.6, True, 4.0)
    assert len(found["curves"]["neutrons_s"]) == len(found["curves"]["q_per_A"])


def test_tables_and_a_page_are_written_and_a_measured_curve_is_compared(frames: Path, tmp_path: Path) -> None:
    assert run("li7p3s11", "--csv", tmp_path / "tables").exit_code == 0
    with (tmp_path / "tables" / "structure-factors.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    measured = tmp_path / "measured.csv"
    measured.write_text("\n".join(f"{row['q_per_A']},{2 * float(row['S_neutrons']) + 0.5}" for row in rows))
    page = tmp_path / "page.html"
    result = run(
        frames, "--measured", measured, "--scale", "fit", "--offset", "fit", "--html", page, "--window", "1,12",
        "--csv", tmp_path / "compared",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "R_χ" in result.output
    assert "control" in result.output
    assert "measured.csv, measured" in page.read_text()
    with (tmp_path / "compared" / "compared.csv").open() as stream:
        compared = np.array([[float(value) for value in row.values()] for row in csv.DictReader(stream)])
    assert np.corrcoef(compared[:, 1], compared[:, 2])[0, 1] > 0.95


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["li7p3s11", "--isotope", "7Li"], "such as Li=7"),
        (["li7p3s11", "--isotope", "Na=23"], "isotopes names Na"),
        (["li7p3s11", "--radiation", "muons"], "radiation"),
        (["li7p3s11", "--cutoffs", "P-S"], "such as P-S:2.6"),
        (["li7p3s11", "--angles", "S-Cl-S"], "angles names Cl"),
        (["li7p3s11", "--set", "q_mx_per_A=3"], "did you mean 'q_max_per_A'"),
        (["li7p3s11", "--measured", "none.dat"], "there is no file none.dat"),
        (["li7p3s1"], "li7p3s11"),
        (["none.xyz"], "does not exist"),
    ],
)
def test_bad_input_is_told_without_a_traceback(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert said in (result.output + str(result.exception))
    assert "Traceback" not in result.output
    assert result.exit_code != 0
