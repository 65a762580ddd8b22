import os
import threading
import time
from pathlib import Path

import pytest

from ionloop.errors import InputError
from ionloop.workflows.cluster_profile import ClusterProfile
from ionloop.workflows.control import cancel, pause
from ionloop.workflows.launcher import Launcher, pause_after_trouble, wanted_jobs
from ionloop.workflows.pilot_settings import read_pilot_settings
from ionloop.workflows.queue_jobs import QueueJob, queue_jobs
from ionloop.workflows.scheduler import QueueFacts, QueueState, SchedulerError


class FakeScheduler:
    """Keeps jobs in a dictionary; a job is pending until a test says what became of it."""

    name = "slurm"

    def __init__(self) -> None:
        self.facts: dict[str, QueueFacts] = {}
        self.scripts: list[Path] = []
        self.is_away = False

    def directives(self, wanted, further):
        return []

    def submit(self, script: Path) -> str:
        self.scripts.append(script)
        job = str(len(self.scripts))
        self.facts[job] = QueueFacts(QueueState.PENDING, "slurm: PENDING")
        return job

    def ask(self, jobs):
        if self.is_away:
            raise SchedulerError("squeue failed with status 1: connection refused")
        return {job: self.facts[job] for job in jobs if job in self.facts}

    def cancel(self, jobs) -> None:
        for job in jobs:
            self.facts[job] = QueueFacts(QueueState.CANCELLED, "slurm: CANCELLED")


def profile(**changes) -> ClusterProfile:
    resources = {
        "labels": {"kinds": ["label", "isolated-atom"], "longest_min": 60.0, "wall_time_h": 1.1},
        "rest": {"kinds": ["other"]},
    }
    settings = {"scheduler": "slurm", "max_jobs": 3, "poll_s": 0.2, "resources": resources, **changes}
    return ClusterProfile.model_validate(settings)


@pytest.fixture
def launcher(small):
    small.submit()
    return Launcher(small.store, profile(), scheduler=FakeScheduler())


def resources_of(launcher) -> list[str]:
    return sorted(job.resources for job in queue_jobs(launcher.store))


@pytest.mark.parametrize(
    ("ready", "per_job", "active", "most", "wanted"),
    [(0, 4, 0, 9, 0), (1, 4, 0, 9, 1), (9, 4, 0, 9, 3), (9, 4, 2, 9, 1), (9, 4, 5, 9, 0), (900, 4, 0, 9, 9)],
)
def test_as_many_queue_jobs_as_the_ready_jobs_fill_and_no_more_than_allowed(ready, per_job, active, most, wanted):
    assert wanted_jobs(ready, per_job, active, most) == wanted


def test_what_is_ready_is_submitted_once_and_no_further_while_it_waits(launcher):
    # Two free atoms, each of which fills an allocation, and the rest: dynamics and lithium distributions.
    assert len(launcher.step().submitted) == 3
    assert resources_of(launcher) == ["labels", "labels", "rest"]
    assert launcher.step().submitted == ()


def test_a_launcher_that_was_killed_carries_on_from_the_store(launcher):
    launcher.step()
    scheduler = launcher.scheduler
    again = Launcher(launcher.store, profile(), scheduler=scheduler)
    assert again.step().submitted == ()
    assert len(scheduler.scripts) == 3


def test_the_command_line_may_allow_fewer_queue_jobs_than_the_profile(small):
    small.submit()
    launcher = Launcher(small.store, profile(), max_jobs=1, scheduler=FakeScheduler())
    assert len(launcher.step().submitted) == 1
    assert launcher.step().submitted == ()


def test_scripts_and_settings_are_their_owner_s_only_and_say_what_to_run(launcher):
    launcher.step()
    script = launcher.scheduler.scripts[0]
    assert script.stat().st_mode & 0o077 == 0
    settings = read_pilot_settings(script.with_suffix(".json"))
    assert (settings.campaign, settings.store, settings.kinds) == (
        "small",
        launcher.store.location,
        ("isolated-atom", "label"),
    )
    assert settings.queue_job({"SLURM_JOB_ID": "7"}) == "slurm-7"
    assert settings.limits({"SLURM_JOB_END_TIME": "1000"}).ends_at == 1000


