"""Who a worker is, and how others learn that it has died.

A worker's name tells host, process and when that started. On its own host, and in its own container, the process
table tells whether it lives; elsewhere its heart does, which beats in the store, and its queue job, which the scheduler
knows about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...core.errors import MachineAtFault
from ...core.processes import has_ended
from ...store.connection import Store
from ...store.jobs.hearts import SILENCE_S, is_dead
from ...store.jobs.queue import job_of
from ...store.jobs.runs import held_runs

PROCESS_FIELDS = {"host": 1, "pid": 1, "machine": 1, "boot": 1, "heartbeat": 1}
"""What must be known of a worker to tell whether it lives."""
ENVIRONMENT_EXIT: Final = MachineAtFault.exit_status
"""Exit status of a worker, or of a pilot, whose machine is at fault: a full disk, lost rights, a lost server."""


def is_lost(store: Store, name: str) -> bool:
    """Return whether the worker of that name is unknown or dead."""
    worker = store.workers.find_one({"_id": name})
    return worker is None or worker_is_lost(store, worker)


def worker_is_lost(store: Store, worker: Mapping[str, Any]) -> bool:
    """Return whether the worker of that document is dead."""
    return is_dead(worker, store.last_outage_end)


def look_at_hearts(store: Store) -> None:
    """Look at the hearts of all workers: who looks now and then knows sooner that one has fallen silent."""
    for worker in store.workers.find({"state": "running"}, PROCESS_FIELDS):
        worker_is_lost(store, worker)


def hopes_for_workers(store: Store) -> list[str]:
    """Return, in words for people, which running jobs are waited for although nothing here can tell if they run."""
    said = []
    for run in held_runs(store):
        worker = store.workers.find_one({"_id": run.worker}, PROCESS_FIELDS)
        if worker is None or has_ended(run.worker) is not None or worker_is_lost(store, worker):
            continue
        job = job_of(store, run.job)
        said.append(
            f"{job.key if job else run.job} is held by process {worker['pid']} of "
            f"{worker['host']}, which cannot be looked at from here: it is run again only once the heart of that one "
            f"has been silent for {SILENCE_S:.0f} s"
        )
    return said


def has_living_supervisor(store: Store, worker_id: str) -> bool:
    """Return whether the worker of that name has a parent that can be seen from here and will notice its death.

    The parent knows how the worker died, and whether its job is to blame.
    """
    worker = store.workers.find_one({"_id": worker_id}, {"supervisor": 1}) or {}
    name = worker.get("supervisor", "")
    return bool(name) and has_ended(name) is False
