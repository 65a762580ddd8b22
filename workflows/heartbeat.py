"""Who a worker is, and how others learn that it has died.

A worker's name tells host, process and when that started. On its own host the process table tells whether it lives;
elsewhere its heart does, which beats in the store, and its queue job, which the scheduler knows about.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from ..store.connection import Store, host_name

HEARTBEAT_S = 20.0
HEARTBEATS_MISSED = 15
ENVIRONMENT_EXIT = 75
"""Exit status of a worker, or of a pilot, whose machine is at fault: a full disk, lost rights, a lost server."""


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


def launch_is_lost(store: Store, launch: Mapping[str, Any]) -> bool:
    """Return whether the worker that a launch belongs to is unknown or dead."""
    worker = store.workers.find_one({"_id": worker_of(launch)})
    if worker is None:
        return True
    # While the server was away no heart could be heard.
    return is_dead({**worker, "heartbeat": max(worker["heartbeat"], store.last_outage_end)})


def worker_of(launch: Mapping[str, Any]) -> str:
    """Return the name of the worker that a launch belongs to."""
    return str((launch.get("fworker") or {}).get("name", ""))


def has_living_supervisor(store: Store, launch: Mapping[str, Any]) -> bool:
    """Return whether the worker that a launch belongs to has a parent on this host that will notice its death.

    The parent knows how the worker died, and whether its job is to blame.
    """
    worker = store.workers.find_one({"_id": worker_of(launch)}, {"host": 1, "supervisor": 1}) or {}
    name = worker.get("supervisor", "")
    if not name or worker["host"] != host_name():
        return False
    try:
        return worker_name(int(name.split("-")[-2])) == name
    except psutil.NoSuchProcess:
        return False
