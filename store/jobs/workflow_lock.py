"""FireWorks' lock of a workflow, which says who holds it, so that nobody waits for the dead.

On a server a worker that is killed while it enters a job's end into its workflow leaves the workflow locked.
FireWorks' own lock does not tell by whom: others wait for five minutes and then leave out what they had to enter, so
that the jobs after theirs never become ready. Here the lock of a dead process is taken over.
"""

from __future__ import annotations

import math
import os
import random
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from fireworks.core.launchpad import LockedWorkflowError

from ...core.processes import process_document, process_name
from ..retrying import RetryingClient
from .hearts import is_dead

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
SUSPICION_S = 5.0
"""How long a lock must be there before its holder is looked at."""
_UNNAMED_S = 300.0
"""A lock that does not say whose it is (another tool's) is waited for so long, as FireWorks does."""


def lock_of_this_process() -> dict[str, Any]:
    """Return what a lock says of its holder; FireWorks asks only whether there is a lock."""
    pid = os.getpid()
    return {"owner": process_name(pid), **process_document(pid), "since": time.time()}


def has_dead_holder(lock: Any, workers: Any, last_outage_end: float = -math.inf) -> bool:
    """Return whether the holder of a lock is known to be gone.

    Parameters
    ----------
    lock
        What stands in the workflow under ``locked``.
    workers
        The collection of workers, whose hearts beat there.
    last_outage_end
        When the server was last back from an outage, in which no heart could be heard (s of ``time.monotonic``).
    """
    if not isinstance(lock, Mapping) or not {"owner", "host", "pid", "since"} <= lock.keys():
        return False
    worker = workers.find_one({"_id": lock["owner"]}, {"heartbeat": 1}) or {}
    # Who is no worker has no heart: then the lock itself must not stay for so long.
    beat = worker.get("heartbeat", lock["since"])
    return is_dead({**lock, "_id": lock["owner"], "heartbeat": beat}, last_outage_end)


class WorkflowLock:
    """Stands in for ``fireworks.core.launchpad.WFLock``.

    Parameters
    ----------
    lp
        The LaunchPad.
    fw_id
        A firework of the workflow.
    expire_secs
        How long to wait for a lock that does not say whose it is (s); one of a living process is waited for as long
        as it is held.
    """

    def __init__(self, lp: Any, fw_id: int, expire_secs: float = _UNNAMED_S, kill: bool = False) -> None:
        self._launchpad = lp
        self._firework = fw_id
        self._expire_s = expire_secs
        self._token = uuid.uuid4().hex

    def __enter__(self) -> None:
        pause_s, started = FIRST_PAUSE_S, time.monotonic()
        while not self._take({"$exists": False}):
            waited_s = time.monotonic() - started
            if waited_s > SUSPICION_S and self._take_over(waited_s):
                return
            time.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(LONGEST_PAUSE_S, 1.5 * pause_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._launchpad.workflows.update_one({"nodes": self._firework}, {"$unset": {"locked": ""}})

    def _take(self, condition: Any) -> bool:
        wanted = {"nodes": self._firework, "locked": condition}
        mine = {**lock_of_this_process(), "token": self._token}
        taken = self._launchpad.workflows.update_one(wanted, {"$set": {"locked": mine}})
        return bool(taken.modified_count)

    def _take_over(self, waited_s: float) -> bool:
        """Take the lock from a process that is gone; return whether that was possible.

        Raises
        ------
        LockedWorkflowError
            If it does not say whose it is, and has been waited for long enough.
        ValueError
            If there is no such workflow.
        """
        workflow = self._launchpad.workflows.find_one({"nodes": self._firework}, {"locked": 1})
        if workflow is None:
            raise ValueError(f"Could not find workflow in database: {self._firework}")
        lock = workflow.get("locked")
        if isinstance(lock, Mapping):
            if lock.get("token") == self._token:
                # Taken in an attempt that the server carried out and did not answer.
                return True
            launchpad = self._launchpad
            client = launchpad.client
            outage_end = client.last_outage_end if isinstance(client, RetryingClient) else -math.inf
            return has_dead_holder(lock, launchpad.db.workers, outage_end) and self._take(lock)
        if lock is not None and waited_s > self._expire_s:
            raise LockedWorkflowError(f"Could not get workflow - LOCKED: {self._firework}")
        return False
