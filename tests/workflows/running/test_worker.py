import errno
import os
import tempfile
import time
from pathlib import Path

import pytest
from fireworks import Firework, PyTask, ScriptTask, Workflow

from ionloop.core.processes import process_document, process_name, process_start
from ionloop.labelling.process.temporary import remove_leftovers, temporary_folder
from ionloop.labelling.scratch import ScratchError
from ionloop.sampling.trajectory import exclusive
from ionloop.store.embedded import StoreBusy, StoreError, StoreFull
from ionloop.store.jobs.hearts import HEARTBEAT_S, SILENCE_S, Hearts, is_dead
from ionloop.tasks.assess import ConcludeTask
from ionloop.tasks.base import IonloopTask, JobFailed, is_environment_failure
from ionloop.tasks.context import TaskContext, task_context
from ionloop.tasks.initial import INITIAL_DYNAMICS
from ionloop.tasks.sample import trajectory_identifier
from ionloop.workflows.loop import generation_loop
from ionloop.workflows.loop.generation_loop import GrowGeneration, GrowLabels
from ionloop.workflows.running.lost_jobs import BUSY_LIMIT_S, busy_pause_s, losses_by_cause, recover_lost_jobs
from ionloop.workflows.running.worker import Worker
from ionloop.workflows.running.worker_limits import WorkerLimits
from ionloop.workflows.watching.ledger import failures
from ionloop.workflows.watching.status import campaign_status


def worker_document(pid: int, name: str, heartbeat: float = 0.0) -> dict:
    return {"_id": name, **process_document(pid), "heartbeat": heartbeat}


def dead_name() -> str:
    """The name of a process of this machine that has ended."""
    start = process_start(os.getpid())
    return process_name(os.getpid()).removesuffix(f"{os.getpid()}-{start}") + f"{2**22 - 1}-1"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_heart_is_silent_for_as_long_as_it_was_looked_at_whatever_the_clocks_of_others_say():
    clock = Clock()
    hearts = Hearts(clock)
    there = worker_document(1, "elsewhere-0123456789-1-1", heartbeat=time.time() - 3600)
    assert not is_dead(there, hearts=hearts), "its clock may be an hour behind"
    while clock.now < 100 + SILENCE_S:
        clock.now += HEARTBEAT_S
        assert not is_dead(there, hearts=hearts)
    clock.now += HEARTBEAT_S
    assert is_dead(there, hearts=hearts)
    # A beat is a beat, also one of a clock that was set back.
    assert not is_dead({**there, "heartbeat": 7.0}, hearts=hearts)
    # Whoever was stopped for an hour has not looked for an hour.
    clock.now += 3600
    assert not is_dead({**there, "heartbeat": 7.0}, hearts=hearts)
    # While the server was away no heart could be heard.
    clock.now += 10 * HEARTBEAT_S
    assert hearts.silence_s("x", 1.0) == 0.0
    clock.now += HEARTBEAT_S
    assert hearts.silence_s("x", 1.0, last_outage_end=clock.now - 1) == 0.0


def start_first_job(small, worker: str) -> int:
    """Check a job out as a worker of that name would, and stop there as if killed."""
    from fireworks import FWorker

    firework, _ = small.store.launchpad.checkout_fw(FWorker(name=worker), "/")
    return firework.fw_id


def test_a_job_of_a_dead_worker_goes_back_to_the_queue_and_one_of_a_living_stays(small):
    small.submit()
    small.store.workers.insert_one(worker_document(os.getpid(), process_name(os.getpid())))
    living = start_first_job(small, process_name(os.getpid()))
    dead = start_first_job(small, dead_name())
    small.store.workers.insert_one(worker_document(2**22 - 1, dead_name()))
    recovered = recover_lost_jobs(small.store)
    jobs = {job["fw_id"]: job for job in small.store.database.fireworks.find()}
    assert recovered == [jobs[dead]["spec"]["key"]]
    assert jobs[dead]["state"] == "READY"
    assert jobs[living]["state"] == "RUNNING"
    assert recover_lost_jobs(small.store) == []


def test_a_job_that_takes_its_workers_down_ends_as_killed_but_one_killed_with_all_does_not(small):
    small.submit()
    for _ in range(5):
        start_first_job(small, "gone")
        recover_lost_jobs(small.store)
    assert failures(small.store) == []
    highest = None
    for _ in range(3):
        highest = start_first_job(small, "crashed")
        recover_lost_jobs(small.store, crashed=frozenset({"crashed"}))
    (failure,) = failures(small.store)
    assert failure.id == str(highest)
    assert failure.state.value == "killed"
    assert "3 times" in failure.reason
    assert campaign_status(small.store).jobs["killed"] == 1


