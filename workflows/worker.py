"""The worker: runs ready jobs of a store, one after the other, until none is left.

A worker may be killed at any moment. Its name tells the host, the process and when that started, so that
whoever looks later can tell whether it still lives; jobs of dead workers go back to the queue.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from fireworks import FWorker
from fireworks.core import rocket as fireworks_rocket
from fireworks.core.rocket_launcher import launch_rocket

from ..errors import IonloopError
from ..store.connection import Store, host_name
from ..tasks.context import TaskContext, task_context
from .registry import admit_registered_tasks

HEARTBEAT_S = 20.0
HEARTBEATS_MISSED = 15
POLL_S = 0.15
ENVIRONMENT_EXIT = 75
_PR_SET_PDEATHSIG = 1


def process_start(pid: int) -> str:
    """Return when a process started, exactly alike for whoever asks.

    psutil's time is the wall clock's, which moves when the clock is set; the kernel's ticks do not.

    Raises
    ------
    psutil.NoSuchProcess
        If there is no such process.
    """
    if sys.platform != "linux":
        return str(round(psutil.Process(pid).create_time()))
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    # The command's name stands in parentheses and may hold anything; the start is field 22 of all.
    return text.rpartition(")")[2].split()[19]


def worker_name(pid: int) -> str:
    """Return a name that no other process, living or dead, has."""
    return f"{host_name()}-{pid}-{process_start(pid)}"


def is_dead(document: Mapping[str, Any], moment: float | None = None) -> bool:
    """Return whether the worker of that document is known to be gone.

    On this host the process table tells; elsewhere only a heart that has not beaten for five minutes does.
    """
    if document["host"] == host_name():
        try:
            return worker_name(document["pid"]) != document["_id"]
        except psutil.NoSuchProcess:
            return True
    silence_s = (moment or time.time()) - document["heartbeat"]
    return bool(silence_s > HEARTBEATS_MISSED * HEARTBEAT_S)


def die_with_parent_process() -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere the heartbeat must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """Runs jobs of one store in this process.

    Parameters
    ----------
    store
        The store.
    campaign
        Run jobs of this campaign only; of every campaign if None.
    """

    def __init__(self, store: Store, campaign: str | None = None) -> None:
        self.store = store
        self.name = worker_name(os.getpid())
        self._query = {"spec.campaign": campaign} if campaign else {}
        self._fworker = FWorker(name=self.name, query=self._query)
        self._stop = threading.Event()

    def run(self, *, max_jobs: int = 0) -> int:
        """Run ready jobs until none is left or can become ready (or ``max_jobs`` are done); return how many.

        Raises
        ------
        IonloopError
            If the store or the disk fails: jobs are left as they were and run again later.
        """
        admit_registered_tasks()
        # FireWorks would write each job's specification into the working folder, and each poll into the log.
        fireworks_rocket.PRINT_FW_JSON = False
        fireworks_rocket.ROCKET_STREAM_LOGLEVEL = "CRITICAL"
        os.chdir(self.store.artefacts.folder(Path("workers")))
        self._register()
        heart = threading.Thread(target=self._beat, daemon=True)
        heart.start()
        context = TaskContext(self.store, worker=self.name, on_environment_failure=self._abandon)
        done = 0
        try:
            with task_context(context):
                while not self._stop.is_set() and (not max_jobs or done < max_jobs):
                    if self._run_one():
                        done += 1
                    elif self._others_run():
                        time.sleep(POLL_S)
                    else:
                        break
        finally:
            self._stop.set()
            self.store.workers.update_one({"_id": self.name}, {"$set": {"state": "ended", "progress": None}})
        return done

    def _run_one(self) -> bool:
        # FireWorks' rocket reports to the terminal; where a job went wrong is in its record instead.
        return bool(launch_rocket(self.store.launchpad, self._fworker, strm_lvl="CRITICAL"))

    def _others_run(self) -> bool:
        """Return whether a job runs elsewhere: its end may make others ready."""
        running = {**self._query, "state": {"$in": ["RUNNING", "RESERVED", "READY"]}}
        return self.store.database.fireworks.find_one(running, {"_id": 1}) is not None

    def _register(self) -> None:
        self.store.workers.replace_one(
            {"_id": self.name},
            {
                "_id": self.name,
                "host": host_name(),
                "pid": os.getpid(),
                "started": time.time(),
                "heartbeat": time.time(),
                "state": "running",
                "progress": None,
                "message": "",
            },
            upsert=True,
        )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            self.store.workers.update_one({"_id": self.name}, {"$set": {"heartbeat": time.time()}})

    def _abandon(self, reason: str) -> None:
        """Leave at once: the job stays this dead worker's and runs again after recovery."""
        sys.stderr.write(f"{reason}\n")
        sys.stderr.flush()
        os._exit(ENVIRONMENT_EXIT)


def leave_on_signal() -> None:
    """End this process at once on SIGTERM: a job in the middle of its work must run again, not fail.

    FireWorks records any exception, also that of an orderly exit, as the job's failure.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    # Ctrl-C reaches the whole process group; whoever started the workers decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def recover_lost_jobs(store: Store, *, crashed: frozenset[str] = frozenset(), max_crashes: int = 3) -> list[str]:
    """Put the running jobs of dead workers back into the queue; return their keys.

    Parameters
    ----------
    crashed
        Names of workers that died while their supervisor lived: what they ran is suspect. A job that took
        ``max_crashes`` workers down ends as killed. A job whose worker died with everything else (a
        reboot, a kill of the whole run) is not to blame, and is run again however often.

    Raises
    ------
    IonloopError
        If the store cannot be read.
    """
    admit_registered_tasks()
    recovered = []
    launches = store.database.launches.find({"state": "RUNNING"}, {"launch_id": 1, "fw_id": 1, "fworker": 1})
    for launch in list(launches):
        name = (launch.get("fworker") or {}).get("name", "")
        if name not in crashed and not launch_is_lost(store, launch):
            continue
        key = _recover(store, launch, blame=name in crashed, max_crashes=max_crashes)
        if key is not None:
            recovered.append(key)
    return recovered


def launch_is_lost(store: Store, launch: Mapping[str, Any]) -> bool:
    """Return whether the worker that a launch belongs to is unknown or dead."""
    worker = store.workers.find_one({"_id": (launch.get("fworker") or {}).get("name", "")})
    return worker is None or is_dead(worker)


def _recover(store: Store, launch: dict[str, Any], *, blame: bool, max_crashes: int) -> str | None:
    with store.transaction():
        # Somebody else may have put it back since the list was read.
        if not store.database.launches.find_one({"launch_id": launch["launch_id"], "state": "RUNNING"}):
            return None
        firework = store.database.fireworks.find_one({"fw_id": launch["fw_id"]})
        if firework is None:
            raise IonloopError(f"launch {launch['launch_id']} belongs to no job; run `ionloop repair`")
        crashes = int(firework["spec"].get("crashes", 0)) + blame
        store.database.fireworks.update_one({"fw_id": launch["fw_id"]}, {"$set": {"spec.crashes": crashes}})
        # A rerun alone would leave the old launch RUNNING for ever.
        store.launchpad.mark_fizzled(launch["launch_id"])
        if crashes < max_crashes:
            store.launchpad.rerun_fw(launch["fw_id"])
    return str(firework["spec"].get("key", launch["fw_id"]))