def test_a_scheduler_that_does_not_answer_is_waited_for_and_nothing_is_submitted(launcher):
    launcher.scheduler.is_away = True
    done = launcher.step()
    assert done.submitted == ()
    assert done.unfinished
    launcher.scheduler.is_away = False
    assert launcher.step().submitted


def test_a_class_whose_jobs_fail_is_fed_again_after_a_pause_that_doubles(launcher):
    jobs = [
        QueueJob(
            id=str(number),
            scheduler="slurm",
            job=str(number),
            campaign="small",
            resources="labels",
            cores=1,
            log="",
            submitted=0.0,
            state=state,
            ended=100.0 + number,
        )
        for number, state in enumerate([QueueState.FAILED, QueueState.FINISHED, QueueState.FAILED, QueueState.FAILED])
    ]
    assert pause_after_trouble(jobs[:1], 100.0) == 60
    assert pause_after_trouble(jobs[:2], 101.0) == 0
    assert pause_after_trouble(jobs, 103.0) == 120
    assert pause_after_trouble(jobs, 1000.0) == 0
    launcher.step()
    for job in ("1", "2"):
        launcher.scheduler.facts[job] = QueueFacts(QueueState.SCRATCH_FULL, "no space left")
    done = launcher.step()
    assert done.submitted == ()
    (why,) = done.pauses.values()
    assert "scratch full: no space left" in why


def test_nothing_is_submitted_for_a_paused_campaign_and_a_cancelled_one_leaves_the_queue(launcher):
    pause(launcher.store)
    assert launcher.step().submitted == ()
    launcher.store.database.controls.delete_many({})
    launcher.step()
    cancel(launcher.store, scheduler=lambda name: FakeScheduler())
    launcher.step()
    launcher.step()
    assert {job.state for job in queue_jobs(launcher.store)} == {QueueState.CANCELLED}


def test_a_second_launcher_is_refused_while_the_first_lives(launcher):
    launcher.step()
    second = Launcher(launcher.store, profile(), scheduler=launcher.scheduler)
    second._name = "another"
    with pytest.raises(InputError, match=f"process {os.getpid()}"):
        second.step()
    leases = launcher.store.database.launchers
    leases.update_one({}, {"$set": {"host": "elsewhere"}})
    with pytest.raises(InputError, match="elsewhere"):
        second.step()
    leases.update_one({}, {"$set": {"at": time.time() - 3600}})
    second.step()


def test_a_submission_that_is_refused_is_told_at_once_and_later_tried_again(launcher, monkeypatch):
    submit = launcher.scheduler.submit
    refusals = iter([True, False])

    def refuse_once(script):
        if next(refusals, False):
            raise SchedulerError("sbatch failed with status 1: invalid partition specified: nromal")
        return submit(script)

    monkeypatch.setattr(launcher.scheduler, "submit", refuse_once)
    with pytest.raises(SchedulerError, match="nromal"):
        launcher.run(lambda done: None)
    assert list(launcher.folder.iterdir()) == []
    refusals = iter([False, True])
    stop = threading.Event()
    rounds = []

    def watch(done) -> None:
        rounds.append(done)
        launcher.max_jobs = 3
        if len(queue_jobs(launcher.store)) == 3:
            stop.set()

    launcher.max_jobs = 1
    launcher.run(watch, stop)
    assert len(queue_jobs(launcher.store)) == 3
    assert next(refusals, "all used") == "all used"


def test_it_runs_until_nothing_is_left_or_it_is_stopped(launcher):
    rounds = []

    def end_everything(done) -> None:
        rounds.append(done)
        launcher.store.database.fireworks.update_many({}, {"$set": {"state": "COMPLETED"}})
        for job in launcher.scheduler.facts:
            launcher.scheduler.facts[job] = QueueFacts(QueueState.FINISHED, "slurm: COMPLETED")

    launcher.run(end_everything)
    assert len(rounds) == 2
    assert launcher.store.database.launchers.find_one() is None
    stopped = threading.Event()
    stopped.set()
    launcher.run(lambda done: pytest.fail("it was stopped before"), stopped)
