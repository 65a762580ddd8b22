"""Jobs whose worker is gone: found, named with a cause, and put back into the queue or given up.

Everything here may run in several processes at once, and may be killed anywhere: a launch is claimed before it is
touched, and a job is put back before its old launch is closed, so that whoever comes next finds what is left to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import IonloopError
from ...store.connection import Store
from ..loop.task_registry import admit_registered_tasks
from ..queue.schedulers.base import QueueState
from .heartbeat import PROCESS_FIELDS, has_living_supervisor, launch_is_lost, worker_is_lost, worker_of

logger = logging.getLogger(__name__)

MAX_CRASHES = 3
CLAIM_S = 60.0
FIRST_BUSY_PAUSE_S = 10.0
LONGEST_BUSY_PAUSE_S = 600.0
BUSY_LIMIT_S = 24 * 3600.0
"""How long a job that finds what it needs held by another process is tried again and again."""


@dataclass(frozen=True)
class Loss:
    """Why a job did not end by itself.

    Attributes
    ----------
    cause
        In our words.
    reason
        In the words of the scheduler or of whoever noticed.
    blame
        Whether the job may have caused it; it is then run again only so often.
    """

    cause: QueueState | str
    reason: str
    blame: bool = False


WORKER_GONE = Loss("worker gone", "its worker is no longer there")
WORKER_CRASHED = Loss("worker crashed", "its worker died while running it (out of memory?)", blame=True)


def recover_lost_jobs(
    store: Store,
    *,
    crashed: frozenset[str] = frozenset(),
    max_crashes: int | None = None,
    losses: Mapping[str, Loss] | None = None,
) -> list[str]:
    """Put the running jobs of dead workers back into the queue; return their keys.

    What a worker with a living supervisor ran is left to that one.

    Parameters
    ----------
    crashed
        Names of workers that died while their supervisor lived: what they ran is suspect. A job that took
        ``max_crashes`` workers down ends as killed. A job whose worker died with everything else (a
        reboot, a kill of the whole run) is not to blame, and is run again however often.
    max_crashes
        By default what the job's campaign allows.
    losses
        What is known of the end of workers, by name: they are taken for dead.

    Raises
    ------
    IonloopError
        If the store cannot be read.
    """
    admit_registered_tasks()
    known = dict.fromkeys(crashed, WORKER_CRASHED) | dict(losses or {})
    recovered = []
    launches = store.database.launches.find({"state": "RUNNING"}, {"launch_id": 1, "fw_id": 1, "fworker": 1})
    for launch in list(launches):
        name = worker_of(launch)
        if name not in known and (not launch_is_lost(store, launch) or has_living_supervisor(store, name)):
            continue
        try:
            key = put_back(store, launch["launch_id"], known.get(name, WORKER_GONE), max_crashes=max_crashes)
        except (IonloopError, ValueError, KeyError, RuntimeError) as error:
            # One document that cannot be read must not keep all other jobs from being recovered.
            logger.warning("launch %s cannot be put back: %s", launch["launch_id"], error)
            continue
        if key is not None:
            recovered.append(key)
    mend_after_dead_workers(store, known)
    return recovered


def mend_after_dead_workers(store: Store, known: Collection[str] = ()) -> None:
    """On a server, mend what workers left that died between two writes of one operation.

    A job's end may have been recorded, but not entered into its workflow: those after it would wait for ever.

    Parameters
    ----------
    known
        Names of workers that are taken for dead whatever else is known of them.
    """
    if store.is_embedded:
        return
    gone = [
        worker["_id"]
        for worker in store.workers.find({"state": "running"}, PROCESS_FIELDS)
        if worker["_id"] in known or (worker_is_lost(store, worker) and not has_living_supervisor(store, worker["_id"]))
    ]
    if gone:
        from ...store.care.repair import repair

        for line in repair(store.launchpad).lines():
            logger.warning("mended after a worker's death: %s", line)
        # Whoever is killed before this does it again.
        store.workers.update_many({"_id": {"$in": gone}}, {"$set": {"state": "ended", "progress": None}})


def put_back(store: Store, launch_id: int, loss: Loss, *, max_crashes: int | None = None) -> str | None:
    """Run the job of a launch again, or give it up; return its key, None if somebody else has dealt with it."""
    with store.transaction():
        launch = _claim(store, launch_id)
        if launch is None:
            return None
        firework = store.database.fireworks.find_one({"fw_id": launch["fw_id"]}, {"spec": 1, "launches": 1})
        if firework is None:
            raise IonloopError(f"launch {launch_id} belongs to no job; run `ionloop repair`")
        spec = firework["spec"]
        if launch_id in firework["launches"]:
            crashes = int(spec.get("crashes", 0)) + loss.blame
            given_up = crashes >= (max_crashes or _allowed_crashes(store, spec.get("campaign", "")))
            last = {"cause": str(loss.cause), "reason": loss.reason}
            noted = {"spec.crashes": crashes, "spec.given_up": given_up, **({"spec.loss": last} if loss.blame else {})}
            store.database.fireworks.update_one({"fw_id": launch["fw_id"]}, {"$set": noted})
            if given_up:
                store.launchpad.mark_fizzled(launch_id)
            else:
                store.launchpad.rerun_fw(launch["fw_id"])
            _note(store, spec, launch, loss)
        # A rerun alone would leave the old launch RUNNING for ever.
        closed = {"$set": {"state": "FIZZLED"}, "$unset": {"claimed": ""}}
        store.database.launches.update_one({"launch_id": launch_id, "state": "RUNNING"}, closed)
    return str(spec.get("key", launch["fw_id"]))


def put_back_as_busy(store: Store, launch_id: int, reason: str) -> int:
    """Run the job of a launch again later, because another process holds what it needs.

    Returns
    -------
    How often that has happened to it, 0 if it has for too long: then its failure counts.
    """
    with store.transaction():
        firework = store.database.fireworks.find_one({"launches": launch_id}, {"fw_id": 1, "spec.busy": 1}) or {}
        busy = firework.get("spec", {}).get("busy") or {"times": 0, "since": time.time()}
        if not firework or time.time() - busy["since"] > BUSY_LIMIT_S:
            return 0
        times = int(busy["times"]) + 1
        noted = {"spec.busy": {"times": times, "since": busy["since"]}}
        store.database.fireworks.update_one({"fw_id": firework["fw_id"]}, {"$set": noted})
        return times if put_back(store, launch_id, Loss("busy", reason)) is not None else 0


def busy_pause_s(times: int) -> float:
    """Return how long a worker leaves a job alone that was busy so many times (s)."""
    return min(LONGEST_BUSY_PAUSE_S, FIRST_BUSY_PAUSE_S * 2.0 ** min(times - 1, 10))


def _claim(store: Store, launch_id: int) -> dict[str, Any] | None:
    """Take a running launch for ourselves; None if it ended or somebody else is at it."""
    free = [{"claimed": {"$exists": False}}, {"claimed": {"$lt": time.time() - CLAIM_S}}]
    found: dict[str, Any] | None = store.database.launches.find_one_and_update(
        {"launch_id": launch_id, "state": "RUNNING", "$or": free}, {"$set": {"claimed": time.time()}}
    )
    return found


def _allowed_crashes(store: Store, campaign: str) -> int:
    record = store.campaigns.get(campaign)
    return int(record.settings["stop"]["max_attempts"]) if record else MAX_CRASHES


def _note(store: Store, spec: Mapping[str, Any], launch: Mapping[str, Any], loss: Loss) -> None:
    store.database.losses.insert_one(
        {
            "campaign": spec.get("campaign", ""),
            "key": spec.get("key", ""),
            "cause": str(loss.cause),
            "reason": loss.reason,
            "worker": worker_of(launch),
            "at": time.time(),
        }
    )


def losses_by_cause(store: Store, campaign: str) -> dict[str, int]:
    """Return how often jobs of a campaign were lost and put back, by cause."""
    found: dict[str, int] = {}
    for document in store.database.losses.find({"campaign": campaign}, {"cause": 1}):
        found[document["cause"]] = found.get(document["cause"], 0) + 1
    return dict(sorted(found.items()))
