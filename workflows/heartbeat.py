"""Who a worker is, and how others learn that it has died.

A worker's name tells host, process and when that started. On its own host the process table tells whether it lives;
elsewhere its heart does, which beats in the store, and its queue job, which the scheduler knows about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psutil

from ..store.connection import Store
from ..store.processes import host_name, is_dead, worker_name

ENVIRONMENT_EXIT = 75
"""Exit status of a worker, or of a pilot, whose machine is at fault: a full disk, lost rights, a lost server."""


def launch_is_lost(store: Store, launch: Mapping[str, Any]) -> bool:
    """Return whether the worker that a launch belongs to is unknown or dead."""
    worker = store.workers.find_one({"_id": worker_of(launch)})
    return worker is None or worker_is_lost(store, worker)


def worker_is_lost(store: Store, worker: Mapping[str, Any]) -> bool:
    """Return whether the worker of that document is dead."""
    # While the server was away no heart could be heard.
    return is_dead({**worker, "heartbeat": max(worker["heartbeat"], store.last_outage_end)})


def worker_of(launch: Mapping[str, Any]) -> str:
    """Return the name of the worker that a launch belongs to."""
    return str((launch.get("fworker") or {}).get("name", ""))


def has_living_supervisor(store: Store, worker_id: str) -> bool:
    """Return whether the worker of that name has a parent on this host that will notice its death.

    The parent knows how the worker died, and whether its job is to blame.
    """
    worker = store.workers.find_one({"_id": worker_id}, {"host": 1, "supervisor": 1}) or {}
    name = worker.get("supervisor", "")
    if not name or worker["host"] != host_name():
        return False
    try:
        return worker_name(int(name.split("-")[-2])) == name
    except psutil.NoSuchProcess:
        return False
