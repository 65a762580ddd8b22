import os
import threading
import time
from pathlib import Path

import pytest

from ionloop.core.errors import InputError
from ionloop.core.processes import process_name
from ionloop.workflows.queue.cluster_profile import ClusterProfile
from ionloop.workflows.queue.launcher import Launcher, pause_after_trouble, wanted_jobs
from ionloop.workflows.queue.pilot_settings import read_pilot_settings
from ionloop.workflows.queue.queue_jobs import QueueJob, adopt_queue_job, note_pilot_end, queue_jobs, reconcile
from ionloop.workflows.queue.schedulers.base import QueueFacts, QueueState, SchedulerError, UnclearSubmission
from ionloop.workflows.watching.control import cancel, pause
from ionloop.workflows.watching.status import campaign_status


class FakeScheduler:
    """Keeps jobs in a dictionary; a job is pending until a test says what became of it."""

    name = "slurm"

    def __init__(self) -> None:
        self.facts: dict[str, QueueFacts] = {}
        self.scripts: list[Path] = []
        self.names: dict[str, str] = {}
        self.is_away = False

    def directives(self, wanted, further):
        return []

    def clusters(self, further) -> str:
        return ""

    def submit(self, script: Path) -> str:
        self.scripts.append(script)
        job = str(len(self.scripts))
        self.facts[job] = QueueFacts(QueueState.PENDING, "slurm: PENDING")
        self.names[read_pilot_settings(script.with_suffix(".json")).name] = job
        return job

    def find(self, name: str, clusters: str = "") -> str | None:
        if self.is_away:
            raise SchedulerError("squeue failed with status 1: connection refused")
        return self.names.get(name)

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
    leases.update_one({}, {"$set": {"host": "elsewhere", "owner": "elsewhere-0123456789-1-1", "machine": ""}})
    with pytest.raises(InputError, match="elsewhere"):
        second.step()


@pytest.mark.parametrize("error_s", [3600.0, -3600.0])
def test_a_lease_of_another_host_whose_clock_is_wrong_is_looked_at_before_it_is_taken(launcher, monkeypatch, error_s):
    launcher.step()
    leases = launcher.store.database.launchers
    there = {"host": "elsewhere", "owner": "elsewhere-0123456789-1-1", "machine": "", "at": time.time() - error_s}
    leases.update_one({}, {"$set": there})
    monkeypatch.setattr("ionloop.workflows.queue.launcher.LONGEST_WATCH_S", 0.5)
    second = Launcher(launcher.store, profile(), scheduler=launcher.scheduler)
    second._name = "another"
    renewal = threading.Timer(0.1, leases.update_one, [{}, {"$inc": {"at": 30.0}}])
    renewal.start()
    with pytest.raises(InputError, match="elsewhere"):
        second.step()
    renewal.join()
    second.step()
    assert leases.find_one()["owner"] == "another"


def test_a_submission_that_is_refused_is_told_at_once_and_later_tried_again(launcher, monkeypatch):
    submit = launcher.scheduler.submit
    refusals = iter([True, False])

    def refuse_once(script):
        if next(refusals, False):
            raise SchedulerError("sbatch failed with status 1: invalid partition specified: nromal")
        return submit(script)

    monkeypatch.setattr(launcher.scheduler, "submit", refuse_once)
    launcher.first_pause_s = 0.3
    launcher.max_jobs = 1
    with pytest.raises(SchedulerError, match="nromal"):
        launcher.run(lambda done: None)
    assert list(launcher.folder.iterdir()) == []
    (refused,) = queue_jobs(launcher.store)
    assert (refused.state, refused.reason[-6:]) == (QueueState.REFUSED, "nromal")
    done = launcher.step()
    assert any("nromal" in why for why in done.pauses.values()), "not again at every look"
    launcher.max_jobs = 3
    wait_for(lambda: launcher.step() and len(launcher.scheduler.facts) == 3)
    assert next(refusals, "all used") == "all used"


