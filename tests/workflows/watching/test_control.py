import dataclasses
import time

import pytest
from fireworks import FWorker

from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.workflows.graph.jobs import Graph
from ionloop.workflows.loop.generation_loop import label_job
from ionloop.workflows.queue.queue_jobs import QueueJob, adopt_queue_job
from ionloop.workflows.running.worker import Worker
from ionloop.workflows.running.worker_limits import job_queries
from ionloop.workflows.submission.holds import charge, control_of, core_hours, enforce_budget, over_budget
from ionloop.workflows.watching.control import cancel, pause, resume, set_priority
from ionloop.workflows.watching.status import campaign_status


@pytest.fixture
def labels(small):
    """A campaign whose only ready jobs are three labels."""
    small.submit()
    small.store.database.fireworks.update_many({"state": "READY"}, {"$set": {"state": "WAITING"}})
    jobs = tuple(label_job(small.campaign, 0, name) for name in small.add_configurations(3))
    small.store.launchpad.add_wf(Graph(jobs).to_workflow("small"))
    return small


def work(small, jobs: int = 1) -> int:
    return Worker(small.store).run(max_jobs=jobs)


def test_a_paused_campaign_starts_nothing_and_goes_on_where_it_was(labels):
    assert work(labels) == 1
    pause(labels.store)
    assert work(labels) == 0
    status = campaign_status(labels.store)
    assert (status.hold, status.is_over) == ("paused", True)
    assert "paused by hand" in status.reason
    resume(labels.store)
    assert not campaign_status(labels.store).is_over
    assert work(labels, 2) == 2
    assert labels.calls() == 3


def test_jobs_that_a_paused_campaign_adds_are_held_as_well(labels):
    pause(labels.store)
    job = label_job(labels.campaign, 1, *labels.add_configurations(1, generation=1))
    labels.store.launchpad.add_wf(Graph((dataclasses.replace(job, priority=1000),)).to_workflow("small"))
    assert work(labels) == 0


class FakeScheduler:
    name = "slurm"

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def ask(self, jobs) -> dict:
        return {}

    def cancel(self, jobs) -> None:
        self.cancelled += jobs


def test_a_queue_out_of_reach_leaves_the_campaign_as_it_was(labels, monkeypatch, tmp_path):
    job = {"scheduler": "slurm", "campaign": "small", "resources": "labels", "cores": 4, "log": "", "submitted": 1.0}
    adopt_queue_job(labels.store, QueueJob(id="slurm-7", job="7", state="running", **job))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="not on this machine"):
        cancel(labels.store, "small")
    assert control_of(labels.store, "small").hold is None


def test_a_cancelled_campaign_is_taken_out_of_the_queue_and_can_be_taken_back(labels):
    job = {"scheduler": "slurm", "campaign": "small", "resources": "labels", "cores": 4, "log": "", "submitted": 1.0}
    for number, state in (("7", "running"), ("8", "pending"), ("6", "finished")):
        adopt_queue_job(labels.store, QueueJob(id=f"slurm-{number}", job=number, state=state, **job))
    scheduler = FakeScheduler()
    _, cancelled = cancel(labels.store, "small", scheduler=lambda name: scheduler)
    assert sorted(scheduler.cancelled) == ["7", "8"]
    assert sorted(cancelled) == ["slurm-7", "slurm-8"]
    assert campaign_status(labels.store).state is State.CANCELLED
    assert work(labels) == 0
    with pytest.raises(InputError, match="is cancelled"):
        pause(labels.store)
    resume(labels.store)
    assert work(labels) == 1


def test_the_campaign_of_higher_priority_comes_first(labels):
    store = labels.store
    others = [("urgent", 1), ("late", 5), ("later", 9)]
    for name, _ in others:
        spec = {"campaign": name, "key": "x", "kind": "label", "generation": 0, "_priority": 0}
        store.database.campaigns.insert_one({**store.database.campaigns.find_one({"_id": "small"}), "_id": name})
        job = label_job(labels.campaign, 2, "config").to_firework(-1)
        job.spec.update(spec)
        store.launchpad.add_wf(job)
    set_priority(store, "urgent", 5)
    set_priority(store, "late", -5)
    pause(store, "later")
    order = []
    while True:
        for query in job_queries(store_controls(store), None, None):
            firework, _ = store.launchpad.checkout_fw(FWorker(name="test", query=query), "/")
            if firework is not None:
                order.append(firework.spec["campaign"])
                break
        else:
            break
    assert order == ["urgent", "small", "small", "small", "late"]
    with pytest.raises(InputError, match="from -100 to 100"):
        set_priority(store, "small", 1000)
    with pytest.raises(InputError, match="did you mean 'urgent'"):
        set_priority(store, "urgnt", 1)


def store_controls(store):
    from ionloop.workflows.submission.holds import all_controls

    return all_controls(store)


# -- the budget ------------------------------------------------------------------------------------------------------


def give_budget(small, limit) -> None:
    small.store.database.campaigns.update_one({"_id": "small"}, {"$set": {"settings.max_core_hours": limit}})


def test_what_a_worker_does_is_counted_by_engine_and_multiplied_by_its_cores(labels):
    begin = time.monotonic()
    work(labels, 3)
    hours = core_hours(labels.store, "small")
    assert set(hours) == {"command"}
    assert 0 < hours["command"] <= (time.monotonic() - begin) / 3600


@pytest.mark.parametrize(
    ("limit", "spent"),
    [(10.0, True), (12.1, False), ({"command": 9.0}, True), ({"command": 11.0, "fit": 3.0}, False), (None, False)],
)
def test_a_budget_is_for_all_engines_or_for_each(labels, limit, spent):
    give_budget(labels, limit)
    charge(labels.store, "small", "command", 9 * 3600)
    charge(labels.store, "small", "fit", 1 * 3600)
    charge(labels.store, "small", "fit", 1 * 3600)
    assert core_hours(labels.store, "small") == pytest.approx({"command": 9.0, "fit": 2.0})
    assert bool(over_budget(labels.store, "small")) == spent


def test_a_campaign_that_has_used_its_budget_up_is_paused_says_so_and_goes_on_with_a_larger_one(labels):
    give_budget(labels, 1.0)
    charge(labels.store, "small", "command", 3600)
    assert work(labels, 3) == 1, "the worker notices after its first job"
    status = campaign_status(labels.store)
    assert status.hold == "paused"
    assert "budget: 1 of 1 core hours are used (command 1)" in status.reason
    with pytest.raises(InputError, match="--max-core-hours"):
        resume(labels.store)
    resume(labels.store, max_core_hours=2.0)
    assert work(labels, 3) == 2
    assert enforce_budget(labels.store, "small") == ""
