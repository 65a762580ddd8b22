import contextlib
import os
import signal
import sys
import time

import psutil
import pytest
from fireworks import FWorker
from forked import Forked

from ionloop.core.processes import process_name
from ionloop.core.states import State
from ionloop.sampling.trajectory import read_frames
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.loop.task_registry import resumable_kinds
from ionloop.workflows.queue.queue_jobs import QueueJob, adopt_queue_job, queue_jobs, reconcile, settled_facts
from ionloop.workflows.queue.schedulers.base import QueueFacts, QueueState
from ionloop.workflows.running.job_logs import lines_about
from ionloop.workflows.running.lost_jobs import Loss, losses_by_cause, put_back, recover_lost_jobs
from ionloop.workflows.running.worker_limits import WorkerLimits, admitted_kinds, end_of_allocation
from ionloop.workflows.watching.ledger import failures, group_failures
from ionloop.workflows.watching.status import campaign_status

WAIT_S = 120.0
"""A machine that does much else takes its time; nothing here needs so long by itself."""
JOB = {"scheduler": "slurm", "campaign": "small", "resources": "labels", "cores": 4, "log": "", "submitted": 1000.0}


class FakeScheduler:
    name = "slurm"

    def __init__(self, facts: dict[str, QueueFacts]) -> None:
        self.facts = facts

    def ask(self, jobs):
        return {job: self.facts[job] for job in jobs if job in self.facts}


def start_job(small, worker: str, queue_job: str = "slurm-7") -> int:
    """Let a worker on another host, whose heart beats, take a job; return the launch."""
    document = {"_id": worker, "host": "elsewhere", "pid": 1, "heartbeat": time.time(), "state": "running"}
    small.store.workers.replace_one({"_id": worker}, {**document, "queue_job": queue_job}, upsert=True)
    _, launch = small.store.launchpad.checkout_fw(FWorker(name=worker), "/")
    return launch


@pytest.mark.parametrize(
    "state",
    [
        QueueState.CANCELLED,
        QueueState.PREEMPTED,
        QueueState.NODE_FAILED,
        QueueState.OUT_OF_MEMORY,
        QueueState.TIMED_OUT,
        QueueState.SCRATCH_FULL,
        QueueState.VANISHED,
    ],
)
def test_the_end_of_a_queue_job_gives_back_its_jobs_at_once_with_the_scheduler_s_reason(small, state):
    small.submit()
    adopt_queue_job(small.store, QueueJob(id="slurm-7", job="7", **JOB))
    start_job(small, "there")
    assert recover_lost_jobs(small.store) == [], "its heart beats"
    (changed,) = reconcile(small.store, FakeScheduler({"7": QueueFacts(state, "slurm: its own words")}))
    assert (changed.state, changed.reason) == (state, "slurm: its own words")
    assert losses_by_cause(small.store, "small") == {state.value: 1}
    assert "RUNNING" not in small.job_states().values()
    assert campaign_status(small.store).losses == {state.value: 1}
    assert reconcile(small.store, FakeScheduler({})) == [], "an ended job is asked for no more"


def test_a_job_that_exceeds_its_memory_again_and_again_is_given_up_and_a_pre_empted_one_never(small):
    small.submit()
    for state, times in ((QueueState.PREEMPTED, 5), (QueueState.OUT_OF_MEMORY, 3)):
        for _ in range(times):
            launch = start_job(small, "there")
            put_back(small.store, launch, Loss(state, "slurm: words", blame=state is QueueState.OUT_OF_MEMORY))
    (failure,) = failures(small.store)
    assert failure.state.value == "killed"
    assert failure.reason == "exceeded memory: slurm: words; given up after 3 times"


def test_a_dead_worker_s_job_is_left_to_its_supervisor_while_that_one_lives(small):
    small.submit()
    mine = process_name(os.getpid())
    dead = mine.rsplit("-", 2)[0] + f"-{2**22 - 1}"
    start_job(small, f"{dead}-1")
    for supervisor, recovered in ((mine, 0), (f"{dead}-2", 1)):
        changes = {"supervisor": supervisor}
        small.store.workers.update_many({}, {"$set": changes})
        assert len(recover_lost_jobs(small.store)) == recovered


