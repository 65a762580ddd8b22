"""Fits, cross-checks, sampling and selection as jobs, on real fits of seconds."""

import numpy as np
import pytest

from ionloop.analysis.errors.model_errors import Agreement
from ionloop.store.records import Artefact
from ionloop.tasks import fit as fit_tasks
from ionloop.tasks.base import JobFailed
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.plan import load_plan
from ionloop.workflows.loop.generation_loop import generation_graph, initial_graph, label_job

LARGE_FORCE_DIFFERENCE_EV_PER_A = 1e-3


@pytest.fixture
def generation(small):
    """A campaign with six labels, and the jobs of its first generation by key."""
    small.submit()
    for job in initial_graph(load_plan(small.store, "small")).jobs:
        if "isolated-atom" in job.key:
            small.run(job)
    for name in small.add_configurations(6):
        small.run(label_job(small.campaign, 0, name))
    assess = next(job for job in initial_graph(load_plan(small.store, "small")).jobs if "assess" in job.key)
    data_set = small.run(assess).pass_on["data_set"]
    return {job.key: job for job in generation_graph(load_plan(small.store, "small"), 1, data_set).jobs}


def run_fits(small, generation) -> None:
    for kind in ("gap", "es-gap"):
        small.run(generation[f"generation-1/fit/{kind}"])


def test_both_models_see_the_same_data_and_are_fitted_once(small, generation):
    run_fits(small, generation)
    models = {model.kind: model for model in small.store.models.find()}
    assert models["gap"].training_set_hash == models["es-gap"].training_set_hash
    assert models["gap"].baseline is None
    assert models["es-gap"].baseline["charges"] == {"Cu": 0.4, "Au": -0.3}
    times = [path.stat().st_mtime_ns for path in sorted(small.store.root.glob("models/*/gap.xml"))]
    run_fits(small, generation)
    assert [path.stat().st_mtime_ns for path in sorted(small.store.root.glob("models/*/gap.xml"))] == times


def test_a_damaged_model_is_fitted_again(small, generation):
    run_fits(small, generation)
    (model,) = (model for model in small.store.models.find() if model.kind == "gap")
    path = small.store.artefacts.path(model.path) / "gap.xml"
    path.write_text("damaged")
    small.run(generation["generation-1/fit/gap"])
    assert all(small.store.artefacts.is_whole(file) for file in small.store.models[model.id].files)


def test_the_cross_check_records_how_well_both_evaluators_agree(small, generation):
    run_fits(small, generation)
    small.run(generation["generation-1/cross-check/es-gap"])
    (result,) = small.store.results.find({"kind": "cross-check"})
    assert Agreement.model_validate(result.values).holds
    assert result.values["configurations"] == 6
    assert result.values["force_eV_per_A"] > 0, "two independent evaluators never agree to the last bit"


def test_a_model_on_which_they_differ_stops_the_campaign(small, generation, monkeypatch):
    run_fits(small, generation)
    wrong = Agreement(
        energy_eV_per_atom=0.0,
        force_eV_per_A=LARGE_FORCE_DIFFERENCE_EV_PER_A,
        stress_eV_per_A3=None,
        configurations=6,
    )
    monkeypatch.setattr(fit_tasks, "compare_calculators", lambda *_: wrong)
    job = generation["generation-1/cross-check/gap"]
    for _ in range(2):
        with pytest.raises(JobFailed, match=r"differ by 0.001 eV/Å"):
            small.run(job)
    for name in small.add_configurations(2, generation=1):
        small.run(label_job(small.campaign, 1, name))
    with pytest.raises(JobFailed, match="cross-check of gap failed"):
        small.run(generation["generation-1/assess"])


def test_frames_are_chosen_and_the_variance_of_each_is_kept(small, generation):
    run_fits(small, generation)
    for replica in (0, 1):
        small.run(generation[f"generation-1/sample/{replica}"])
    outcome = small.run(generation["generation-1/select"])
    assert outcome.outputs["selected"] == 2
    results = list(small.store.results.find({"kind": "variance"}))
    assert len(results) == 2
    for result in results:
        artefact = Artefact.model_validate(result.values["artefact"])
        with np.load(small.store.artefacts.path(artefact.path)) as arrays:
            assert len(arrays["mean_eV2"]) == result.values["frames"]
            assert (arrays["maximum_eV2"] >= arrays["mean_eV2"]).all()
            assert (arrays["mean_eV2"] > 0).all()
    assert small.run(generation["generation-1/select"]) == outcome


def test_selection_by_variance_takes_the_least_certain_frame(small, generation):
    run_fits(small, generation)
    for replica in (0, 1):
        small.run(generation[f"generation-1/sample/{replica}"])
    settings = small.settings(selection={"method": "variance", "count": 1, "pool": 1})
    job = generation["generation-1/select"]
    parameters = job.parameters.model_copy(update={"settings": Campaign.model_validate(settings).selection})
    job.task(parameters={}).execute(parameters, small.context)
    largest = max(result.values["maximum_eV2"] for result in small.store.results.find({"kind": "variance"}))
    (chosen,) = small.store.configurations.find({"generation": 1})
    trajectory = next(r for r in small.store.results.find({"kind": "variance"}) if r.inputs == [chosen.origin.parent])
    with np.load(small.store.artefacts.path(trajectory.values["artefact"]["path"])) as arrays:
        frame = chosen.origin.step // small.campaign.sampling.write_every - 1
        assert arrays["maximum_eV2"][frame] == pytest.approx(largest)
