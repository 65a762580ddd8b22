"""The lock of a workflow: held by one, waited for while its holder lives, taken over when that is dead."""

from __future__ import annotations

import os
import threading
import time
from functools import partial

import pytest
from fireworks import FiretaskBase, Firework, Workflow
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core.launchpad import LockedWorkflowError
from fireworks.core.rocket_launcher import launch_rocket

from ionloop.core.processes import process_name
from ionloop.store.care.repair import repair
from ionloop.store.jobs import hearts, workflow_lock
from ionloop.store.jobs.launchpad import StoreLaunchPad, open_launchpad
from ionloop.store.jobs.registered_tasks import restricted_tasks
from ionloop.store.jobs.workflow_lock import WorkflowLock, has_dead_holder, lock_of_this_process

FIREWORK = 1
HOLD_S = 0.3
GONE = {"owner": process_name(os.getpid()).rsplit("-", 2)[0] + "-4194303-1", "host": "x", "pid": 4194303, "since": 0.0}


class NothingTask(FiretaskBase):
    _fw_name = "nothing"

    def run_task(self, fw_spec):
        return None


class ServerLikeLaunchPad(StoreLaunchPad):
    """FireWorks' own way of writing, one document after another, as on MongoDB."""

    is_embedded = False


@pytest.fixture
def launchpad(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workflow_lock, "SUSPICION_S", 0.0)
    opened = open_launchpad(tmp_path / "store.db")
    opened.__class__ = ServerLikeLaunchPad
    with restricted_tasks({"nothing": NothingTask}):
        first = Firework(NothingTask(), name="first")
        opened.add_wf(Workflow([first, Firework(NothingTask(), name="second", parents=[first])]))
        yield opened
    opened.client.close()


def lock_in(launchpad):
    return launchpad.workflows.find_one({"nodes": FIREWORK}).get("locked")


def put(launchpad, lock):
    launchpad.workflows.update_one({"nodes": FIREWORK}, {"$set": {"locked": lock}})


def test_fireworks_takes_our_lock(launchpad):
    assert fireworks_launchpad.WFLock is WorkflowLock
    with WorkflowLock(launchpad, FIREWORK):
        assert lock_in(launchpad)["pid"] == os.getpid()
    assert lock_in(launchpad) is None


def test_a_workflow_that_is_written_keeps_the_name_of_its_holder(launchpad, monkeypatch):
    seen = []
    release = WorkflowLock.__exit__
    monkeypatch.setattr(
        WorkflowLock, "__exit__", lambda lock, *error: (seen.append(lock_in(launchpad)), release(lock, *error))[1]
    )
    assert launch_rocket(launchpad, strm_lvl="CRITICAL")
    assert len(seen) >= 2
    assert {lock["pid"] for lock in seen} == {os.getpid()}


def test_the_lock_of_a_dead_process_is_taken_over(launchpad):
    put(launchpad, GONE)
    assert launch_rocket(launchpad, strm_lvl="CRITICAL")
    assert launch_rocket(launchpad, strm_lvl="CRITICAL")
    assert {one["state"] for one in launchpad.fireworks.find()} == {"COMPLETED"}
    assert lock_in(launchpad) is None


def test_the_lock_of_a_living_process_is_waited_for(launchpad):
    put(launchpad, lock_of_this_process())
    release = threading.Timer(HOLD_S, launchpad.workflows.update_one, [{"nodes": FIREWORK}, {"$unset": {"locked": ""}}])
    release.start()
    started = time.monotonic()
    with WorkflowLock(launchpad, FIREWORK):
        assert time.monotonic() - started >= HOLD_S * 0.9
    release.join()


def test_a_lock_that_was_taken_without_an_answer_is_ours(launchpad):
    lock = WorkflowLock(launchpad, FIREWORK)
    put(launchpad, {**lock_of_this_process(), "token": lock._token})
    with lock:
        assert lock_in(launchpad)["token"] == lock._token


def test_a_lock_without_a_name_is_waited_for_as_fireworks_does(launchpad):
    put(launchpad, True)
    with pytest.raises(LockedWorkflowError), WorkflowLock(launchpad, FIREWORK, expire_secs=HOLD_S):
        pass
    assert lock_in(launchpad) is True


def test_a_workflow_that_is_not_there_is_no_reason_to_wait(launchpad):
    with pytest.raises(ValueError, match="Could not find workflow"), WorkflowLock(launchpad, 99):
        pass


def test_on_another_host_the_heart_tells_as_it_was_seen_here(launchpad, monkeypatch):
    lock = {"owner": "elsewhere-0123456789-7-1", "host": "elsewhere", "pid": 7, "since": 0.0}
    moments = iter(range(0, 10_000, 100))
    monkeypatch.setattr(workflow_lock, "is_dead", partial(hearts.is_dead, hearts=hearts.Hearts(lambda: next(moments))))
    launchpad.db.workers.insert_one({"_id": lock["owner"], "heartbeat": time.time() - 3600})
    assert [has_dead_holder(lock, launchpad.db.workers) for _ in range(5)] == [False] * 4 + [True]
    # While the server was away no heart could be heard.
    assert not has_dead_holder(lock, launchpad.db.workers, last_outage_end=550)
    launchpad.db.workers.update_one({}, {"$inc": {"heartbeat": 20.0}})
    assert not has_dead_holder(lock, launchpad.db.workers)


@pytest.mark.parametrize("lock", [True, None, {"owner": "x"}])
def test_who_does_not_say_his_name_is_not_known_to_be_dead(launchpad, lock):
    assert not has_dead_holder(lock, launchpad.db.workers)


def test_repair_leaves_the_locks_of_the_living(launchpad):
    put(launchpad, lock_of_this_process())
    assert not repair(launchpad, settle_s=0.0).unlocked_workflows
    put(launchpad, GONE)
    assert repair(launchpad, settle_s=0.0).unlocked_workflows
    assert lock_in(launchpad) is None
