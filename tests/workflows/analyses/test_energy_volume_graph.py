"""The energy-volume graph of a small campaign: every job by hand, twice, and with failures."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.emt import EMT

from ionloop.analysis.energy_volume.settings import EnergyVolumeSettings
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.tasks import energy_volume as energy_volume_tasks
from ionloop.tasks.base import JobFailed
from ionloop.tasks.energy_volume import CURVE_KIND, POINT_KIND
from ionloop.workflows.analyses.base import AnalysisPlan
from ionloop.workflows.analyses.energy_volume.graph import energy_volume_cost, energy_volume_jobs
from ionloop.workflows.analyses.energy_volume.report import energy_volume_section
from ionloop.workflows.graph.jobs import Graph
from ionloop.workflows.graph.plan import load_plan

# The crystal that the campaign starts from has vacancies: it is softer and smaller than its cell.
SETTINGS = EnergyVolumeSettings(strain=0.05, points=5, relaxation=FixedCellRelaxation(max_step_A=0.1))


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Every potential is EMT; the kinds that were opened, in order."""
    kinds: list[str] = []

    def open_emt(store, potential):
        kinds.append(potential.kind)
        return EMT()

    monkeypatch.setattr(energy_volume_tasks, "open_potential", open_emt)
    return kinds


def graph(small, settings: EnergyVolumeSettings = SETTINGS) -> dict:
    small.submit()
    plan = AnalysisPlan(load_plan(small.store, "small"), 1, {"es-gap": "model-1"}, {"es-gap": "final/fit/es-gap"})
    return {job.key: job for job in energy_volume_jobs(plan, settings)}


def run(small, jobs: dict) -> None:
    for job in jobs.values():
        small.run(job)


def test_every_cell_is_a_job_and_every_potential_has_a_gathering_one(small):
    jobs = graph(small)
    assert len(jobs) == 2 * (SETTINGS.points + 1) + 1
    assert jobs["analysis/energy-volume/es-gap/origin"].parents == ("final/fit/es-gap",)
    assert jobs["analysis/energy-volume/es-gap/0"].parents == ("analysis/energy-volume/es-gap/origin",)
    assert jobs["analysis/energy-volume/reference/0"].parents == ("analysis/energy-volume/es-gap/0",)
    assert jobs["analysis/energy-volume/es-gap"].runs_after_failures
    names = {*jobs, "final/fit/es-gap"}
    assert all(parent in names for job in jobs.values() for parent in job.parents)


@pytest.mark.parametrize(
    ("changes", "parents"),
    [
        ({"reference": "relax"}, ("analysis/energy-volume/reference/origin",)),
        ({"reference": "single-points"}, ("analysis/energy-volume/es-gap/2",)),
        ({"relax_ions": False}, ()),
    ],
)
def test_only_single_points_wait_for_the_driver(small, changes, parents):
    jobs = graph(small, SETTINGS.model_copy(update=changes))
    assert jobs["analysis/energy-volume/reference/2"].parents == parents


def test_without_the_reference_there_are_no_jobs_of_it(small):
    jobs = graph(small, SETTINGS.model_copy(update={"reference": "none"}))
    assert all("reference" not in key for key in jobs)


def test_the_curve_of_the_reference_is_that_of_the_driver_where_both_are_the_same_engine(small, opened):
    jobs = graph(small)
    run(small, jobs)
    curves = {record.model_kind: record for record in small.store.results.find({"kind": CURVE_KIND})}
    assert set(curves) == {"es-gap", "reference"}
    assert np.allclose(
        curves["es-gap"].values["energies_eV_per_atom"], curves["reference"].values["energies_eV_per_atom"], atol=1e-9
    )
    assert curves["reference"].values["ions_relaxed_with"] == "es-gap"
    calls = len(opened)
    run(small, jobs)
    assert len(opened) == calls, "points that are whole are not computed again"


def test_the_report_has_a_curve_and_a_bulk_modulus_for_every_potential(small, opened):
    # This crystal slips when its ions may relax: only the scaled cells lie on a smooth curve.
    run(small, graph(small, SETTINGS.model_copy(update={"relax_ions": False, "strain": 0.1})))
    for curve in small.store.results.find({"kind": CURVE_KIND}):
        assert curve.values["fit"]["bulk_modulus_GPa"] > 0
        assert curve.values["ions_relaxed_with"] is None
    section = energy_volume_section(small.store, "small")
    assert section is not None
    assert "GPa" in section.summary
    names = [trace.name for trace in section.figures["energy-volume-curves"].data]
    assert names == ["ES-GAP, fit", "ES-GAP", "reference, fit", "reference"]
    assert section.rows
    (curve,) = small.store.results.find({"kind": CURVE_KIND, "model_kind": "reference"})
    fit = {**curve.values["fit"], "bracketed": False, "bulk_modulus_standard_error_GPa": 44319.9}
    small.store.results.replace(curve.model_copy(update={"values": {**curve.values, "fit": fit}}))
    section = energy_volume_section(small.store, "small")
    assert section is not None
    assert "reference" not in section.summary
    assert "44319.9" not in str(section.rows)


def test_a_point_whose_file_is_damaged_is_computed_again(small, opened):
    jobs = graph(small)
    job = jobs["analysis/energy-volume/es-gap/origin"]
    small.run(job)
    (record,) = small.store.results.find({"kind": POINT_KIND})
    assert record.values["strain"] == 0.0
    small.store.artefacts.path(record.artefacts["cell"].path).write_bytes(b"damaged")
    small.run(job)
    assert small.store.artefacts.is_whole(small.store.results[record.id].artefacts["cell"])


def test_missing_points_are_counted_and_too_few_give_no_fit(small, opened):
    jobs = graph(small)
    for key in ("es-gap/origin", "es-gap/0", "es-gap"):
        small.run(jobs[f"analysis/energy-volume/{key}"])
    (curve,) = small.store.results.find({"kind": CURVE_KIND})
    assert curve.values["fit"] is None
    assert curve.values["missing"] == SETTINGS.points - 1
    assert "5 volumes" in curve.values["reason"]
    section = energy_volume_section(small.store, "small")
    assert section is not None
    assert "failed" in " ".join(block.text for block in section.blocks if hasattr(block, "text"))


def test_a_single_point_without_its_relaxed_cell_says_so(small, opened):
    with pytest.raises(JobFailed, match="was not relaxed"):
        small.run(graph(small)["analysis/energy-volume/reference/0"])


def test_the_graph_is_whole_but_for_the_fits(small):
    jobs = graph(small)
    workflow = Graph(tuple(jobs.values())).without({"final/fit/es-gap"}).to_workflow("small")
    assert len(workflow.fws) == len(jobs)


def test_parameters_survive_the_database(small):
    for job in graph(small).values():
        again = job.task.parameters_type.model_validate(job.parameters.model_dump(mode="json"))
        assert again == job.parameters
        assert getattr(again, "identifier", None) == getattr(job.parameters, "identifier", None)


def test_costs_count_what_the_reference_is_asked_for():
    free = energy_volume_cost(SETTINGS.model_copy(update={"reference": "none"}), 2, 42)
    single = energy_volume_cost(SETTINGS, 2, 42)
    assert (free.reference_evaluations, single.reference_evaluations) == (0, SETTINGS.points)
    assert single.model_evaluations > 2 * SETTINGS.points
    rigid = energy_volume_cost(SETTINGS.model_copy(update={"relax_ions": False}), 2, 42)
    assert rigid.model_evaluations == 2 * SETTINGS.points


def test_a_campaign_without_results_has_no_section(small):
    small.submit()
    assert energy_volume_section(small.store, "small") is None
