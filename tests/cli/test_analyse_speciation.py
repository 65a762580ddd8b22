"""`ionloop analyse speciation` on crystals, files with and without times, and what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase.io import write

from ionloop.cli import run_command_line
from ionloop.sampling.structures.crystals import build_crystal


def run(*arguments: object) -> int:
    return run_command_line(["analyse", "speciation", *map(str, arguments)])


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "shaken.xyz"
    found = []
    for seed in range(8):
        one = build_crystal("li7p3s11")
        one.rattle(0.03, seed=seed)
        found.append(one)
    write(path, found, format="extxyz")
    return path


def test_a_crystal_is_told_in_tables(capsys) -> None:
    assert run("li7p3s11") == 0
    told = capsys.readouterr()
    for words in ("P2S7", "66.7", "centres with 1 bridging ligands", "none"):
        assert words in told.out
    assert "no intervals: there is one frame" in told.err


def test_frames_may_have_times_or_none(frames: Path, tmp_path: Path, capsys) -> None:
    assert run(frames, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["made"], found["curves"]) == (8, None, {})
    page = tmp_path / "page.html"
    assert run(frames, "--timestep-fs", 20, "--equilibration-ps", 0.02, "--html", page, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["made"], found["broken"]) == (7, 0, 0)
    assert len(found["curves"]["times_ps"]) == 7
    assert "Species of P with S" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["li7p3s11", "--centres", "Pp"], "--centres, --ligands, --cutoffs: 'Pp' is no element"),
        (["li7p3s11", "--centres", "Ge"], "there is no Ge"),
        (["li7p3s11", "--cutoffs", "P-O:2"], "'P-O' is no pair of P, S"),
        (["li7p3s11", "--cutoffs", "P-S"], "must be a pair and a distance"),
        (["li7p3s11", "--equilibration-ps", "1"], "has no times"),
        (["li7p3s12"], "li7p3s11"),
    ],
)
def test_what_makes_no_sense_is_told(arguments: list[str], said: str, capsys) -> None:
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err