@pytest.fixture
def answers(launcher, monkeypatch):
    """Let the launcher have one place, and submissions end as a test says: taken or not, and what is answered."""
    submit = launcher.scheduler.submit
    launcher.max_jobs = 1

    def answer(error: SchedulerError, *, is_taken: bool) -> None:
        def submit_and_say(script):
            if is_taken:
                submit(script)
            raise error

        monkeypatch.setattr(launcher.scheduler, "submit", submit_and_say)

    return answer


TIMED_OUT = "sbatch failed with status 1: Socket timed out on send/recv operation"


@pytest.mark.parametrize("error", [SchedulerError("a wrapper's error"), UnclearSubmission(TIMED_OUT)])
def test_what_is_in_the_queue_was_submitted_whatever_was_answered(launcher, answers, error):
    answers(error, is_taken=True)
    assert launcher.step().submitted == ("slurm-1",)
    assert launcher.step().submitted == ()
    assert len(launcher.scheduler.scripts) == 1
    (job,) = queue_jobs(launcher.store)
    assert (job.state, job.job) == (QueueState.PENDING, "1")


def test_a_number_in_an_unclear_answer_is_the_job(launcher, answers):
    answers(UnclearSubmission("sbatch failed with status 3: its log is full", "1;far"), is_taken=False)
    assert launcher.step().submitted == ("slurm-1@far",)
    (job,) = queue_jobs(launcher.store)
    assert job.reference == "1;far"


def test_a_class_whose_submission_is_unclear_is_fed_no_more_and_its_job_s_files_stay(launcher, answers, monkeypatch):
    answers(UnclearSubmission(TIMED_OUT), is_taken=True)
    # The queue does not tell its jobs' names.
    monkeypatch.setattr(launcher.scheduler, "find", lambda *_: (_ for _ in ()).throw(SchedulerError("no names")))
    for _ in range(3):
        done = launcher.step()
        assert done.submitted == ()
    assert len(launcher.scheduler.scripts) == 1
    assert any("maybe submitted" in why and "Socket timed out" in why for why in done.pauses.values())
    assert campaign_status(launcher.store).queue == {"maybe submitted": 1}
    assert {path.suffix for path in launcher.folder.iterdir()} == {".json", ".sh"}
    # Also when its pause is over it takes a place: there are never more jobs than allowed.
    launcher.first_pause_s = 0.0
    assert any("counted" in why for why in launcher.step().pauses.values()) or launcher.step().submitted == ()
    assert len(launcher.scheduler.scripts) == 1
    monkeypatch.undo()
    launcher.step()
    (job,) = queue_jobs(launcher.store)
    assert (job.id, job.state) == ("slurm-1", QueueState.PENDING)


def test_what_the_queue_surely_does_not_have_is_submitted_again_after_the_pause(launcher, answers, monkeypatch):
    answers(UnclearSubmission(TIMED_OUT), is_taken=False)
    launcher.step()
    launcher.first_pause_s = 0.0
    monkeypatch.undo()
    done = launcher.step()
    assert len(done.submitted) == 1
    assert sorted(job.state for job in queue_jobs(launcher.store)) == [QueueState.REFUSED, QueueState.PENDING]


def test_a_launcher_that_was_killed_while_it_submitted_finds_the_job_by_its_name(launcher, monkeypatch):
    launcher.max_jobs = 1
    submit = launcher.scheduler.submit

    class Killed(BaseException):
        pass

    def submit_and_die(script):
        submit(script)
        monkeypatch.setattr(launcher, "_forget", lambda *_: None)
        raise Killed

    monkeypatch.setattr(launcher.scheduler, "submit", submit_and_die)
    with pytest.raises(Killed):
        launcher.step()
    monkeypatch.undo()
    again = Launcher(launcher.store, profile(), max_jobs=1, scheduler=launcher.scheduler)
    assert again.step().submitted == ()
    (job,) = queue_jobs(launcher.store)
    assert job.id == "slurm-1"