def test_what_two_find_at_once_is_put_back_once(small):
    small.submit()
    launch = start_job(small, "there")
    assert put_back(small.store, launch, Loss("x", "y")) is not None
    assert put_back(small.store, launch, Loss("x", "y")) is None
    second = start_job(small, "there")
    small.store.database.launches.update_one({"launch_id": second}, {"$set": {"claimed": time.time()}})
    assert put_back(small.store, second, Loss("x", "y")) is None, "somebody else is at it"
    small.store.database.launches.update_one({"launch_id": second}, {"$set": {"claimed": time.time() - 3600}})
    assert put_back(small.store, second, Loss("x", "y")) is not None, "who was at it has died"
    assert losses_by_cause(small.store, "small") == {"x": 2}


def test_a_launch_that_cannot_be_put_back_keeps_no_other_from_it(small, caplog):
    small.submit()
    small.store.database.launches.insert_one({"launch_id": 900, "fw_id": 900, "state": "RUNNING"})
    launch = start_job(small, "there")
    small.store.workers.delete_many({})
    (key,) = recover_lost_jobs(small.store)
    number = small.store.database.launches.find_one({"launch_id": launch})["fw_id"]
    assert small.store.database.fireworks.find_one({"fw_id": number})["spec"]["key"] == key
    assert "launch 900 cannot be put back" in caplog.text


def test_the_job_of_a_recovery_that_was_killed_half_way_is_not_taken_from_its_next_worker(small):
    small.submit()
    launch = start_job(small, "there")
    firework = small.store.database.launches.find_one({"launch_id": launch})["fw_id"]
    small.store.launchpad.rerun_fw(firework)
    second = start_job(small, "next")
    assert small.store.database.launches.find_one({"launch_id": second})["fw_id"] == firework
    put_back(small.store, launch, Loss("x", "y"))
    assert small.store.database.fireworks.find_one({"fw_id": firework})["state"] == "RUNNING"
    assert small.store.database.launches.find_one({"launch_id": launch})["state"] == "FIZZLED"


@pytest.mark.parametrize(
    ("facts", "pilot", "age_s", "expected"),
    [
        (None, None, 10, None),
        (None, None, 100, QueueState.VANISHED),
        (None, QueueState.SCRATCH_FULL, 100, QueueState.SCRATCH_FULL),
        (QueueFacts(QueueState.FAILED, "exit code 1"), QueueState.SCRATCH_FULL, 1, QueueState.SCRATCH_FULL),
        (QueueFacts(QueueState.FAILED, "slurm: FAILED, exit code 75"), None, 1, QueueState.SCRATCH_FULL),
        (QueueFacts(QueueState.TIMED_OUT, ""), QueueState.FAILED, 1, QueueState.TIMED_OUT),
        (QueueFacts(QueueState.PENDING, ""), None, 1, None),
    ],
)
def test_the_pilot_s_own_word_explains_a_failure_that_the_scheduler_cannot(facts, pilot, age_s, expected):
    job = QueueJob(id="slurm-7", job="7", pilot_state=pilot, pilot_reason="disk", **JOB)
    settled = settled_facts(job, facts, job.submitted + age_s)
    assert (settled and settled.state) == expected


def test_the_log_tells_of_memory_where_slurm_says_only_that_the_job_failed(tmp_path):
    log = tmp_path / "job.log"
    log.write_text(
        "slurmstepd-n1: error: StepId=7.batch exceeded memory limit (759537664 > 524288000), being killed\n"
        "slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-25T23:29:08 ***\n"
        "slurmstepd-n1: error: Exceeded job memory limit\n"
    )
    job = QueueJob(id="slurm-7", job="7", **{**JOB, "log": str(log)})
    failed = QueueFacts(QueueState.FAILED, "slurm: FAILED, JobLaunchFailure, on n1, signal 9")
    settled = settled_facts(job, failed, job.submitted + 1)
    assert settled.state is QueueState.OUT_OF_MEMORY
    assert "759537664 > 524288000" in settled.reason
    assert "JobLaunchFailure" in settled.reason
    cancelled = QueueFacts(QueueState.CANCELLED, "slurm: CANCELLED")
    assert settled_facts(job, cancelled, job.submitted + 1).state is QueueState.CANCELLED


