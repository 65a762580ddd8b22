"""The report: complete, honest, self-contained, and never led astray by what is in the store."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ionloop.analysis.errors.statistics import parity_data
from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.store.connection import Store
from ionloop.store.queries.labelled import labelled
from ionloop.tasks.base import TaskParameters
from ionloop.tasks.predictions import model_parity, read_parity, record_predictions
from ionloop.workflows.report.data import collect
from ionloop.workflows.report.methods import bibtex
from ionloop.workflows.report.page import citations, render, settings_yaml, write_report

CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}


class _Page(HTMLParser):
    """Collects what matters of a page: ids, what it would load, and scripts that are not its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loads: list[str] = []
        self.scripts = 0
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.ids.update({str(given["id"])} if "id" in given else set())
        self.loads.extend(str(given[name]) for name in ("src", "srcset", "data") if name in given)
        self.loads.extend(str(given["href"]) for _ in [0] if tag == "link" and "href" in given)
        self.scripts += tag == "script"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def predictions(finished_store: Store) -> Store:
    """The store with predictions of the last models, as if they had been made with the charges alone."""
    for errors in list(finished_store.results.find({"kind": "errors", "generation": 2, "values.subset": "new"})):
        labels = finished_store.labels.get_many(errors.inputs)
        configurations = finished_store.configurations.get_many([label.configuration for label in labels])
        pairs = [labelled(*pair) for pair in zip(configurations, labels, strict=True)]
        place = TaskParameters(campaign=errors.campaign, generation=errors.generation)
        model = finished_store.models[str(errors.model)]
        data = parity_data(SlaterEwald(CHARGES), pairs)
        record_predictions(finished_store, place, model, "new", errors.inputs, data)
    return finished_store


