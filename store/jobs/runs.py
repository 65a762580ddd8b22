"""Runs of jobs that workers hold: which there are, taken over, noted and closed when a worker is gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import IonloopError
from ..connection import Store
from .rows import JOBS, RUNS, worker_of


@dataclass(frozen=True)
class HeldRun:
    """A run that a worker has, or had.

    Attributes
    ----------
    number, job
        Of the run and of its job.
    """

    number: int
    job: int
    worker: str


@dataclass(frozen=True)
class ClaimedRun:
    """A run that was taken over.

    Attributes
    ----------
    number, job
        Of the run and of its job.
    key, campaign
        Of the job, whatever else its document lacks; the number for a key that there is not.
    crashes
        How many workers the job took down before.
    is_present
        Whether the job has not been put back into the queue since.
    """

    number: int
    job: int
    worker: str
    key: str
    campaign: str
    crashes: int
    is_present: bool


def held_runs(store: Store) -> list[HeldRun]:
    """Return all runs that have not ended."""
    runs = store.database[RUNS].find({"state": "RUNNING"}, {"launch_id": 1, "fw_id": 1, "fworker": 1})
    # One document that somebody else wrote must not keep all other jobs from being recovered.
    whole = (run for run in runs if isinstance(run.get("launch_id"), int) and isinstance(run.get("fw_id"), int))
    return [HeldRun(run["launch_id"], run["fw_id"], worker_of(run)) for run in whole]


def claim_run(store: Store, number: int, claim_s: float) -> ClaimedRun | None:
    """Take a run that has not ended for this process; None if it ended, or somebody else is at it.

    Parameters
    ----------
    claim_s
        After this time a claim is void: whoever made it is dead.

    Raises
    ------
    IonloopError
        If it belongs to no job.
    """
    free = [{"claimed": {"$exists": False}}, {"claimed": {"$lt": time.time() - claim_s}}]
    run = store.database[RUNS].find_one_and_update(
        {"launch_id": number, "state": "RUNNING", "$or": free}, {"$set": {"claimed": time.time()}}
    )
    if run is None:
        return None
    job = store.database[JOBS].find_one({"fw_id": run["fw_id"]}, {"spec": 1, "launches": 1})
    if job is None:
        raise IonloopError(f"launch {number} belongs to no job; run `ionloop repair`")
    spec = job["spec"]
    return ClaimedRun(
        number=number,
        job=int(run["fw_id"]),
        worker=worker_of(run),
        key=str(spec.get("key", run["fw_id"])),
        campaign=str(spec.get("campaign", "")),
        crashes=int(spec.get("crashes", 0)),
        is_present=number in job["launches"],
    )


def note_crashes(
    store: Store, job: int, crashes: int, *, is_given_up: bool, loss: Mapping[str, str] | None = None
) -> None:
    """Write into a job how many workers it took down, whether it is tried again, and the cause of the last loss."""
    noted = {"spec.crashes": crashes, "spec.given_up": is_given_up, **({"spec.loss": dict(loss)} if loss else {})}
    store.database[JOBS].update_one({"fw_id": job}, {"$set": noted})


def close_run(store: Store, number: int) -> None:
    """End a run whose job was put back: a rerun alone would leave it running for ever."""
    closed = {"$set": {"state": "FIZZLED"}, "$unset": {"claimed": ""}}
    store.database[RUNS].update_one({"launch_id": number, "state": "RUNNING"}, closed)


def note_busy(store: Store, run: int, limit_s: float) -> int:
    """Write into the job of a run that it found busy what it needs; return how often, 0 where it is for too long."""
    job = store.database[JOBS].find_one({"launches": run}, {"fw_id": 1, "spec.busy": 1}) or {}
    busy = job.get("spec", {}).get("busy") or {"times": 0, "since": time.time()}
    if not job or time.time() - busy["since"] > limit_s:
        return 0
    times = int(busy["times"]) + 1
    noted = {"spec.busy": {"times": times, "since": busy["since"]}}
    store.database[JOBS].update_one({"fw_id": job["fw_id"]}, {"$set": noted})
    return times