def test_a_pilot_that_starts_before_its_submission_is_recorded_is_recorded_once(small):
    first = QueueJob(id="slurm-7", job="7", **JOB)
    adopt_queue_job(small.store, first.model_copy(update={"state": QueueState.RUNNING}))
    adopt_queue_job(small.store, first)
    (known,) = queue_jobs(small.store)
    assert known.state is QueueState.RUNNING


# -- time ------------------------------------------------------------------------------------------------------------

LIMITS = WorkerLimits(kinds=frozenset({"label", "sample"}), ends_at=1000.0, margin_s=100.0, longest_s=300.0)


@pytest.mark.parametrize(
    ("moment", "fresh", "kinds"),
    [
        (500.0, False, {"label", "sample"}),
        (700.0, False, {"sample"}),
        (700.0, True, {"label", "sample"}),
        (900.0, True, set()),
        (2000.0, False, set()),
    ],
)
def test_near_its_end_a_worker_takes_only_what_fits_or_can_carry_on_elsewhere(moment, fresh, kinds):
    assert admitted_kinds(LIMITS, moment, fresh=fresh) == kinds


def test_without_a_choice_of_kinds_all_are_taken_and_near_the_end_the_resumable():
    anything = WorkerLimits(ends_at=1000.0, margin_s=100.0, longest_s=300.0)
    assert admitted_kinds(anything, 0.0, fresh=False) is None
    assert admitted_kinds(anything, 700.0, fresh=False) == resumable_kinds()
    assert admitted_kinds(WorkerLimits(), 1e12, fresh=False) is None


def test_the_end_of_an_allocation_is_slurm_s_word_or_the_profile_s():
    assert end_of_allocation(60.0, {"SLURM_JOB_END_TIME": "1700000000"}) == 1_700_000_000
    assert end_of_allocation(None, {}) is None
    assert end_of_allocation(60.0, {}) == pytest.approx(time.time() + 60, abs=5)


def wait_for(condition, limit_s: float = 2 * WAIT_S):
    end = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def start_worker(small, prelude: str = "") -> Forked:
    where = ["--store", small.store.location, "--root", str(small.store.root)]
    return Forked(["worker", *where], small.folder / "worker.log", prelude)


def hang(small) -> None:
    """Let the engine be a program that never ends."""
    program = small.folder / "engine.py"
    program.write_text("import time; time.sleep(600)")
    reference = {"engine": "command", "executable": f"{sys.executable} {program}"}
    small.campaign = Campaign.model_validate(small.settings(reference=reference))


def keep_only(small, kind: str) -> None:
    wanted = {"spec.kind": {"$ne": kind}, "state": "READY"}
    small.store.database.fireworks.update_many(wanted, {"$set": {"state": "PAUSED"}})


def test_a_worker_that_is_asked_to_leave_puts_its_label_back_and_ends_in_order(small):
    hang(small)
    small.submit()
    keep_only(small, "isolated-atom")
    jobs = small.store.database.fireworks
    process = start_worker(small)
    wait_for(lambda: jobs.find_one({"state": "RUNNING"}))
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0
    assert jobs.find_one({"state": "RUNNING"}) is None
    assert losses_by_cause(small.store, "small") == {"asked to leave": 1}
    (worker,) = small.store.workers.find()
    assert worker["state"] == "ended"


# A signal comes when a job has ended, and before that is written down.
SIGNALLED_AT_THE_END = """
import os, signal, time
from ionloop.store.jobs.launchpad import StoreLaunchPad

record = StoreLaunchPad.complete_launch

def complete_launch(self, *arguments, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2.0)
    return record(self, *arguments, **options)

StoreLaunchPad.complete_launch = complete_launch
"""


def test_a_job_that_ends_while_its_worker_is_asked_to_leave_has_ended(small):
    small.submit()
    keep_only(small, "isolated-atom")
    process = start_worker(small, SIGNALLED_AT_THE_END)
    assert process.wait(WAIT_S) == 0, (small.folder / "worker.log").read_text()
    ended = list(small.store.database.fireworks.find({"state": "COMPLETED"}))
    assert [job["spec"]["kind"] for job in ended] == ["isolated-atom"]
    assert [launch["state"] for launch in small.store.database.launches.find()] == ["COMPLETED"]
    assert losses_by_cause(small.store, "small") == {}
    (worker,) = small.store.workers.find()
    assert worker["state"] == "ended"