def _figures(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_finished_campaign_has_every_section_and_figure(
    finished_store: Store, predictions: Store, tmp_path: Path
) -> None:
    path = write_report(finished_store, "small", tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    sections = {"learning", "accuracy", "labels", "trajectories", "models", "time", "settings", "cite"}
    assert sections <= _Page(page).ids
    assert set(_figures(page)) == {
        "force_curve",
        "energy_curve",
        "element_errors",
        "parity_forces_gap",
        "parity_forces_es-gap",
        "parity_energies",
        "force_distribution",
        "label_states",
    }
    assert "Converged in generation 2" in page
    assert "before those join the training set" in page


def test_every_figure_has_its_place_on_the_page(finished_store: Store, predictions: Store) -> None:
    page = render(finished_store, collect(finished_store, "small"))
    assert set(_figures(page)) <= _Page(page).ids


def test_the_page_loads_nothing(finished_store: Store, predictions: Store) -> None:
    page = render(finished_store, collect(finished_store, "small"))
    assert _Page(page).loads == []
    assert page.count("plotly.js v") == 1
    assert "default-src 'none'" in page


def test_what_engines_say_is_text_and_nothing_else(finished_store: Store, predictions: Store) -> None:
    page = render(finished_store, collect(finished_store, "small"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<b>4000 K</b>" not in page
    # Its own scripts: two of data, plotly and the one that draws.
    assert _Page(page).scripts == 4


def test_a_campaign_that_has_just_begun_is_a_page(builder: object) -> None:
    page = render(builder.store, collect(builder.store, "small"))
    assert _figures(page) == {}
    assert "No model has been fitted yet" in page


def test_generation_0_alone_is_a_page(builder: object) -> None:
    builder.add_generation_0()
    data = collect(builder.store, "small")
    assert data.label_counts == {0: {"finished": 3, "unconverged": 1, "none": 1}}
    assert set(_figures(render(builder.store, data))) == {"force_distribution", "label_states"}


def test_a_failed_campaign_says_what_failed(builder: object) -> None:
    builder.add_generation_0()
    builder.store.database.fireworks.update_one({"fw_id": 1}, {"$set": {"state": "FIZZLED"}})
    page = render(builder.store, collect(builder.store, "small"))
    assert 'class="pill failed"' in page
    assert "generation-0/assess" in page


def test_learning_curves_leave_the_final_models_out(builder: object) -> None:
    builder.add_loop()
    builder.conclude()
    data = collect(builder.store, "small")
    finals = [model for model in data.models if model.final]
    assert [model.record.kind for model in finals] == ["gap", "es-gap"]
    builder.add_errors(finals[0].record, "training", [], 9.0)
    curves = collect(builder.store, "small").error_series("force")
    training = {curve.model_kind: curve.errors for curve in curves if curve.subset == "training"}
    assert training == {"gap": (0.1, 0.1), "es-gap": (0.1, 0.1)}
    new = {curve.model_kind: curve.errors for curve in curves if curve.subset == "new"}
    assert new == {"gap": (0.6, 0.3), "es-gap": (0.6, 0.3)}


def test_a_report_writes_nothing(predictions: Store, tmp_path: Path) -> None:
    files = sorted(path for path in predictions.artefacts.root.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files], predictions.results.count()
    write_report(predictions, "small", tmp_path / "report.html")
    assert sorted(path for path in predictions.artefacts.root.rglob("*") if path.is_file()) == files
    assert ([path.read_bytes() for path in files], predictions.results.count()) == before


def test_predictions_belong_to_the_references(finished_store: Store, predictions: Store) -> None:
    errors = next(
        result
        for result in finished_store.results.find({"kind": "errors", "generation": 2})
        if result.values["subset"] == "new"
    )
    data = model_parity(finished_store, errors)
    label = finished_store.labels[errors.inputs[0]]
    atoms = finished_store.configurations[label.configuration].atoms
    np.testing.assert_array_equal(data.reference_forces[: len(atoms)], label.forces)
    expected = SlaterEwald(CHARGES).get_property("forces", atoms)
    np.testing.assert_array_equal(data.predicted_forces[: len(atoms)], expected)


def test_a_campaign_without_recorded_predictions_says_so_and_the_rest_of_the_report(finished_store: Store) -> None:
    page = render(finished_store, collect(finished_store, "small"))
    assert "Predictions are missing" in page
    assert "force_curve" in _figures(page)


def test_a_damaged_parity_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "parity.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(IonloopError, match="is damaged"):
        read_parity(path)


def test_an_unknown_campaign_is_refused_with_those_there_are(finished_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'small'"):
        write_report(finished_store, "smal", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_settings_are_a_campaign_file(builder: object) -> None:
    from ionloop.workflows.campaign.settings import Campaign
    from ionloop.workflows.campaign.yaml_lines import parse_yaml

    settings = builder.store.campaigns["small"].settings
    document = parse_yaml(settings_yaml(settings))
    assert Campaign.model_validate(document.data) == builder.campaign


def test_only_what_was_used_is_cited() -> None:
    emt = {"engine": "command", "calculator": "ase.calculators.emt:EMT"}
    names = {one.what for one in citations({"models": ["gap"], "reference": emt})}
    assert names == {"GAP", "SOAP", "Langevin integrator", "FireWorks", "ASE"}
    names = {one.what for one in citations({"models": ["gap", "es-gap"], "reference": {"engine": "gfn1-xtb"}})}
    assert {"ES-GAP", "GFN1-xTB"} <= names


@pytest.mark.parametrize(
    ("reference", "works"),
    [
        ({"engine": "gpaw"}, {"GPAW", "PAW", "PBE"}),
        ({"engine": "cp2k"}, {"CP2K", "GTH pseudopotentials", "MOLOPT basis sets", "PBE"}),
        ({"engine": "cp2k", "basis_set": "pob-TZVP", "potential": "ALL"}, {"CP2K", "PBE"}),
        ({"engine": "espresso", "pseudopotentials": {"Si": "Si.UPF"}}, {"Quantum ESPRESSO", "PBE"}),
        ({"engine": "aims"}, {"FHI-aims", "PBE"}),
        ({"engine": "vasp"}, {"VASP", "PAW in VASP", "PBE"}),
        ({"engine": "imported", "source": "vasp"}, set()),
        ({"engine": "of-somebody-else"}, set()),
    ],
)
def test_code_and_functional_of_the_reference_are_cited(reference, works) -> None:
    always = {one.what for one in citations({"reference": {"engine": "imported"}})}
    cited = citations({"reference": reference})
    assert {one.what for one in cited} - always == works
    assert bibtex(cited).isascii()
