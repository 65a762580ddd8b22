"""Results in one figure: a series for each, called by campaign, model and generation; what cannot be read is said."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from ionloop.analysis.figures import COMPARED_COLOURS
from ionloop.store.connection import Store
from ionloop.store.records import ResultRecord
from ionloop.workflows.report.comparisons import compare, comparisons, series_names

HOSTILE = "<b>bold</b><a href='javascript:alert(1)'>x</a>"


def named(figure: go.Figure) -> list[str]:
    """Return the names that the legend shows."""
    return [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]


@pytest.fixture
def campaigns(builder: Any, make_builder: Any, store: Store) -> list[ResultRecord]:
    """Results of two campaigns with both models, of the first also those of an earlier generation."""
    other = make_builder(store, "other")
    other.add_campaign()
    return [*builder.add_analyses(1, 1.5), *builder.add_analyses(2), *other.add_analyses(2, 0.8)]


@pytest.mark.parametrize("kind", comparisons())
def test_every_kind_has_a_series_for_each_result(store: Store, campaigns: list[ResultRecord], kind: str) -> None:
    chosen = [one for one in campaigns if one.kind == kind]
    blocks, problems = compare(store, chosen)
    assert problems == []
    assert blocks
    names = {name.partition(",")[0] for name in named(blocks[0].figure)} - {"slope 1"}
    assert names == set(series_names(chosen))
    assert any(name.startswith("small · ES-GAP · generation 1") for name in names)
    colours = {getattr(one, "line", one.marker).color or one.marker.color for one in blocks[0].figure.data}
    assert len(colours) >= min(len(chosen), len(COMPARED_COLOURS))


@pytest.mark.parametrize("kind", comparisons())
def test_one_alone_looks_like_its_model(store: Store, campaigns: list[ResultRecord], kind: str) -> None:
    blocks, problems = compare(store, [next(one for one in campaigns if one.kind == kind)])
    assert problems == []
    assert blocks
    assert not any("small" in name for name in named(blocks[0].figure))


def test_conductivities_over_temperatures_give_a_line_for_each_potential(
    store: Store, campaigns: list[ResultRecord]
) -> None:
    chosen = [one for one in campaigns if one.kind == "conductivity" and one.generation == 2]
    blocks, _ = compare(store, chosen)
    arrhenius = next(one for one in blocks if one.key == "arrhenius")
    assert len(named(arrhenius.figure)) == 4
    assert all(len(trace.x) == 2 for trace in arrhenius.figure.data)
    assert [one.key for one in compare(store, chosen[:1])[0]] == ["length", "displacement"]


def test_names_say_what_tells_results_apart(campaigns: list[ResultRecord]) -> None:
    hot = [one for one in campaigns if one.kind == "conductivity" and one.campaign == "other"]
    assert series_names(hot)[0] == "other · GAP · generation 2 · 600 K"
    assert series_names([hot[0], hot[0]])[0].endswith(hot[0].id)
    assert series_names(hot[:1]) == ["other · GAP · generation 2"]


def test_tests_of_different_protocols_are_not_mixed(store: Store, builder: Any) -> None:
    first, *_ = [one for one in builder.add_analyses() if one.kind == "locality"]
    frozen = first.model_copy(update={"id": "frozen", "values": {**first.values, "protocol": "frozen-sphere"}})
    blocks, _ = compare(store, [first, frozen])
    assert [one.key for one in blocks] == ["radius-displacement", "radius-frozen-sphere"]


def test_what_cannot_be_read_is_said_and_hides_no_other(store: Store, builder: Any) -> None:
    whole, other, *_ = [one for one in builder.add_analyses() if one.kind == "conductivity"]
    store.artefacts.path(other.artefacts["curves"].path).write_bytes(b"")
    blocks, problems = compare(store, [whole, other])
    assert blocks
    assert problems == [f"{other.id}: one of its files is missing, or is not as it was recorded"]
    odd = whole.model_copy(update={"values": {"temperature_K": 1.0}})
    assert compare(store, [odd])[0] == []
    assert compare(store, []) == ([], [])


def test_names_are_no_mark_up(store: Store, make_builder: Any) -> None:
    hostile = make_builder(store)
    hostile.name = HOSTILE
    found = hostile.add_analyses()
    for kind in comparisons():
        for block in compare(store, [one for one in found if one.kind == kind])[0]:
            assert all("<" not in name for name in named(block.figure))
