"""A campaign that asks for a property: from its file to its report, with an audit set and with proposals."""

from __future__ import annotations

from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk

from ionloop.core.names import AUDIT, CONCLUSION, ERRORS
from ionloop.core.states import State
from ionloop.tasks.base import TaskParameters
from ionloop.tasks.context import task_context
from ionloop.tasks.results import new_result
from ionloop.tasks.sample import is_proposed
from ionloop.tasks.values.loop import CONCLUSIONS
from ionloop.tasks.values.properties import PROPERTIES, PropertyValues
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.registry import ANALYSES
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.plan import Plan, load_plan
from ionloop.workflows.loop.generation_loop import (
    GrowGeneration,
    final_graph,
    known_graph,
    model_identifiers,
)
from ionloop.workflows.loop.property_jobs import measured_property, property_identifier
from ionloop.workflows.loop.stop_rule import Verdict
from ionloop.workflows.report.data import collect
from ionloop.workflows.report.page import render
from ionloop.workflows.running.worker import Worker
from ionloop.workflows.submission.submission import submit
from ionloop.workflows.watching.status import campaign_status


def crystal() -> Atoms:
    """Return CuAu near its smallest energy with EMT, without two of its atoms."""
    atoms = bulk("CuAu", "cesiumchloride", a=3.02).repeat((2, 2, 2))
    del atoms[[0, 6]]
    return atoms


@pytest.fixture
def asking(small):
    """A campaign that asks for a bulk modulus, and for everything else that goes with it."""
    small.campaign = Campaign.model_validate(
        small.settings(
            models=["gap"],
            initial={
                "molecular_dynamics": {"count": 6, "every": 3},
                "lithium_monte_carlo": {"count": 4, "relaxation": {"steps": 1}},
            },
            gap={
                "two_body": {"cutoff_A": 4.0, "sparse_points": 6},
                "soap": {"cutoff_A": 3.5, "n_max": 3, "l_max": 2, "sparse_points": 12},
            },
            evaluate={"cross_check": 0},
            selection={"method": "farthest-point", "count": 2},
            sampling={"length_ps": 0.05, "replicas": 1, "write_every": 5, "temperature_K": 300},
            stop={
                "max_generations": 4,
                "energy_tolerance": 0,
                "force_tolerance": 0,
                "properties": {"energy_volume": "45 %"},
                "audit": {"count": 2},
            },
            proposals={"share": 0.5},
            analyses={"energy_volume": {"points": 5, "strain": 0.03, "relax_ions": False, "reference": "none"}},
        )
    )
    return small


def points(store) -> int:
    return len(list(store.results.find({"kind": "energy-volume-point"})))


def test_a_campaign_asks_for_a_property_from_its_file_to_its_report(asking) -> None:
    store = asking.store
    submit(store, asking.campaign, crystal(), asking.folder / "campaign.yaml")
    Worker(store, "small").run()
    status = campaign_status(store, "small")
    assert status.state is State.FINISHED, status.reason
    assert status.reason.startswith("known in generation 2")
    assert "energy_volume" in status.reason

    looked_at = {one.generation: PROPERTIES.read(one) for one in store.results.find({"kind": PROPERTIES.name})}
    assert sorted(looked_at) == [1, 2]
    assert looked_at[1].error > 45 > looked_at[2].error
    models = {one.generation: one.model for one in store.results.find({"kind": PROPERTIES.name})}
    conclusion = next(iter(store.results.find({"kind": CONCLUSION})))
    # What the end asks the same model was answered before it.
    assert CONCLUSIONS.read(conclusion).models["gap"] == models[2]
    assert points(store) == 2 * 5

    audit = list(store.configurations.find({"purpose": AUDIT}))
    assert [one.generation for one in audit] == [1, 1]
    trained_on = {name for one in store.data_sets.find({}) for name in one.configurations}
    assert not trained_on & {one.id for one in audit}
    on_audit = list(store.results.find({"kind": ERRORS, "values.subset": AUDIT}))
    # Those of both generations and the final one, all on the same labels.
    assert len(on_audit) == 3
    assert len({tuple(one.inputs) for one in on_audit}) == 1
    assert status.generations[2].audit_force_rmse["gap"] > 0

    chosen = list(store.configurations.find({"generation": 2}))
    assert len(chosen) == asking.campaign.selection.count
    (proposed,) = [one for one in chosen if is_proposed(one)]
    assert proposed.origin.parent is not None
    assert proposed.id in trained_on

    page = render(store, collect(store, "small"))
    assert "Properties asked for" in page
    assert "audit set" in page

    # A decision that is made again, after a kill, adds nothing.
    states = asking.job_states()
    data_set = max(store.data_sets.find({}), key=lambda one: one.generation)
    with task_context(asking.context):
        grow = GrowGeneration(campaign="small", generation=1, data_set=looked_at[1].data_set)
        assert grow.run_task({}).additions == []
    assert not known_graph(store, load_plan(store, "small", data_set.id), 2, data_set.id).jobs
    # A wider tolerance is taken note of; a narrower one and more generations go on.
    submit(store, changed(asking, properties={"energy_volume": "500 %"}), crystal(), asking.folder / "campaign.yaml")
    assert asking.job_states() == states
    more = changed(asking, properties={"energy_volume": "0.001 %"})
    submit(store, more, crystal(), asking.folder / "campaign.yaml")
    assert "generation-3/propose" in asking.job_states()


