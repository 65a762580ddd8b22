"""ionloop's own baselines keep the contract, and nobody but their files knows their names."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ionloop
from ionloop.core.kinds import UnknownKind
from ionloop.fitting.electrostatics.contract import CHARGES_E, EXPONENTS_PER_A, BaselineContract
from ionloop.fitting.electrostatics.registry import BASELINES, baseline_in, kind_of_baseline
from ionloop.fitting.settings import BaselineSettings
from ionloop.workflows.campaign.settings import Campaign, stored_campaign
from ionloop.workflows.campaign.validation import validate_campaign
from ionloop.workflows.report.methods import methods_paragraph

CHECKOUT = Path(ionloop.__file__).parent
OUTSIDE = ("tests", "benchmarks", "examples", "docs", "fitting/electrostatics", ".", "build")


class TestFixed(BaselineContract):
    kind = "fixed"

    def settings(self) -> BaselineSettings:
        return BaselineSettings(charges=CHARGES_E, exponents=EXPONENTS_PER_A)


def campaign(**baseline: object) -> Campaign:
    found, problems = validate_campaign({"name": "lps", "structure": "li7p3s11", "baseline": baseline})
    assert problems == []
    return found


def test_fixed_charges_are_written_as_before_there_were_kinds():
    settings = BaselineSettings(charges=CHARGES_E)
    assert set(settings.model_dump(mode="json")) == {"charges", "exponents", "accuracy"}
    assert json.loads(settings.model_dump_json()) == settings.model_dump(mode="json")
    assert baseline_in(settings.model_dump(mode="json")) == settings
    short, long = campaign(charges="formal"), campaign(kind="fixed", charges="formal")
    assert short == long
    assert short.model_dump(mode="json") == long.model_dump(mode="json")
    assert set(short.model_dump(mode="json")["baseline"]) == {
        "charges",
        "charge_fit",
        "formal_fraction",
        "exponents",
        "accuracy",
    }
    assert Campaign.model_validate(long.model_dump(mode="json")) == long


def test_a_kind_that_is_misspelt_or_not_there_is_named():
    _, problems = validate_campaign({"name": "lps", "structure": "li7p3s11", "baseline": {"kind": "fixd"}})
    assert [(one.key, one.value, one.suggestion) for one in problems] == [(("baseline", "kind"), "fixd", "fixed")]
    _, problems = validate_campaign({"name": "lps", "structure": "li7p3s11", "baseline": {"knd": "fixed"}})
    assert [(one.key, one.suggestion) for one in problems] == [(("baseline", "knd"), "kind")]
    _, problems = validate_campaign({"name": "lps", "structure": "li7p3s11", "baseline": {"kind": None}})
    assert [(one.key, one.message, one.allowed) for one in problems] == [
        (("baseline", "kind"), "is required", " | ".join(BASELINES.names))
    ]
    with pytest.raises(UnknownKind, match="kind of baseline 'elsewhere'"):
        kind_of_baseline({"kind": "elsewhere", "charges": {}})


def test_a_stored_campaign_with_a_kind_that_is_not_here_can_be_shown():
    document = campaign(charges="formal").model_dump(mode="json")
    document["baseline"] |= {"kind": "elsewhere", "of_its_own": 3.0}
    shown = stored_campaign(document)
    assert shown.baseline.kind_name == "elsewhere"
    assert "a baseline of the kind elsewhere" in methods_paragraph(shown, "Li7P3S11", {})


def test_the_names_of_kinds_are_compared_nowhere():
    names = frozenset(BASELINES.names)
    modules = [path for path in CHECKOUT.rglob("*.py") if not str(path.relative_to(CHECKOUT)).startswith(OUTSIDE)]
    assert len(modules) > 200
    found = [
        (str(path), node.lineno)
        for path in modules
        if any(f'"{name}"' in (text := path.read_text()) for name in names)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Compare)
        for part in (node.left, *node.comparators)
        if isinstance(part, ast.Constant) and part.value in names
    ]
    assert found == []


def test_kinds_are_looked_up_without_physics():
    code = (
        "import sys; from ionloop.fitting.kinds.registry import MODELS; "
        "from ionloop.fitting.electrostatics.registry import BASELINES; "
        "assert MODELS.kinds and [kind.section_type() for kind in BASELINES.kinds]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"ase", "scipy", "numba", "matscipy"} & set(done.stdout.split())