FORBIDDEN = [
    ScriptTask.from_str("touch {marker}"),
    PyTask(func="os.mkdir", args=["{marker}"]),
]


@pytest.mark.parametrize("task", FORBIDDEN, ids=["script", "python"])
def test_a_worker_refuses_what_is_not_registered_and_says_so(small, task, tmp_path):
    small.submit()
    marker = tmp_path / "marker"
    text = str(task.to_dict()).replace("{marker}", str(marker))
    document = eval(text)
    firework = Firework([], spec={"_priority": 1000, "campaign": "small", "key": "evil", "kind": "x", "generation": 0})
    small.store.launchpad.add_wf(Workflow([firework]))
    small.store.database.fireworks.update_one({"spec.key": "evil"}, {"$set": {"spec._tasks": [document]}})
    Worker(small.store, "small").run(max_jobs=1)
    assert not marker.exists()
    (failure,) = failures(small.store)
    assert failure.key == "evil"
    assert document["_fw_name"] in failure.reason


class Failing(IonloopTask):
    _fw_name = "ionloop.failing"

    def execute(self, parameters, context):
        raise self.problem


@pytest.mark.parametrize(
    ("problem", "leaves"),
    [(OSError(errno.ENOSPC, "no space left"), True), (PermissionError(errno.EACCES, "x"), True), (ValueError(), False)],
)
def test_a_full_disk_stops_the_worker_and_any_other_error_only_the_job(small, problem, leaves):
    reasons = []
    context = TaskContext(small.store, on_environment_failure=reasons.append)
    task = Failing(parameters={"campaign": "small", "generation": 0})
    task.problem = problem
    with task_context(context), pytest.raises(JobFailed):
        task.run_task({})
    assert bool(reasons) == leaves


def test_the_cause_of_a_cause_counts():
    try:
        try:
            raise OSError(errno.EROFS, "read-only")
        except OSError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        assert is_environment_failure(error)
    assert not is_environment_failure(RuntimeError())
    assert is_environment_failure(ScratchError("a label's scratch folder is full"))
    # SQLite's own errors are no OSError: a label whose record has no room runs again, it has not failed.
    assert is_environment_failure(StoreFull("no space left for the store"))
    assert not is_environment_failure(StoreError("no store of this kind"))


def test_wrong_parameters_are_a_failed_job_with_a_reason(small):
    task = ConcludeTask(parameters={"campaign": "small", "generation": "many"})
    with task_context(TaskContext(small.store)), pytest.raises(JobFailed, match=r"wrong parameters.*generation"):
        task.run_task({})


def test_a_job_whose_trajectory_another_process_writes_goes_back_and_is_left_alone_for_a_while(small, monkeypatch):
    small.submit()
    jobs = small.store.database.fireworks
    jobs.update_many({"spec.kind": {"$ne": "initial-molecular-dynamics"}}, {"$set": {"state": "PAUSED"}})
    folder = small.store.artefacts.folder(Path("trajectories"))
    path = folder / f"{trajectory_identifier('small', 0, INITIAL_DYNAMICS)}.traj"
    monkeypatch.chdir(small.folder)
    with exclusive(path):
        assert Worker(small.store, "small", WorkerLimits(idle_s=1.0)).run() == 0
        (job,) = jobs.find({"spec.kind": "initial-molecular-dynamics"})
        assert (job["state"], job["spec"]["busy"]["times"]) == ("READY", 1), "once, and not again at once"
        assert failures(small.store) == []
        assert losses_by_cause(small.store, "small") == {"busy": 1}
        # Not for ever: a day later its failure counts.
        jobs.update_one({"fw_id": job["fw_id"]}, {"$inc": {"spec.busy.since": -2 * BUSY_LIMIT_S}})
        Worker(small.store, "small", WorkerLimits(idle_s=1.0)).run()
        (failure,) = failures(small.store)
        assert "another process is writing" in failure.reason
    assert [busy_pause_s(times) for times in (1, 2, 3, 99)] == [10, 20, 40, 600]


