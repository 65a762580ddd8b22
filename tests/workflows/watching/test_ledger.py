import dataclasses

import pytest

from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.workflows.graph.jobs import Graph
from ionloop.workflows.graph.plan import load_plan
from ionloop.workflows.loop.generation_loop import GrowLabels, initial_graph, label_job
from ionloop.workflows.running.worker import Worker
from ionloop.workflows.watching.ledger import failures, retry
from ionloop.workflows.watching.status import campaign_status


def grow_labels(small, count: int) -> list[str]:
    """Submit, and add label jobs as the initial jobs would."""
    small.submit()
    names = small.add_configurations(count)
    jobs = tuple(label_job(small.campaign, 0, name) for name in names)
    small.store.launchpad.add_wf(Graph(jobs).to_workflow("small"))
    return names


def run_labels(small) -> None:
    while small.store.database.fireworks.find_one({"spec.kind": "label", "state": "READY"}):
        Worker(small.store, "small").run(max_jobs=1)


@pytest.fixture
def only_labels(small):
    """A campaign whose other jobs wait, so that a worker takes nothing but labels."""
    names = grow_labels(small, 3)
    others = {"spec.kind": {"$ne": "label"}, "state": "READY"}
    small.store.database.fireworks.update_many(others, {"$set": {"state": "WAITING"}})
    small.fail(True)
    run_labels(small)
    return small, names


def test_failed_labels_are_listed_with_a_reason_and_counted_by_state(only_labels):
    small, names = only_labels
    ledger = failures(small.store)
    assert {failure.key for failure in ledger} == {f"generation-0/label/{name}" for name in names}
    assert all(failure.state is State.FAILED and failure.reason for failure in ledger)
    assert campaign_status(small.store).jobs["failed"] == 3


def test_a_retry_computes_them_once_more_and_empties_the_ledger(only_labels):
    small, names = only_labels
    small.fail(False)
    assert len(retry(small.store)) == 3
    assert len(retry(small.store)) == 3, "asking twice is no error"
    calls = small.calls()
    run_labels(small)
    assert small.calls() == calls + 3
    assert failures(small.store) == []
    assert {small.label_state(name) for name in names} == {State.FINISHED}


def test_one_of_them_can_be_chosen_and_a_wrong_choice_is_refused(only_labels):
    small, _ = only_labels
    chosen = failures(small.store)[0]
    assert retry(small.store, identifiers=[chosen.id]) == [chosen.key]
    assert retry(small.store, states=[State.KILLED]) == []
    with pytest.raises(InputError, match="not in the ledger"):
        retry(small.store, identifiers=["label-0"])
    with pytest.raises(InputError, match="only these can be retried"):
        retry(small.store, states=[State.RUNNING])


def test_labels_retried_after_a_failed_assessment_run_before_it_is_assessed_again(small):
    small.submit()
    small.store.database.workflows.delete_many({})
    small.store.database.fireworks.delete_many({})
    (name,) = small.add_configurations(1)
    assess = next(job for job in initial_graph(load_plan(small.store, "small")).jobs if "assess" in job.key)
    label = label_job(small.campaign, 0, name)
    assess = dataclasses.replace(assess, parents=(label.key,))
    small.store.launchpad.add_wf(Graph((label, assess)).to_workflow("small"))
    assessment = small.store.database.fireworks.find_one({"spec.key": "generation-0/assess"})
    small.fail(True)
    Worker(small.store, "small").run(max_jobs=2)
    assert small.job_states()["generation-0/assess"] == "FIZZLED"
    assert {failure.kind for failure in failures(small.store)} == {"label", "assess"}
    small.fail(False)
    retry(small.store)
    states = small.job_states()
    assert states["generation-0/assess"] == "WAITING"
    assert states[label.key] == "READY"
    assert small.store.database.fireworks.find_one({"spec.key": "generation-0/assess"})["fw_id"] == assessment["fw_id"]
    Worker(small.store, "small").run(max_jobs=2)
    assert small.label_state(name) is State.FINISHED


def test_growth_after_a_retry_adds_no_second_job_for_a_label(only_labels):
    small, _ = only_labels
    from ionloop.tasks.context import task_context

    with task_context(small.context):
        assert GrowLabels(campaign="small", generation=0, sampler="test").run_task({}).detours == []
