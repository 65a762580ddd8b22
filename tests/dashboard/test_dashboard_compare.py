"""Comparisons: of ticked results, of those like one, of campaigns; and what is asked wrongly or with ill will."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from dashboard_client import ClientOf
from flask.testing import FlaskClient

from ionloop.deploy.dashboard.pages.compare import ACROSS, MOST_CAMPAIGNS, MOST_COMPARED
from ionloop.store.connection import Store
from ionloop.store.records import ResultRecord
from ionloop.workflows.report.comparisons import comparisons

HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a b&c=d#e%2F\\f</script>",
    "<a href='javascript:alert(1)'>x</a>",
)


@pytest.fixture
def results(finished_store: Store, builder: Any, make_builder: Any) -> list[ResultRecord]:
    """Results of two campaigns with both models, of the first in two generations."""
    other = make_builder(finished_store, "other")
    other.add_campaign()
    return [*builder.add_analyses(1, 1.5), *builder.add_analyses(2), *other.add_analyses(3, 0.8)]


@pytest.fixture
def client(client_of: ClientOf, finished_store: Store, results: list[ResultRecord]) -> FlaskClient:
    return client_of(finished_store)


def page(client: FlaskClient, address: str = "/compare", **query: Any) -> str:
    answer = client.get(address, query_string=query or None)
    assert answer.status_code == 200, answer.data[-800:]
    return answer.data.decode()


def figures(text: str) -> list[dict[str, Any]]:
    found = re.findall(r'<script type="application/json" class="figure">(.*?)</script>', text, re.S)
    return [json.loads(one) for one in found]


def legend(figure: dict[str, Any]) -> set[str]:
    return {one["name"] for one in figure["data"] if one.get("name") and one.get("showlegend") is not False}


def of_kind(results: list[ResultRecord], kind: str) -> list[str]:
    return [one.id for one in results if one.kind == kind]


@pytest.mark.parametrize("kind", comparisons())
def test_ticked_results_share_a_figure(client: FlaskClient, results: list[ResultRecord], kind: str) -> None:
    chosen = of_kind(results, kind)[:3]
    text = page(client, result=chosen)
    names = " ".join(legend(figures(text)[0]))
    assert "small · GAP · generation 1" in names
    for name in chosen:
        assert f"/result?id={name}" in text


def test_one_is_left_out_by_a_link(client: FlaskClient, results: list[ResultRecord]) -> None:
    first, second = of_kind(results, "energy-volume")[:2]
    links = [
        html.unescape(one)
        for one in re.findall(r'class="without" href="([^"]+)"', page(client, result=[first, second]))
    ]
    assert links == [f"/compare?result={second}", f"/compare?result={first}"]


def test_the_values_in_which_they_differ_stand_beside_each_other(
    client: FlaskClient, results: list[ResultRecord]
) -> None:
    text = page(client, result=of_kind(results, "conductivity")[:2])
    assert "<code>temperature_K</code>" in text
    assert "<code>species</code>" not in text
    assert "values are the same in all" in text


def test_kinds_do_not_mix(client: FlaskClient, results: list[ResultRecord]) -> None:
    chosen = [*of_kind(results, "energy-volume")[:2], *of_kind(results, "locality")[:2]]
    headings = re.findall(r"<h2>(.*?)</h2>", page(client, result=chosen))
    assert headings == ["Locality", "Energy-volume"]


@pytest.mark.parametrize(
    ("across", "wanted"),
    [
        ("models", ["small · GAP · generation 2", "small · ES-GAP · generation 2"]),
        ("generations", ["small · GAP · generation 1", "small · GAP · generation 2"]),
        ("campaigns", ["other · GAP · generation 3", "small · GAP · generation 2"]),
    ],
)
def test_the_page_of_a_result_leads_to_those_like_it(
    client: FlaskClient, results: list[ResultRecord], across: str, wanted: list[str]
) -> None:
    one = next(one for one in results if (one.kind, one.campaign, one.generation) == ("energy-volume", "small", 2))
    address = f"/compare?like={one.id}&across={across}"
    assert address in html.unescape(page(client, "/result", id=one.id))
    assert legend(figures(page(client, address))[0]) == set(wanted)


def test_a_result_shows_its_own_figure(client: FlaskClient, results: list[ResultRecord]) -> None:
    for kind in comparisons():
        assert figures(page(client, "/result", id=of_kind(results, kind)[0])), kind


def test_campaigns_are_compared_by_learning_curves_and_last_results(
    client: FlaskClient, finished_store: Store, make_builder: Any
) -> None:
    third = make_builder(finished_store, "third")
    third.add_campaign()
    third.add_loop(1)
    text = page(client, campaign=["small", "third"])
    forces, energies, elements, *_ = figures(text)
    assert legend(forces) == {"small · GAP, new", "small · ES-GAP, new", "third · GAP, new", "third · ES-GAP, new"}
    assert forces["layout"]["yaxis"]["title"]["text"] == "Force RMSE (meV/Å)"
    assert energies["layout"]["yaxis"]["title"]["text"] == "Energy RMSE (meV/atom)"
    assert len(legend(elements)) == 4
    assert "small · GAP · generation 2" in text
    assert "small · GAP · generation 1" not in text


def test_tables_and_lists_have_boxes_to_tick(client: FlaskClient, results: list[ResultRecord]) -> None:
    assert 'name="result" value="' in page(client, "/results", filter="kind=locality")
    assert page(client, "/").count('type="checkbox" name="campaign"') == 2
    assert "Nothing was chosen" in page(client)


def test_there_is_room_for_so_many(client: FlaskClient, finished_store: Store, builder: Any) -> None:
    for generation in range(3, 3 + MOST_COMPARED):
        builder.add_pairs("gap", generation, {1.0: float(generation)})
    found = [one.id for one in finished_store.results.find({"kind": "frenkel"})]
    text = page(client, result=found)
    assert len(legend(figures(text)[0])) == MOST_COMPARED
    assert f"{MOST_COMPARED} of {len(found)} are shown" in text
    everyone = ["small"] * 2 + ["other"] + ["none"] * MOST_CAMPAIGNS
    assert client.get("/compare", query_string={"campaign": everyone}).status_code == 404


def test_what_is_asked_wrongly_is_refused(client: FlaskClient, results: list[ResultRecord]) -> None:
    assert client.get("/compare?result=nothing").status_code == 404
    assert client.get("/compare?like=nothing").status_code == 404
    assert client.get("/compare?campaign=nothing").status_code == 404
    assert client.get(f"/compare?like={results[0].id}&across=tables").status_code == 400
    assert client.get("/compare?" + "result=a&" * 1000).status_code == 414
    assert client.post("/compare").status_code == 405
    assert "Not in this store" in page(client, result=[results[0].id, "gone"])


class Elements(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_shown_as_text(
    client: FlaskClient, finished_store: Store, make_builder: Any, name: str
) -> None:
    hostile = make_builder(finished_store)
    hostile.name = name
    hostile.add_campaign()
    found = hostile.add_analyses()
    odd = hostile.add_result("frenkel", name, 2, values={"slot": name, name: name, "pairs": [{"separation_A": name}]})
    found.append(odd)
    addresses: list[dict[str, Any]] = [{"campaign": [name, "small"]}, {"result": [name, odd.id, found[0].id]}]
    addresses += [{"result": [one.id for one in found if one.kind == kind]} for kind in comparisons()]
    addresses += [{"like": odd.id, "across": across} for across in ACROSS]
    for query in addresses:
        text = page(client, **query)
        parser = Elements()
        parser.feed(text)
        for tag, attributes in parser.found:
            assert tag not in ("img", "iframe"), (query, tag)
            assert tag != "script" or attributes.get("type") == "application/json" or str(attributes["src"])[0] == "/"
            assert not any(key.startswith("on") or key == "style" for key in attributes), (query, tag, attributes)
            assert not (attributes.get("href") or "").startswith("javascript:")
        for figure in figures(text):
            assert all("<" not in one for one in legend(figure))
    answer = client.get("/compare", query_string={"result": name, "like": name, "across": "models"})
    assert answer.status_code == 404
    assert b"<script>alert" not in answer.data
