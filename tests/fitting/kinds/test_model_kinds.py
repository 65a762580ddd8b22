"""ionloop's own kinds keep the contract, and nobody but their files knows their names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ionloop
from ionloop.analysis.looks import in_order, model_look
from ionloop.core.looks import SPARE_COLOURS, spare_look
from ionloop.fitting.electrostatics.contract import CHARGES_E, EXPONENTS_PER_A
from ionloop.fitting.electrostatics.local import LocalSettings
from ionloop.fitting.experts.settings import FusionSettings
from ionloop.fitting.kinds.contract import ModelContract
from ionloop.fitting.kinds.registry import MODELS
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings

CHECKOUT = Path(ionloop.__file__).parent
OUTSIDE = ("tests", "benchmarks", "examples", "docs", "fitting/kinds")
NAMES = frozenset({"gap", "es-gap", "fusion", "es-fusion"})


class TestGap(ModelContract):
    kind = "gap"
    # Sparse points are chosen among descriptors; their weights cancel to some 1e-8 eV.
    energy_tolerance_eV = 1e-6
    # Their energies are data of the fit like others, which these few points reach to some 1e-4 eV.
    isolated_tolerance_eV = 1e-3

    def settings(self) -> GapSettings:
        return GapSettings(
            two_body=TwoBodySettings(cutoff_A=4.0, sparse_points=6),
            soap=SoapSettings(cutoff_A=3.5, n_max=3, l_max=2, sparse_points=8),
        )


class TestEsGap(TestGap):
    kind = "es-gap"


class TestEsGapOnLocalCharges(TestGap):
    kind = "es-gap"

    def baseline(self) -> LocalSettings:
        return LocalSettings(charges=CHARGES_E, exponents=EXPONENTS_PER_A, short_range_control=False)


class TestFusion(TestGap):
    """Made of nothing but its own data, which is a GAP."""

    kind = "fusion"

    def settings(self) -> FusionSettings:
        return FusionSettings.model_validate(dict(super().settings()))


def own_modules() -> list[Path]:
    inside = (path.relative_to(CHECKOUT) for path in CHECKOUT.rglob("*.py"))
    return [path for path in inside if not str(path).startswith((*OUTSIDE, ".", "build"))]


def compared_names(tree: ast.AST) -> list[int]:
    """Return the lines that compare with the name of a kind, or list names as the choices of a type."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Literal":
            parts = [node.slice]
        else:
            continue
        words = {one.value for part in parts for one in ast.walk(part) if isinstance(one, ast.Constant)}
        if words & NAMES:
            found.append(node.lineno if hasattr(node, "lineno") else 0)
    return found


def test_the_names_of_kinds_are_compared_nowhere():
    assert compared_names(ast.parse('kind == "gap"')) == [1]
    assert compared_names(ast.parse('Literal["reference", "es-gap"]')) == [1]
    modules = own_modules()
    assert len(modules) > 200
    texts = {str(path): (CHECKOUT / path).read_text() for path in modules}
    named = {path: text for path, text in texts.items() if any(f'"{name}"' in text for name in NAMES)}
    found = {path: lines for path, text in named.items() if (lines := compared_names(ast.parse(text)))}
    assert found == {}


def test_models_are_drawn_and_ordered_by_their_kinds():
    assert in_order(["reference", "mine", "es-gap", "gap", "gap"]) == ["gap", "es-gap", "mine", "reference"]
    assert model_look("es-gap") == MODELS.get("es-gap").look
    assert model_look("mine") == spare_look("mine")
    assert spare_look("mine").colour in SPARE_COLOURS
    assert spare_look("mine").label == "mine"


def test_names_without_a_look_can_be_told_apart():
    """Colour and symbol are drawn apart: two names share both as rarely as can be."""
    looks = {(look.colour, look.symbol) for look in map(spare_look, map(str, range(400)))}
    assert len(looks) > 30


@pytest.mark.parametrize("capability", ["has_charges", "needs_baseline"])
def test_what_a_field_acts_on_comes_with_the_baseline(capability):
    assert [kind.name for kind in MODELS.kinds if getattr(kind, capability)][:1] == ["es-gap"]