def changed(small, **stop: Any) -> Campaign:
    settings = small.campaign.model_dump(mode="json")
    return Campaign.model_validate({**settings, "stop": {**settings["stop"], **stop}})


def test_what_is_asked_for_later_is_looked_at_with_jobs_of_its_own_and_an_end_is_told_again(asking) -> None:
    """No job runs: a generation that was assessed, with a property that was looked at, is asked for another one."""
    plan = Plan.of_one(asking.campaign, crystal())
    model = model_identifiers(plan, "data-1")["gap"]
    first = known_graph(asking.store, plan, 1, "data-1")
    assert {job.key for job in first.jobs} >= {"generation-1/properties", "generation-1/properties/fit/gap"}
    assert all(job.runs_after_failures for job in first.jobs if "/analysis/" in job.key)
    values = PropertyValues(name="energy_volume", unit="%", data_set="data-1", numbers=())
    place = TaskParameters(campaign="small", generation=1)
    asking.store.results.add(
        new_result(place, property_identifier("small", "energy_volume", 1, model), PROPERTIES, values=values)
    )
    assert not known_graph(asking.store, plan, 1, "data-1").jobs
    settings = asking.campaign.model_dump(mode="json")
    settings["analyses"]["vacancy"] = {"sites": 1}
    settings["stop"]["properties"]["vacancy"] = "0.1 eV"
    plan = Plan.of_one(Campaign.model_validate(settings), crystal())
    second = {job.key: job for job in known_graph(asking.store, plan, 1, "data-1").jobs}
    assert second["generation-1/properties/vacancy"].parameters.names == ["vacancy"]
    assert not any("energy-volume" in key for key in second)


def test_an_analysis_that_fails_leaves_its_property_not_known_and_the_loop_goes_on(asking, monkeypatch) -> None:
    plan = AnalysisPlan(Plan.of_one(asking.campaign, crystal()), 1, {"gap": "model-x"}, {}, "data-1")
    analysis = ANALYSES.get("energy_volume")
    nothing = measured_property(asking.store, analysis, plan)
    assert nothing.error is None
    assert "no result" in nothing.text

    def broken(*_: object) -> list[object]:
        raise ValueError("told to fail")

    monkeypatch.setattr(type(analysis), "property_numbers", broken)
    assert measured_property(asking.store, analysis, plan).text == "ValueError: told to fail"


KINDS: dict[str, dict[str, Any]] = {
    "energy_volume": {},
    "barriers": {},
    "conductivity": {"charge_e": 1, "models": ["gap"], "model_samples": 4},
    "frenkel": {"supercell": [1, 1, 1], "pairs": 1, "attempts": 1},
    "vacancy": {"sites": 1},
}


@pytest.mark.parametrize(
    "asked", [("barriers",), ("barriers", "conductivity"), ("energy_volume", "frenkel", "vacancy")]
)
def test_properties_need_no_reference_and_what_they_compute_is_what_the_end_asks_for(small, asked) -> None:
    settings = small.settings(
        analyses=KINDS,
        stop={"properties": {name: "1 %" if name in ("energy_volume", "conductivity") else "1 eV" for name in asked}},
    )
    settings["analyses"]["frenkel"] = {"supercell": [1, 1, 1], "pairs": 1, "attempts": 1}
    plan = Plan.of_one(Campaign.model_validate(settings), crystal())
    known = known_graph(small.store, plan, 1, "data-1")
    known.to_workflow("small")
    assert not any("reference" in job.key for job in known.jobs)
    end = final_graph(plan, 1, "data-1", Verdict(stop=True, converged=True, reason=""))
    later = {job.parameters.identifier for job in end.jobs if hasattr(job.parameters, "identifier")}
    before = {job.parameters.identifier for job in known.jobs if hasattr(job.parameters, "identifier")}
    assert before
    assert before <= later
