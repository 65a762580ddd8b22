"""Charges by the error of ES-GAP as a job, on the training set and sparse points of the models that follow."""

from __future__ import annotations

from typing import Any

import pytest

from ionloop.fitting.models import ModelManifest, read_manifest
from ionloop.fitting.settings import BaselineSettings
from ionloop.tasks.assess import AssessTask
from ionloop.tasks.base import JobFailed
from ionloop.tasks.charge_fits import FitChargesToErrorParameters, FitChargesToErrorTask
from ionloop.tasks.fit import ROW_CACHE_FOLDER, FitParameters, FitTask, model_identifier
from ionloop.workflows.graph.plan import load_plan
from ionloop.workflows.loop.generation_loop import initial_graph, label_job

SEED = 3
EXPONENTS = {"Cu": 1.1, "Au": 1.3}
ERROR_TOLERANCE = 1e-4  # relative; the lattice sums' truncation and rounding of the linear system


@pytest.fixture
def data_set(small: Any) -> str:
    """The first data set of a campaign, of four labels."""
    small.submit()
    graph = initial_graph(load_plan(small.store, "small"))
    for job in graph.jobs:
        if "isolated-atom" in job.key:
            small.run(job)
    for name in small.add_configurations(4):
        small.run(label_job(small.campaign, 0, name))
    assess = next(job for job in graph.jobs if job.task is AssessTask)
    data_set: str = small.run(assess).pass_on["data_set"]
    return data_set


def charges_of(small: Any, data_set: str, **changes: Any) -> FitChargesToErrorParameters:
    return FitChargesToErrorParameters(
        campaign="small",
        generation=1,
        data_set=data_set,
        gap=small.campaign.gap,
        seed=SEED,
        composition={"Cu": 6, "Au": 8},
        mobile="Cu",
        **{"formal_charges": None, "exponents": EXPONENTS, **changes},
    )


def fit_of(small: Any, data_set: str, **changes: Any) -> FitParameters:
    inputs = {"baseline": None, "earlier_model": None, **changes}
    kind = "gap" if inputs["baseline"] is None else "es-gap"
    name = model_identifier(
        kind,
        data_set,
        small.campaign.gap,
        inputs["baseline"],
        seed=SEED,
        backend="native",
        earlier_model=inputs["earlier_model"],
    )
    return FitParameters(
        campaign="small",
        generation=1,
        model=name,
        kind=kind,
        data_set=data_set,
        gap=small.campaign.gap,
        seed=SEED,
        backend="native",
        evaluate_backend="native",
        **inputs,
    )


def run(small: Any, task: type, parameters: Any) -> Any:
    return task(parameters={}).execute(parameters, small.context)


def manifest_of(small: Any, model: str) -> ModelManifest:
    return read_manifest(small.store.artefacts.path(small.store.models[model].path))


def leave_out_force_error(small: Any, model: str) -> float:
    errors = manifest_of(small, model).leave_out_errors
    assert errors is not None
    return errors.force_eV_per_A


def test_the_errors_are_those_of_the_models_that_are_fitted_next(small: Any, data_set: str) -> None:
    outcome = run(small, FitChargesToErrorTask, charges_of(small, data_set))
    result = small.store.results[outcome.outputs["result"]]
    assert result.inputs == [data_set]
    assert result.values["criterion"] == "error"
    charges = result.values["charges"]
    assert 6 * charges["Cu"] + 8 * charges["Au"] == pytest.approx(0.0, abs=1e-9)
    gap = fit_of(small, data_set)
    es_gap = fit_of(small, data_set, baseline=BaselineSettings(charges=charges, exponents=EXPONENTS))
    for parameters, key in ((gap, "without_baseline"), (es_gap, "with_baseline")):
        run(small, FitTask, parameters)
        assert leave_out_force_error(small, parameters.model) == pytest.approx(
            result.values[key]["force_eV_per_A"], rel=ERROR_TOLERANCE
        )
    assert run(small, FitChargesToErrorTask, charges_of(small, data_set)) == outcome


def test_one_scale_needs_formal_charges(small: Any, data_set: str) -> None:
    with pytest.raises(JobFailed, match="set transferable: false"):
        run(small, FitChargesToErrorTask, charges_of(small, data_set, transferable=True))
    formal = {"Cu": 4.0, "Au": -3.0}
    outcome = run(small, FitChargesToErrorTask, charges_of(small, data_set, transferable=True, formal_charges=formal))
    values = small.store.results[outcome.outputs["result"]].values
    assert values["transferable"]
    assert values["curve"]["charges"] == formal
    assert values["charges"]["Au"] == pytest.approx(-0.75 * values["charges"]["Cu"])


def test_a_fit_keeps_the_points_of_the_earlier_model_and_shares_the_rows(small: Any, data_set: str) -> None:
    first = fit_of(small, data_set)
    second = fit_of(small, data_set, earlier_model=first.model)
    assert second.model != first.model
    with pytest.raises(JobFailed, match=r"missing or damaged.*ionloop retry"):
        run(small, FitTask, second)
    run(small, FitTask, first)
    run(small, FitTask, second)
    assert manifest_of(small, second.model).earlier_model == manifest_of(small, first.model).inputs_hash
    outcome = run(small, FitChargesToErrorTask, charges_of(small, data_set, earlier_model=first.model))
    without = small.store.results[outcome.outputs["result"]].values["without_baseline"]
    assert leave_out_force_error(small, second.model) == pytest.approx(without["force_eV_per_A"], rel=ERROR_TOLERANCE)
    folder = small.store.artefacts.path(ROW_CACHE_FOLDER)
    before = {path: path.stat().st_ino for path in folder.rglob("*.rows")}
    # Three configurations and both isolated atoms, layer by layer.
    assert len(before) in (6, 12)
    run(small, FitTask, fit_of(small, data_set, baseline=BaselineSettings(charges={"Cu": 0.4, "Au": -0.3})))
    assert {path: path.stat().st_ino for path in folder.rglob("*.rows")} == before