def test_a_job_that_fails_while_lost_files_are_made_again_waits_for_them(small, monkeypatch):
    small.submit()
    jobs = small.store.database.fireworks
    jobs.update_many({}, {"$set": {"state": "PAUSED"}})
    task = ConcludeTask(parameters={"campaign": "small", "generation": 0, "models": {"gap": "model-lost"}})
    place = {"campaign": "small", "key": "asks", "generation": 0, "kind": "conclude"}
    small.store.launchpad.add_wf(Workflow([Firework(task, spec=place)]))
    remade = {"spec.remakes": True, "state": "WAITING"}
    jobs.update_one({"spec.kind": "initial-molecular-dynamics"}, {"$set": remade})
    monkeypatch.chdir(small.folder)
    Worker(small.store, "small", WorkerLimits(idle_s=0.2)).run()
    assert jobs.find_one({"spec.key": "asks"})["state"] == "READY"
    assert failures(small.store) == []
    # Once they are there, or cannot be made, a failure is one.
    jobs.update_one({"spec.remakes": True}, {"$set": {"state": "FIZZLED"}})
    Worker(small.store, "small", WorkerLimits(idle_s=0.2)).run()
    assert jobs.find_one({"spec.key": "asks"})["state"] == "FIZZLED"


def test_a_store_that_is_held_for_long_ends_no_worker_and_no_job(small, monkeypatch, capsys):
    small.submit()
    jobs = small.store.database.fireworks
    jobs.update_many({"spec.kind": {"$ne": "initial-molecular-dynamics"}}, {"$set": {"state": "PAUSED"}})
    # The first look for a job, and the end of the first one.
    held = iter([True, False, True])

    def busy(method):
        def call(*arguments, **options):
            if next(held, False):
                raise StoreBusy("store: ionloop.db is held by another process")
            return method(*arguments, **options)

        return call

    launchpad = small.store.launchpad
    for name in ("checkout_fw", "complete_launch"):
        monkeypatch.setattr(launchpad, name, busy(getattr(launchpad, name)))
    monkeypatch.setattr("ionloop.workflows.running.worker.busy_pause_s", lambda times: 0.0)
    monkeypatch.chdir(small.folder)
    assert Worker(small.store, "small").run(max_jobs=1) == 1
    assert "waiting: store: ionloop.db is held" in capsys.readouterr().err
    assert jobs.find_one({"spec.kind": "initial-molecular-dynamics"})["state"] == "COMPLETED"


class Left(BaseException):
    """What stands for the end of the process."""


def test_a_full_store_at_the_end_of_a_job_ends_the_worker_and_not_the_job(small, monkeypatch):
    small.submit()
    jobs = small.store.database.fireworks
    jobs.update_many({"spec.kind": {"$ne": "initial-molecular-dynamics"}}, {"$set": {"state": "PAUSED"}})
    launchpad, reasons = small.store.launchpad, []
    finish = launchpad.complete_launch

    def full(*arguments, **options):
        # By when FireWorks says that the job failed there is room again.
        monkeypatch.setattr(launchpad, "complete_launch", finish)
        raise StoreFull("store: no space left on the disk")

    def leave(worker, reason):
        reasons.append(reason)
        raise Left

    monkeypatch.setattr(launchpad, "complete_launch", full)
    monkeypatch.setattr(Worker, "_abandon", leave)
    monkeypatch.chdir(small.folder)
    with pytest.raises(Left):
        Worker(small.store, "small").run(max_jobs=1)
    assert reasons == ["store: no space left on the disk"]
    assert jobs.find_one({"spec.kind": "initial-molecular-dynamics"})["state"] == "RUNNING"


@pytest.mark.parametrize("task", [GrowLabels, GrowGeneration])
def test_a_full_store_while_the_graph_grows_ends_the_worker(small, monkeypatch, task):
    small.submit()
    reasons = []
    monkeypatch.setattr(generation_loop, "_growth", lambda *given, **options: (_ for _ in ()).throw(StoreFull("full")))
    monkeypatch.setattr(generation_loop, "next_graph", lambda *given: None)
    context = TaskContext(small.store, on_environment_failure=reasons.append)
    with task_context(context), pytest.raises(StoreFull):
        task(campaign="small", generation=0).run_task({"data_set": "x"})
    assert reasons == ["full"]


def test_temporary_folders_of_dead_processes_are_removed_and_those_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    elsewhere = tmp_path / "ionloop-of-elsewhere-0123456789-1-1.x"
    dead = tmp_path / f"ionloop-of-{dead_name()}.x"
    for folder in (elsewhere, dead, tmp_path / "ionloop-x"):
        folder.mkdir()
        (folder / "output").touch()
    with temporary_folder() as mine:
        assert remove_leftovers() == [dead]
        assert mine.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {elsewhere.name, "ionloop-x"}
