"""`ionloop analyse frenkel`: a table, JSON, and what has no charges for a field."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import typer
from ase.build import bulk
from ase.io import write
from matscipy.calculators.pair_potential import LennardJonesCut, PairPotential
from typer.testing import CliRunner

from ionloop.cli.analyse import frenkel
from ionloop.core.errors import InputError
from ionloop.fitting.calculators import EsGapCalculator
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.settings import BaselineSettings
from ionloop.workflows.analyses import runner
from ionloop.workflows.analyses.runner import OwnCalculator

CHARGES = {"Na": 0.8, "Cl": -0.8}


def repulsion() -> PairPotential:
    return PairPotential(
        {
            (11, 17): LennardJonesCut(0.1, 2.55, 5.0),
            (17, 17): LennardJonesCut(0.01, 3.4, 5.0),
            (11, 11): LennardJonesCut(0.01, 2.2, 5.0),
        }
    )


@pytest.fixture
def app(tmp_path, monkeypatch) -> typer.Typer:
    """The command, with a toy for every model: `es-gap` has a baseline, anything else has none."""
    own = OwnCalculator(EsGapCalculator(repulsion(), SlaterEwald(CHARGES, accuracy=1e-4)), CHARGES)
    as_question = runner.Question
    settings = BaselineSettings(charges=CHARGES, exponents={})
    manifests = {"es-gap": SimpleNamespace(kind="es-gap", baseline=settings)}
    monkeypatch.setattr(
        runner, "manifest_of", lambda path: manifests.get(str(path), SimpleNamespace(kind="gap", baseline=None))
    )
    monkeypatch.setattr(
        runner, "Question", lambda atoms, models, *rest, **more: as_question(atoms, [own], *rest, **more)
    )
    write(tmp_path / "salt.extxyz", bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat((2, 2, 1)))
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command("frenkel")(frenkel.frenkel)
    return app


def test_pairs_and_fields_come_as_json(app):
    arguments = ["salt.extxyz", "--model", "es-gap", "--mobile", "Na", "--pairs", "1", "--field", "0.05"]
    found = CliRunner().invoke(app, [*arguments, "--steps", "1", "--json"])
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert len(values["pairs"]) == 2
    assert values["charges_e"] == CHARGES
    followed = next(pair for pair in values["pairs"] if pair["curves"])
    assert [point["field_V_per_A"] for point in followed["curves"]["z"]] == [-0.05, 0.0, 0.05]
    assert values["formation_energy_eV"]["mean"] > 0


def test_without_a_field_a_table_is_printed(app):
    found = CliRunner().invoke(app, ["salt.extxyz", "--model", "es-gap", "--mobile", "Na", "--pairs", "1"])
    assert found.exit_code == 0, found.output
    assert "formation energy, eV" in found.stdout


def test_a_model_without_charges_has_no_field(app):
    found = CliRunner().invoke(app, ["salt.extxyz", "--model", "gap", "--mobile", "Na", "--field", "0.1"])
    assert isinstance(found.exception, InputError)
    assert "leave --field out" in str(found.exception)
