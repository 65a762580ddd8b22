import pytest
from ase import Atoms
from fireworks import Firework

from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.store.records import ResultRecord
from ionloop.tasks.base import JobFailed
from ionloop.tasks.context import task_context
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.plan import Plan, load_plan
from ionloop.workflows.loop.generation_loop import (
    GrowGeneration,
    GrowLabels,
    generation_graph,
    initial_graph,
    label_job,
    model_identifiers,
    next_graph,
)
from ionloop.workflows.submission.submission import submit


def plan_of(small) -> Plan:
    return Plan.of_one(small.campaign, Atoms("Cu6Au8"))


def test_the_first_graph_holds_what_the_campaign_asks_for(small):
    jobs = {job.key: job for job in initial_graph(plan_of(small)).jobs}
    assert set(jobs) == {
        "generation-0/isolated-atom/Au",
        "generation-0/isolated-atom/Cu",
        "generation-0/initial-molecular-dynamics",
        "generation-0/lithium-monte-carlo",
        "generation-0/lithium-monte-carlo/relax/0",
        "generation-0/lithium-monte-carlo/relax/1",
        "generation-0/assess",
    }
    assert set(jobs["generation-0/assess"].parents) == set(jobs) - {"generation-0/assess"}
    assert jobs["generation-0/assess"].runs_after_failures
    assert jobs["generation-0/assess"].parameters.planned == 4


def test_both_models_are_fitted_to_the_same_data_and_the_driver_samples(small):
    jobs = {job.key: job for job in generation_graph(plan_of(small), 1, "data-1").jobs}
    fits = [jobs[f"generation-1/fit/{kind}"].parameters for kind in ("gap", "es-gap")]
    assert {fit.data_set for fit in fits} == {"data-1"}
    assert fits[0].settings == fits[1].settings
    assert [fit.baseline is None for fit in fits] == [True, False]
    sample = jobs["generation-1/sample/0"]
    assert sample.parents == ("generation-1/fit/es-gap",)
    assert jobs["generation-1/cross-check/es-gap"].parents == ("generation-1/fit/es-gap",)
    assert sample.parameters.model == fits[1].model
    assert jobs["generation-1/sample/1"].parameters.seed != sample.parameters.seed
    assert set(jobs["generation-1/assess"].parents) == {
        "generation-1/select",
        "generation-1/cross-check/gap",
        "generation-1/cross-check/es-gap",
    }


def test_without_a_cross_check_the_fits_lead_on_directly(small):
    campaign = Campaign.model_validate(small.settings(evaluate={"cross_check": 0}))
    jobs = {job.key: job for job in generation_graph(Plan.of_one(campaign, plan_of(small).atoms), 1, "data-1").jobs}
    assert not any("cross-check" in key for key in jobs)
    assert jobs["generation-1/sample/0"].parents == ("generation-1/fit/es-gap",)


def test_a_seed_makes_the_same_graph_and_another_seed_another(small):
    one = generation_graph(plan_of(small), 1, "data-1").to_workflow("small").to_db_dict()
    same = generation_graph(plan_of(small), 1, "data-1").to_workflow("small").to_db_dict()
    assert one["links"] == same["links"]
    other = Plan.of_one(Campaign.model_validate(small.settings(seed=2)), plan_of(small).atoms)
    assert model_identifiers(other, "data-1") != model_identifiers(plan_of(small), "data-1")


def test_every_graph_survives_the_database(small):
    for graph in (initial_graph(plan_of(small)), generation_graph(plan_of(small), 1, "data-1")):
        for firework in graph.to_workflow("small").fws:
            again = Firework.from_dict(firework.to_dict())
            assert again.to_dict() == firework.to_dict()


def test_submitting_twice_adds_nothing_and_other_settings_are_refused(small):
    assert small.submit()
    states = small.job_states()
    assert not small.submit()
    assert small.job_states() == states
    small.add_configurations(1)
    small.campaign = Campaign.model_validate(small.settings(seed=5, stop={"max_generations": 3}))
    with pytest.raises(InputError) as error:
        small.submit()
    assert "seed: 1 in the store, 5 in the file" in str(error.value)
    assert "another name" in str(error.value)
    # More generations contradict nothing.
    assert "stop.max_generations" not in str(error.value)


def test_a_campaign_of_before_a_key_was_added_goes_on(small):
    small.submit()
    settings = small.store.campaigns[small.campaign.name].settings
    del settings["initial"]["molecular_dynamics"]["k_points"]
    change = {"$set": {"settings": settings}}
    small.store.database.campaigns.update_one({"_id": small.campaign.name}, change)
    assert not small.submit()


def test_a_submission_that_was_cut_short_is_completed(small):
    small.submit()
    jobs = small.store.database.fireworks
    expected = set(small.job_states())
    small.store.database.workflows.delete_many({})
    jobs.delete_many({})
    assert small.submit()
    assert set(small.job_states()) == expected


