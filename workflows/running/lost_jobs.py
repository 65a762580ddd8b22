"""Jobs whose worker is gone: found, named with a cause, and put back into the queue or given up.

Everything here may run in several processes at once, and may be killed anywhere: a launch is claimed before it is
touched, and a job is put back before its old launch is closed, so that whoever comes next finds what is left to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ...core.errors import IonloopError
from ...store.connection import Store
from ...store.jobs.runs import ClaimedRun, claim_run, close_run, held_runs, note_busy, note_crashes
from ..loop.task_registry import admit_registered_tasks
from ..queue.schedulers.base import QueueState
from .heartbeat import PROCESS_FIELDS, has_living_supervisor, is_lost, worker_is_lost

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
    for run in held_runs(store):
        name = run.worker
        if name not in known and (not is_lost(store, name) or has_living_supervisor(store, name)):
            continue
        try:
            key = put_back(store, run.number, known.get(name, WORKER_GONE), max_crashes=max_crashes)
        except (IonloopError, ValueError, KeyError, RuntimeError) as error:
            # One document that cannot be read must not keep all other jobs from being recovered.
            logger.warning("launch %s cannot be put back: %s", run.number, error)
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
        run = claim_run(store, launch_id, CLAIM_S)
        if run is None:
            return None
        if run.is_present:
            crashes = run.crashes + loss.blame
            given_up = crashes >= (max_crashes or _allowed_crashes(store, run.campaign))
            cause = {"cause": str(loss.cause), "reason": loss.reason}
            note_crashes(store, run.job, crashes, is_given_up=given_up, loss=cause if loss.blame else None)
            if given_up:
                store.launchpad.mark_fizzled(run.number)
            else:
                store.launchpad.rerun_fw(run.job)
            _note(store, run, loss)
        close_run(store, run.number)
    return run.key


def put_back_as_busy(store: Store, launch_id: int, reason: str) -> int:
    """Run the job of a launch again later, because another process holds what it needs.

    Returns
    -------
    How often that has happened to it, 0 if it has for too long: then its failure counts.
    """
    with store.transaction():
        times = note_busy(store, launch_id, BUSY_LIMIT_S)
        if not times:
            return 0
        return times if put_back(store, launch_id, Loss("busy", reason)) is not None else 0


def busy_pause_s(times: int) -> float:
    """Return how long a worker leaves a job alone that was busy so many times (s)."""
    return min(LONGEST_BUSY_PAUSE_S, FIRST_BUSY_PAUSE_S * 2.0 ** min(times - 1, 10))


def _allowed_crashes(store: Store, campaign: str) -> int:
    record = store.campaigns.get(campaign)
    return int(record.settings["stop"]["max_attempts"]) if record else MAX_CRASHES


def _note(store: Store, run: ClaimedRun, loss: Loss) -> None:
    store.database.losses.insert_one(
        {
            "campaign": run.campaign,
            "key": run.key,
            "cause": str(loss.cause),
            "reason": loss.reason,
            "worker": run.worker,
            "at": time.time(),
        }
    )


def losses_by_cause(store: Store, campaign: str) -> dict[str, int]:
    """Return how often jobs of a campaign were lost and put back, by cause."""
    found: dict[str, int] = {}
    for document in store.database.losses.find({"campaign": campaign}, {"cause": 1}):
        found[document["cause"]] = found.get(document["cause"], 0) + 1
    return dict(sorted(found.items()))
