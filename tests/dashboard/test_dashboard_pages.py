"""What the pages show: tables with filters, campaigns, structures with predictions, models, comparisons, sections."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from dashboard_client import ClientOf
from flask.testing import FlaskClient

from ionloop.analysis.errors.statistics import ParityData
from ionloop.core.errors import InputError
from ionloop.deploy.dashboard import reader as reader_module
from ionloop.deploy.dashboard.asking import ask, split_filters, text_of
from ionloop.deploy.dashboard.scene import MOST_ATOMS, scene
from ionloop.store.connection import Store
from ionloop.store.identifiers import identifier
from ionloop.store.queries.record_kinds import Column
from ionloop.store.records import ResultRecord
from ionloop.tasks.predictions import write_parity
from ionloop.tasks.results import save_arrays
from ionloop.workflows.analyses.sections import FigureBlock, ReportSection, TableBlock, TextBlock
from ionloop.workflows.report.data import collect
from ionloop.workflows.report.page import render

OFFSET = np.array([0.3, 0.0, 0.0])


@pytest.fixture
def client(client_of: ClientOf, finished_store: Store) -> FlaskClient:
    return client_of(finished_store)


def text(client: FlaskClient, path: str, **query: str) -> str:
    answer = client.get(path, query_string=query)
    assert answer.status_code == 200, answer.data[-800:]
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", "", answer.data.decode(), flags=re.S)))


def data_of(client: FlaskClient, kind: str, path: str, **query: str) -> list[Any]:
    page = client.get(path, query_string=query).data.decode()
    return [
        json.loads(one)
        for one in re.findall(rf'<script type="application/json" class="{kind}">(.*?)</script>', page, re.S)
    ]


def rows(client: FlaskClient, **query: str) -> list[str]:
    page = client.get("/configurations", query_string=query).data.decode()
    return re.findall(r'href="/configuration\?id=([^"]+)"', page)


# -- campaigns and jobs -----------------------------------------------------------------------------------------------


def test_the_list_says_where_campaigns_stand(client: FlaskClient) -> None:
    shown = text(client, "/")
    for word in ("small", "finished", "Li3PS4", "300", "waiting"):
        assert word in shown


def test_every_page_shows_a_campaign_of_a_kind_that_is_not_installed(
    client_of: ClientOf, store_elsewhere: tuple[str, Store]
) -> None:
    _, store = store_elsewhere
    client = client_of(store)
    label = next(iter(store.labels.find({"generation": 2, "state": "finished"})))
    model = next(iter(store.models.find({"kind": "es-gap"})))
    result = next(iter(store.results.find({"model_kind": "es-gap"})))
    assert "small" in text(client, "/")
    assert "converged in generation 2" in text(client, "/campaign", name="small")
    # The energy of the label by the campaign's own engine.
    assert "-100" in text(client, "/configuration", id=label.configuration).replace("−", "-")
    assert "es-gap" in text(client, "/model", id=model.id).lower()
    for path in ("/configurations", "/models", "/results"):
        assert "small" in text(client, path)
    text(client, "/compare")
    assert "es-gap" in text(client, "/result", id=result.id).lower()


def test_a_campaign_shows_curves_stop_rule_failures_and_settings(client: FlaskClient) -> None:
    shown = text(client, "/campaign", name="small")
    assert "converged in generation 2" in shown
    assert "unconverged" in shown
    assert "alert('label')" in shown
    assert "max_generations" in shown
    names = [trace["name"] for trace in data_of(client, "figure", "/campaign", name="small")[0]["data"]]
    assert names == ["GAP, new", "GAP, training", "ES-GAP, new", "ES-GAP, training"]


def test_the_graph_is_that_of_the_generation_asked_for(client_of: ClientOf, builder: Any, store: Store) -> None:
    builder.add_job("generation-1/only-here", "fit", 1, "COMPLETED")
    client = client_of(store)
    assert b"only-here" in client.get("/campaign?name=small").data
    assert b"only-here" not in client.get("/campaign?name=small&generation=0").data
    assert b"only-here" in client.get("/campaign?name=small&generation=99").data


def test_a_job_shows_its_launches_neighbours_and_reason(client_of: ClientOf, builder: Any, store: Store) -> None:
    builder.add_job("generation-0/broken", "fit", 0, "FIZZLED")
    store.database.fireworks.update_one({"fw_id": 2}, {"$set": {"launches": [7]}})
    store.database.launches.insert_one(
        {
            "launch_id": 7,
            "fw_id": 2,
            "fworker": {"name": "node-3"},
            "host": "node",
            "state": "FIZZLED",
            "state_history": [
                {"state": "RUNNING", "created_on": "2026-01-01T10:00:00"},
                {"state": "FIZZLED", "created_on": "2026-01-01T10:00:42"},
            ],
            "action": {"stored_data": {"_exception": {"_stacktrace": "Traceback\nValueError: the matrix is singular"}}},
        }
    )
    store.database.workflows.insert_one({"links": {"1": [2], "2": []}, "nodes": [1, 2]})
    client = client_of(store)
    shown = text(client, "/job", number="2")
    for word in ("node-3", "42 s", "the matrix is singular", "generation-0/assess", "failed"):
        assert word in shown
    assert "the matrix is singular" in text(client, "/campaign", name="small")
    assert "<rect" in client.get("/campaign?name=small").data.decode().split('class="timeline"')[1]


def test_analyses_are_shown_and_one_that_fails_hides_no_other(
    client_of: ClientOf, finished_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(store: Store, campaign: str) -> ReportSection:
        raise KeyError("<b>gone</b>")

    def shown(store: Store, campaign: str) -> ReportSection:
        blocks = [
            FigureBlock("curve", go.Figure(go.Scatter(x=[1], y=[2])), "Caption <i>one</i>"),
            TableBlock(("a", "b, eV"), [("x", "1.5")], "table's note"),
            TableBlock(("long",), [(str(row),) for row in range(13)]),
            TextBlock("a paragraph"),
        ]
        return ReportSection("shown", "Shown <u>title</u>", "It came out.", blocks)

    fake = [SimpleNamespace(name="first", section=broken), SimpleNamespace(name="second", section=shown)]
    monkeypatch.setattr(reader_module, "ANALYSES", SimpleNamespace(kinds=fake))
    client = client_of(finished_store)
    page = client.get("/campaign?name=small").data.decode()
    seen = text(client, "/campaign", name="small")
    for word in ("Shown <u>title</u>", "It came out.", "Caption <i>one</i>", "table's note", "a paragraph", "1.5"):
        assert word in seen
    assert "Cannot be shown" in seen
    assert "13 rows: long" in seen
    assert "<u>" not in page
    assert "<b>gone" not in page


# -- configurations ---------------------------------------------------------------------------------------------------


def test_filters_choose_and_columns_order(client: FlaskClient, finished_store: Store) -> None:
    everything = rows(client)
    assert len(everything) == finished_store.configurations.count()
    assert len(rows(client, filter="generation=1")) == 3
    assert len(rows(client, filter="state=unconverged,none")) == 2
    assert len(rows(client, filter="sampler~*dynamics generation>0 atoms=8")) == 6
    ordered = rows(client, filter="max_force>0", sort="-max_force")
    largest = {
        label.configuration: max(np.linalg.norm(label.forces, axis=1))
        for label in finished_store.labels.find({"state": "finished"})
        if label.forces
    }
    assert ordered == sorted(ordered, key=lambda name: -largest[name])


@pytest.mark.parametrize("text_", ["nonsense", "colour=red", "generation>x", "'open", "generation="])
def test_a_wrong_filter_is_said_and_shows_nothing(client: FlaskClient, text_: str) -> None:
    page = client.get("/configurations", query_string={"filter": text_}).data.decode()
    assert 'role="alert"' in page
    assert rows(client, filter=text_) == []


def test_pages_are_cut() -> None:
    columns = (Column("n", lambda one: one),)
    found = ask(range(10), columns, split_filters("n>2", 5), sort="-n", page=2, rows=3)
    assert (found.items, found.pages, found.first, len(found.matching)) == ([6, 5, 4], 3, 3, 7)
    assert ask(range(10), columns, (), sort="", page=99, rows=3).page == 4
    with pytest.raises(InputError, match="too many"):
        split_filters("n>2 n>3", 1)
    assert [text_of(one) for one in (None, True, 0.1234567891, "x")] == ["–", "yes", "0.123457", "x"]


def test_the_distribution_of_forces_is_that_of_the_chosen(client: FlaskClient) -> None:
    figures = data_of(client, "figure", "/configurations", filter="generation=1")
    assert [trace["name"] for trace in figures[0]["data"]] == ["Li", "P", "S"]
    assert data_of(client, "figure", "/configurations", filter="state=unconverged") == []


def test_a_structure_has_its_forces_and_neighbours(client: FlaskClient, finished_store: Store) -> None:
    record = next(iter(finished_store.configurations.find({"generation": 1})))
    label = finished_store.labels.find({"configuration": record.id})
    (shown,) = data_of(client, "scene", "/configuration", id=record.id)
    assert np.allclose(shown["frames"][0], record.structure.positions, atol=1e-4)
    assert np.allclose(shown["forces"], next(iter(label)).forces, atol=1e-4)
    assert [shown["species"][kind]["symbol"] for kind in shown["kinds"]] == record.atoms.get_chemical_symbols()
    assert shown["deviations"] is None
    assert 'rel="next"' in client.get("/configuration", query_string={"id": record.id}).data.decode()


def test_children_lead_to_parents_and_back(client_of: ClientOf, builder: Any, store: Store) -> None:
    builder.add_generation_0()
    first, second = list(store.configurations.find({"origin.sampler": "initial-dynamics"}))[:2]
    store.configurations.replace(
        second.model_copy(update={"origin": second.origin.model_copy(update={"parent": first.id})})
    )
    client = client_of(store)
    assert f'href="/configuration?id={first.id}"' in client.get(f"/configuration?id={second.id}").data.decode()
    assert f'href="/configuration?id={second.id}"' in client.get(f"/configuration?id={first.id}").data.decode()


def add_parity(store: Store, model_kind: str) -> tuple[ResultRecord, ParityData]:
    """Store predictions that are off by 0.3 eV/Å along x on every atom, and by 2 meV/atom."""
    errors = next(
        one
        for one in store.results.find({"kind": "errors", "generation": 2})
        if one.model_kind == model_kind and one.values["subset"] == "new"
    )
    labels = [store.labels[name] for name in errors.inputs]
    forces = np.concatenate([label.forces for label in labels])
    energies = np.array([label.energy / 8 for label in labels])
    elements = np.array(["Li"] * 3 + ["P"] + ["S"] * 4)
    data = ParityData(energies, energies + 0.002, forces, forces + OFFSET, np.tile(elements, len(labels)))
    name = identifier("result", "parity", errors.model, errors.inputs)
    path = store.artefacts.path(Path("parity") / f"{name}.npz")
    write_parity(path, data)
    record = errors.model_copy(update={"id": name, "kind": "parity", "values": {"subset": "new"}})
    store.results.add(record)
    return errors, data


def test_stored_predictions_colour_the_structure(client_of: ClientOf, finished_store: Store) -> None:
    errors, _ = add_parity(finished_store, "gap")
    client = client_of(finished_store)
    configuration = finished_store.labels[errors.inputs[1]].configuration
    (shown,) = data_of(client, "scene", "/configuration", id=configuration, model=str(errors.model))
    assert np.allclose(shown["deviations"], 0.3)
    seen = text(client, "/configuration", id=configuration, model=str(errors.model))
    assert "force error 173 meV/Å" in seen, "0.3 eV/Å in one of three components"
    assert "energy error +2 meV/atom" in seen


def test_stored_charges_colour_the_structure(client_of: ClientOf, finished_store: Store) -> None:
    errors, data = add_parity(finished_store, "es-gap")
    charges = np.linspace(-1.0, 1.0, len(data.elements))
    name = identifier("result", "parity", errors.model, errors.inputs)
    write_parity(
        finished_store.artefacts.path(Path("parity") / f"{name}.npz"), replace(data, predicted_charges=charges)
    )
    label = finished_store.labels[errors.inputs[1]]
    finished_store.labels.replace(label.model_copy(update={"charges": [0.25] * 8}))
    client = client_of(finished_store)
    page = {"id": label.configuration, "colour": f"charge:{errors.model}"}
    (shown,) = data_of(client, "scene", "/configuration", **page)
    assert shown["deviations"] is None
    assert np.allclose(shown["charges"], charges[8:16], atol=1e-4)
    assert "charge of each atom by the model, which is latent" in text(client, "/configuration", **page)
    (shown,) = data_of(client, "scene", "/configuration", id=label.configuration, colour="charge:reference")
    assert np.allclose(shown["charges"], 0.25)


def test_predictions_that_do_not_fit_their_labels_are_not_shown(client_of: ClientOf, finished_store: Store) -> None:
    errors, data = add_parity(finished_store, "gap")
    name = identifier("result", "parity", errors.model, errors.inputs)
    shorter = ParityData(
        data.reference_energies,
        data.predicted_energies,
        *(a[:-1] for a in (data.reference_forces, data.predicted_forces)),
        data.elements[:-1],
    )
    write_parity(finished_store.artefacts.path(Path("parity") / f"{name}.npz"), shorter)
    client = client_of(finished_store)
    configuration = finished_store.labels[errors.inputs[1]].configuration
    assert "Colour by the deviation" not in text(client, "/configuration", id=configuration)


# -- models and results -----------------------------------------------------------------------------------------------


def test_a_model_shows_errors_parity_settings_and_files(client_of: ClientOf, finished_store: Store) -> None:
    errors, _ = add_parity(finished_store, "es-gap")
    client = client_of(finished_store)
    shown = text(client, "/model", id=str(errors.model))
    for word in ("ES-GAP", ["300", "meV/Å"][0], "soap.cutoff_A", "gap.xml", "Slater exponent", "0.3"):
        assert word in shown
    for file in finished_store.models[str(errors.model)].files:
        assert file.sha256 in shown
    assert len(data_of(client, "figure", "/model", id=str(errors.model))) == 3
    other = next(iter(finished_store.models.find({"kind": "gap"})))
    assert "ionloop report small" in text(client, "/model", id=other.id)


def test_errors_stand_beside_what_the_model_said_of_them(client_of: ClientOf, finished_store: Store) -> None:
    assessed = finished_store.results.find({"kind": "errors", "values.subset": "new", "model_kind": "gap"})
    errors = max(assessed, key=lambda record: record.generation)
    bins = [{"predicted": 0.05 * one, "observed": 0.06 * one, "count": 8} for one in (1, 2, 3)]
    one = {"count": 24, "rms_z": 1.234, "inside_50": 0.41, "inside_90": 0.83, "inside_95": 0.87, "bins": bins}
    coverage = {"energy_eV": one, "force_eV_per_A": one, "force_by_element_eV_per_A": {"Li": one}}
    values = {**errors.values, "model_interval_coverage": coverage}
    finished_store.results.replace(errors.model_copy(update={"values": values}))
    client = client_of(finished_store)
    for path, name in (("/result", errors.id), ("/model", str(errors.model))):
        shown = text(client, path, id=name)
        for word in ("1.23", "41 %", "87 % of energies", "forces on Li"):
            assert word in shown
    drawn = data_of(client, "figure", "/result", id=errors.id)
    assert [figure["layout"]["xaxis"]["title"]["text"] for figure in drawn] == [
        "Predicted deviation (eV/Å)", "Predicted deviation (eV)"
    ]  # fmt: skip
    assert "How sure the models are" in text(client, "/campaign", name=errors.campaign)
    assert "How sure the models are" in render(finished_store, collect(finished_store))
    other = next(iter(finished_store.results.find({"kind": "errors", "model_kind": "es-gap"})))
    assert "Inside" not in text(client, "/result", id=other.id)


def test_results_are_compared_across_campaigns(client_of: ClientOf, finished_store: Store, make_builder: type) -> None:
    second = make_builder(finished_store, "second")
    second.add_campaign()
    second.add_loop(1)
    client = client_of(finished_store)
    query = {"filter": "kind=errors subset=new model_kind=gap", "y": "force_eV_per_A.rmse"}
    (figure,) = data_of(client, "figure", "/results", **query)
    lines = {trace["name"]: list(zip(trace["x"], trace["y"], strict=True)) for trace in figure["data"]}
    assert lines == {"second · new · gap": [(1, 0.6)], "small · new · gap": [(1, 0.6), (2, 0.3)]}
    assert 'role="alert"' in client.get("/results", query_string={**query, "x": "none"}).data.decode()


def test_the_path_of_a_barrier_has_its_images(client_of: ClientOf, finished_store: Store) -> None:
    positions = np.arange(45, dtype=float).reshape(3, 5, 3)
    arrays = {
        "numbers": np.array([3, 3, 15, 16, 16]),
        "cell": np.eye(3) * 9,
        "positions": positions,
        "energies": np.array([1.0, 1.4, 1.1]),
    }
    record = ResultRecord(
        id="result-band",
        campaign="small",
        kind="barrier",
        values={"barrier_eV": 0.4, "nested": {"a": [1, 2]}},
        units={"barrier_eV": "eV"},
        artefacts={"band": save_arrays(finished_store, "barriers", "result-band", arrays)},
    )
    finished_store.results.add(record)
    client = client_of(finished_store)
    (shown,) = data_of(client, "scene", "/result", id="result-band")
    assert np.allclose(shown["frames"], positions)
    assert shown["energies"] == [0.0, 0.4, 0.1]
    assert "barrier_eV 0.4 eV" in " ".join(text(client, "/result", id="result-band").split())
    finished_store.artefacts.path("barriers/result-band.npz").write_bytes(b"damaged")
    assert data_of(client_of(finished_store), "scene", "/result", id="result-band") == []


def test_a_scene_is_plain_and_bounded() -> None:
    data = scene([3, 16], [[[0, 0, 0], [float("nan"), 0, 2]]], np.eye(3))
    assert data is not None
    assert json.dumps(data, allow_nan=False)
    assert [(one["symbol"], one["bonds"]) for one in data["species"]] == [("Li", False), ("S", True)]
    assert scene(np.full(MOST_ATOMS + 1, 3), [np.zeros((MOST_ATOMS + 1, 3))], np.eye(3)) is None


def test_an_empty_store_says_so(client_of: ClientOf, store: Store) -> None:
    client = client_of(store)
    assert "There is no campaign" in text(client, "/")
    for path in ("/configurations", "/models", "/results"):
        assert client.get(path).status_code == 200


def test_a_running_job_has_its_workers_progress(client_of: ClientOf, builder: Any, store: Store) -> None:
    builder.add_job("generation-0/runs", "sample", 0, "RUNNING")
    store.database.fireworks.update_one({"fw_id": 2}, {"$set": {"launches": [7]}})
    began = {"state": "RUNNING", "created_on": "2026-01-01T10:00:00+00:00"}
    launch = {"launch_id": 7, "fw_id": 2, "fworker": {"name": "node-3"}, "state": "RUNNING", "state_history": [began]}
    store.database.launches.insert_one(launch)
    started = 1767261600.0
    progress = {"done": 20, "of": 80, "at": started + 60}
    worker = {"_id": "node-3", "host": "node", "state": "running", "started": 0.0, "heartbeat": 0.0}
    store.workers.insert_one({**worker, "progress": progress})
    seen = " ".join(text(client_of(store), "/campaign", name="small").split())
    assert "20 of 80 about 3 min 00 s left" in seen
    store.workers.update_one({"_id": "node-3"}, {"$set": {"progress": {**progress, "at": started - 60}}})
    assert "20 of 80" not in text(client_of(store), "/campaign", name="small"), "that was the job before"


def test_a_parent_may_be_a_trajectory(client_of: ClientOf, finished_store: Store) -> None:
    trajectory = next(iter(finished_store.trajectories.find()))
    children = list(finished_store.configurations.find({"generation": 1}))[:2]
    for one in children:
        origin = one.origin.model_copy(update={"parent": trajectory.id, "step": 40})
        finished_store.configurations.replace(one.model_copy(update={"origin": origin}))
    client = client_of(finished_store)
    page = client.get("/configuration", query_string={"id": children[0].id}).data.decode()
    assert "molecular-dynamics with ES-GAP" in page
    assert len(rows(client, filter=f"parent={trajectory.id}")) == 2
    file = client.get("/artefact", query_string={"kind": "trajectories", "record": trajectory.id})
    assert file.data == b"frames"


def test_heads_of_pages_alone_can_be_asked_for(client: FlaskClient) -> None:
    answer = client.head("/")
    assert (answer.status_code, answer.data) == (200, b"")
