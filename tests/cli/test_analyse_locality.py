"""`ionloop analyse locality` with a model, with what it refuses, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ionloop.cli.analyse import locality
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.workflows.analyses import runner
from ionloop.workflows.analyses.runner import OwnCalculator
from ionloop.workflows.campaign.baseline_charges import slater_exponent

CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
CHARGES_TEXT = "Li=0.3,P=1.5,S=-0.6"
QUICK = ["gamma-li3ps4", "--radii", "2.5,3", "--samples", "2", "--centres", "1"]
TRUNCATION_EV_PER_A = 1e-5
"""Of the electrostatic forces, and of the tensors that the baseline's are made of."""


@pytest.fixture
def app(monkeypatch) -> typer.Typer:
    """The command, with bare charges for every model."""
    own = OwnCalculator(SlaterEwald(CHARGES, {symbol: slater_exponent(symbol) for symbol in CHARGES}))
    as_question = runner.Question
    monkeypatch.setattr(runner, "name_of", lambda path: own.name)
    monkeypatch.setattr(
        runner, "Question", lambda atoms, models, **rest: as_question(atoms, [own] * len(models), **rest)
    )
    app = typer.Typer()
    app.command("locality")(locality.locality)
    return app


def run(app: typer.Typer, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*QUICK, *arguments], catch_exceptions=False)


def test_the_table_has_species_radii_and_units(app):
    found = run(app, "--model", "model", "--charges", CHARGES_TEXT)
    assert found.exit_code == 0
    for word in ("Li", "all", "r, Å", "minus baseline, eV/Å", "±"):
        assert word in found.stdout


def test_a_model_minus_its_own_charges_is_local(app):
    values = json.loads(run(app, "--model", "model", "--charges", CHARGES_TEXT, "--json").stdout)
    assert values["radii_A"] == [2.5, 3.0]
    assert values["before"]["P"]["value_eV_per_A"][0] > 0.01
    assert values["after"]["P"]["value_eV_per_A"][0] < TRUNCATION_EV_PER_A


def test_a_frozen_sphere_is_measured_too(app):
    quick = ["--protocol", "frozen-sphere", "--temperature-K", "1", "--json", "--radii", "3"]
    settings = json.loads(run(app, "--model", "model", *quick).stdout)
    assert settings["protocol"] == "frozen-sphere"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --model"),
        (["--model", "m", "--engine", "gfn1-xtb"], "either --model"),
        (["--engine", "vasp-of-tomorrow"], "unknown engine"),
        (["--model", "m", "--radii", "3,x"], "not a list of numbers"),
        (["--model", "m", "--radii", "4,3"], "ascend"),
        (["--model", "m", "--radii", "5", "--supercell", "1,1,1"], "take"),
        (["--model", "m", "--charges", "Li:0.3"], "write them as"),
        (["--model", "m", "--charges", "Li=0.3"], "none for P, S"),
        (["--model", "m", "--charges", "Li=0.3,P=1,S=-1"], "add up to zero"),
    ],
)
def test_what_cannot_be_meant_is_told(app, arguments, message):
    with pytest.raises(InputError, match=message):
        run(app, *arguments)


def test_a_file_that_is_not_there_is_told(app, tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        CliRunner().invoke(app, [str(tmp_path / "no.cif"), "--model", "m"], catch_exceptions=False)