def test_a_pilot_makes_clear_what_became_of_its_submission(launcher, answers, monkeypatch):
    answers(UnclearSubmission(TIMED_OUT), is_taken=True)
    monkeypatch.setattr(launcher.scheduler, "find", lambda *_: None)
    launcher.step()
    (announced,) = queue_jobs(launcher.store)
    pilot = announced.model_copy(update={"id": "slurm-1", "job": "1", "state": QueueState.RUNNING})
    assert adopt_queue_job(launcher.store, pilot) == "slurm-1"
    # A server of PBS may call it otherwise.
    late = announced.model_copy(update={"id": "slurm-1.pbs", "job": "1.pbs", "state": QueueState.PENDING})
    assert adopt_queue_job(launcher.store, late) == "slurm-1"
    (job,) = queue_jobs(launcher.store)
    assert (job.id, job.job, job.state) == ("slurm-1", "1.pbs", QueueState.RUNNING)


def test_an_unclear_submission_of_a_cancelled_campaign_is_cancelled_where_it_is_found(launcher, answers, monkeypatch):
    answers(UnclearSubmission(TIMED_OUT), is_taken=True)
    find = launcher.scheduler.find
    monkeypatch.setattr(launcher.scheduler, "find", lambda *_: None)
    launcher.step()
    monkeypatch.setattr(launcher.scheduler, "find", find)
    _, cancelled = cancel(launcher.store, scheduler=lambda _: launcher.scheduler)
    assert cancelled == ["slurm-1"]
    launcher.scheduler.facts.clear()
    moment = time.time()
    for later in (100, 200):
        changed = reconcile(launcher.store, launcher.scheduler, moment=moment + later)
    assert [job.state for job in changed] == [QueueState.CANCELLED]


def test_an_empty_answer_of_the_queue_takes_no_job_from_a_pilot_whose_workers_live(launcher):
    launcher.max_jobs = 1
    launcher.step()
    (job,) = queue_jobs(launcher.store)
    workers = launcher.store.workers
    workers.insert_one({"_id": process_name(os.getpid()), "queue_job": job.id, "state": "running", "heartbeat": 0.0})
    launcher.scheduler.facts.clear()
    moment = time.time()
    for later in (100, 200, 5000):
        assert reconcile(launcher.store, launcher.scheduler, moment=moment + later) == []
    # Without living workers it is not gone before that was seen for a while, and never for one strange answer.
    workers.delete_many({})
    assert reconcile(launcher.store, launcher.scheduler, moment=moment + 6000) == []
    launcher.scheduler.facts[job.job] = QueueFacts(QueueState.PENDING, "slurm: PENDING")
    reconcile(launcher.store, launcher.scheduler, moment=moment + 6030)
    launcher.scheduler.facts.clear()
    assert reconcile(launcher.store, launcher.scheduler, moment=moment + 6100) == []
    (gone,) = reconcile(launcher.store, launcher.scheduler, moment=moment + 6200)
    assert gone.state is QueueState.VANISHED


def test_without_accounting_a_pilot_s_own_word_tells_an_end_in_order(launcher):
    launcher.max_jobs = 1
    launcher.step()
    (job,) = queue_jobs(launcher.store)
    note_pilot_end(launcher.store, job.id, QueueState.FINISHED, "nothing left to run")
    launcher.scheduler.facts.clear()
    (ended,) = reconcile(launcher.store, launcher.scheduler)
    assert (ended.state, ended.reason) == (QueueState.FINISHED, "nothing left to run")
    assert pause_after_trouble([ended], time.time()) == 0


def test_an_unknown_campaign_is_told_before_anything_starts(launcher):
    with pytest.raises(InputError, match="did you mean 'small'"):
        Launcher(launcher.store, profile(), campaign="smal", scheduler=FakeScheduler())


def wait_for(condition, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


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