def test_a_worker_that_waits_writes_no_log(small):
    small.submit()
    keep_only(small, "isolated-atom")
    jobs = small.store.database.fireworks
    held = jobs.find_one({"state": "READY"})["fw_id"]
    jobs.update_one({"fw_id": held}, {"$set": {"state": "RESERVED"}})
    process = start_worker(small)
    wait_for(lambda: jobs.find_one({"state": "READY"}) is None and jobs.find_one({"state": "RUNNING"}) is None)
    before = (small.folder / "worker.log").read_text()
    time.sleep(2.0)
    assert process.poll() is None
    assert (small.folder / "worker.log").read_text() == before
    assert "started" in before
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0


def written_frames(small) -> int:
    paths = small.store.root.glob("trajectories/*.traj")
    return sum(len(read_frames(path)) for path in paths if path.stat().st_size)


def test_an_engine_that_dies_of_the_scheduler_s_signal_is_no_killed_label(small):
    hang(small)
    small.submit()
    keep_only(small, "isolated-atom")
    jobs = small.store.database.fireworks
    process = start_worker(small)
    wait_for(lambda: jobs.find_one({"state": "RUNNING"}))
    engine = wait_for(lambda: [one for one in processes_below(process.pid) if "engine.py" in str(one.cmdline())])[0]
    # Schedulers signal everything in a job, in no order: here the engine first.
    for one in [engine, *reversed(processes_below(process.pid)), psutil.Process(process.pid)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.terminate()
        time.sleep(0.1)
    assert process.wait(WAIT_S) == 0
    assert small.store.labels.count() == 0
    assert failures(small.store) == []
    assert jobs.find_one({"state": "RUNNING"}) is None


def processes_below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.slow
def test_molecular_dynamics_leaves_at_a_written_frame_and_carries_on_from_there(small):
    steps = {"count": 10_000, "every": 10}
    settings = small.settings(
        reference={"engine": "command", "calculator": "ase.calculators.emt:EMT"},
        initial={"molecular_dynamics": steps, "lithium_monte_carlo": {"count": 2}},
    )
    small.campaign = Campaign.model_validate(settings)
    small.submit()
    keep_only(small, "initial-molecular-dynamics")
    frames = 0
    for _ in range(2):
        process = start_worker(small)
        wait_for(lambda seen=frames: written_frames(small) > seen + 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        assert written_frames(small) > frames + 2
        frames = written_frames(small)
    assert losses_by_cause(small.store, "small") == {"asked to leave": 2}
    job = small.store.database.fireworks.find_one({"spec.kind": "initial-molecular-dynamics"})
    assert job["state"] == "READY"
    assert not job["spec"].get("crashes")


def test_failures_that_ended_alike_are_one_group(small):
    small.submit()
    for number in (1, 2):
        launch = start_job(small, "there")
        small.store.database.fireworks.update_many({}, {"$set": {"spec.kind": "label"}})
        put_back(small.store, launch, Loss("worker crashed", f"signal {number}", blame=True), max_crashes=1)
    killed = [failure for failure in failures(small.store) if failure.state is State.KILLED]
    (group,) = group_failures(killed)
    assert group.failures == killed
    assert len(killed) == 2
    assert group.reason.startswith("worker crashed: signal")


def test_the_lines_of_a_job_are_told_from_those_of_others_in_its_worker_s_log():
    log = [
        "t a started",
        "t one",
        "t b started",
        "t two",
        "t a started",
        "t three",
        "t a failed",
        "t c started",
        "t four",
    ]
    assert lines_about(log, "a") == ["t a started", "t three", "t a failed"]
    assert lines_about(log, "a", count=1) == ["t a failed"]
    assert lines_about(log, "nothing") == []


def test_a_log_outside_of_the_store_is_not_read(small):
    small.submit()
    launch = start_job(small, "there")
    small.store.database.workers.update_one({"_id": "there"}, {"$set": {"log": "/etc/passwd"}})
    put_back(small.store, launch, Loss("x", "y", blame=True), max_crashes=1)
    assert all(failure.log == [] for failure in failures(small.store))