def test_another_structure_under_the_same_name_is_refused(small, tmp_path):
    small.submit()
    small.add_configurations(1)
    other = load_plan(small.store, "small")
    atoms = small.store.campaigns["small"].structure.to_atoms()
    atoms.positions[0] += 0.1
    with pytest.raises(InputError, match="structure"):
        submit(small.store, other.campaign, atoms, tmp_path / "campaign.yaml")


def test_labels_are_added_once_however_often_the_job_runs(small):
    small.submit()
    names = small.add_configurations(3)
    task = GrowLabels(campaign="small", generation=0, sampler="test")
    with task_context(small.context):
        action = task.run_task({})
        assert len(action.detours[0].fws) == 3
        small.store.launchpad.add_wf(action.detours[0])
        assert task.run_task({}).detours == []
    assert {f"generation-0/label/{name}" for name in names} < set(small.job_states())


def test_a_finished_label_is_never_computed_twice(small):
    small.submit()
    (name,) = small.add_configurations(1)
    job = label_job(small.campaign, 0, name)
    first = small.run(job)
    assert first.state is State.FINISHED
    calls = small.calls()
    assert small.run(job) == first
    assert small.run(label_job(small.campaign, 0, name, retry=1)) == first
    assert small.calls() == calls


def test_a_failed_label_is_a_record_and_its_retry_computes_it(small):
    small.submit()
    (name,) = small.add_configurations(1)
    small.fail(True)
    outcome = small.run(label_job(small.campaign, 0, name))
    assert outcome.state is State.FAILED
    record = small.store.labels[outcome.outputs["label"]]
    assert record.energy is None
    assert record.forces is None
    calls = small.calls()
    small.run(label_job(small.campaign, 0, name))
    assert small.calls() == calls, "running the same job again after a kill repeats nothing"
    small.fail(False)
    assert small.run(label_job(small.campaign, 0, name, retry=1)).state is State.FINISHED


def label_all(small, count: int, *, failing: int, generation: int = 0) -> None:
    names = small.add_configurations(count, generation)
    small.fail(True)
    for name in names[:failing]:
        small.run(label_job(small.campaign, generation, name))
    small.fail(False)
    for name in names[failing:]:
        small.run(label_job(small.campaign, generation, name))


def isolated_atoms(small) -> None:
    for job in initial_graph(plan_of(small)).jobs:
        if "isolated-atom" in job.key:
            small.run(job)


def assess_job(small, planned: int | None = None):
    job = next(job for job in initial_graph(plan_of(small)).jobs if job.key.endswith("assess"))
    return type(job)(**{**vars(job), "parameters": job.parameters.model_copy(update={"planned": planned})})


def test_a_generation_goes_on_without_a_few_labels_and_not_without_many(small):
    small.submit()
    isolated_atoms(small)
    label_all(small, 5, failing=1)
    outcome = small.run(assess_job(small))
    data_set = small.store.data_sets[outcome.pass_on["data_set"]]
    assert len(data_set.labels) == 4
    assert set(data_set.isolated_atom_energies) == {"Cu", "Au"}
    with pytest.raises(JobFailed, match="only 4 of 6"):
        small.run(assess_job(small, planned=6))


def test_without_isolated_atoms_there_is_no_data_set(small):
    small.submit()
    label_all(small, 2, failing=0)
    with pytest.raises(JobFailed, match="isolated-atom energy of Au, Cu"):
        small.run(assess_job(small))


def new_errors(small, generation: int, force: float) -> None:
    statistics = {"rmse": force, "mae": force, "maximum": force, "count": 1}
    for kind in ("gap", "es-gap"):
        small.store.results.add(
            ResultRecord(
                id=f"errors-{generation}-{kind}",
                campaign="small",
                generation=generation,
                kind="errors",
                model_kind=kind,
                values={
                    "subset": "new",
                    "energy_eV_per_atom": statistics,
                    "force_eV_per_A": statistics,
                    "force_by_element_eV_per_A": {},
                },
            )
        )


def test_the_loop_goes_on_while_errors_fall_and_ends_with_fits_on_all_data(small):
    small.submit()
    assert {job.key.split("/")[0] for job in next_graph(small.store, "small", 0, "data-0").jobs} == {"generation-1"}
    new_errors(small, 1, 0.4)
    assert {job.key.split("/")[0] for job in next_graph(small.store, "small", 1, "data-1").jobs} == {"generation-2"}
    new_errors(small, 2, 0.39)
    final = {job.key: job for job in next_graph(small.store, "small", 2, "data-2").jobs}
    checks = {"final/cross-check/gap", "final/cross-check/es-gap"}
    assert set(final) == {"final/fit/gap", "final/fit/es-gap", "final/conclude", *checks}
    assert final["final/fit/gap"].parameters.data_set == "data-2"
    assert final["final/conclude"].parameters.converged


def test_growing_twice_adds_the_next_generation_once(small):
    small.submit()
    task = GrowGeneration(campaign="small", generation=0)
    with task_context(small.context):
        action = task.run_task({"data_set": "data-0"})
        small.store.launchpad.add_wf(action.additions[0])
        assert task.run_task({"data_set": "data-0"}).additions == []
