"""Queue jobs as the store knows them, and their reconciliation with the scheduler."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pymongo.errors import DuplicateKeyError

from ..store.connection import Store
from .heartbeat import ENVIRONMENT_EXIT
from .lost_jobs import Loss, recover_lost_jobs
from .scheduler import IN_QUEUE, TO_BLAME, QueueFacts, QueueState, Scheduler
from .worker_process import last_line, last_lines

_EXCEEDED_MEMORY = re.compile(r"exceeded (job |step )?memory limit", re.IGNORECASE)
_LOG_LINES = 20
FORGOTTEN_AFTER_S = 60.0
"""A job that the scheduler does not know is taken for gone only this long after its submission."""


class QueueJob(BaseModel):
    """One job in a scheduler's queue: a pilot that runs workers."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str = Field(alias="_id")
    scheduler: str
    job: str
    campaign: str
    resources: str
    cores: int
    log: str
    submitted: float
    state: QueueState = QueueState.PENDING
    reason: str = ""
    ended: float | None = None
    pilot_state: QueueState | None = None
    pilot_reason: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return the document for the database."""
        return self.model_dump(by_alias=True, mode="json")


def queue_job_id(scheduler: str, job: str) -> str:
    """Return the identifier of a scheduler's job within the store."""
    return f"{scheduler}-{job}"


def adopt_queue_job(store: Store, job: QueueJob) -> None:
    """Record a job unless it is known: its pilot may start before its submission is recorded, or instead of it."""
    with suppress(DuplicateKeyError):
        store.database.queue_jobs.insert_one(job.to_document())


def note_pilot_end(store: Store, identifier: str, state: QueueState, reason: str) -> None:
    """Let a pilot say itself why it ended."""
    said = {"pilot_state": state.value, "pilot_reason": reason}
    store.database.queue_jobs.update_one({"_id": identifier}, {"$set": said})


def queue_jobs(store: Store, campaign: str | None = None, *, only_active: bool = False) -> list[QueueJob]:
    """Return the queue jobs, in the order of submission."""
    wanted: dict[str, Any] = {}
    if campaign is not None:
        wanted["campaign"] = campaign
    if only_active:
        wanted["state"] = {"$in": sorted(state.value for state in IN_QUEUE)}
    found = [QueueJob.model_validate(document) for document in store.database.queue_jobs.find(wanted)]
    return sorted(found, key=lambda job: (job.submitted, job.id))


def settled_facts(job: QueueJob, facts: QueueFacts | None, moment: float) -> QueueFacts | None:
    """Return what became of a job, None if nothing new is known.

    What the pilot itself said of its end is more exact than the scheduler's "failed".
    """
    if facts is None:
        if moment - job.submitted < FORGOTTEN_AFTER_S:
            return None
        if job.pilot_state is not None:
            return QueueFacts(job.pilot_state, job.pilot_reason)
        return QueueFacts(QueueState.VANISHED, f"{job.scheduler} does not know it (any more)")
    if facts.state in (QueueState.FAILED, QueueState.FINISHED) and job.pilot_state is not None:
        return QueueFacts(job.pilot_state, f"{job.pilot_reason} ({facts.reason})")
    said = _memory_complaint(job) if facts.state is QueueState.FAILED else ""
    if said:
        return QueueFacts(QueueState.OUT_OF_MEMORY, f"{said} ({facts.reason})")
    if facts.state is QueueState.FAILED and facts.reason.endswith(f"exit code {ENVIRONMENT_EXIT}"):
        # The pilot could not write to the store: it may lie on the disk that is full.
        return QueueFacts(QueueState.SCRATCH_FULL, f"{last_line(Path(job.log))} ({facts.reason})")
    return None if (facts.state, facts.reason) == (job.state, job.reason) else facts


def _memory_complaint(job: QueueJob) -> str:
    """Return what the log of a job says of exceeded memory, empty if it does not.

    A SLURM that watches memory by itself (OverMemoryKill) calls such a job FAILED for JobLaunchFailure; only what it
    writes into the job's log tells why.
    """
    said = [line for line in last_lines(Path(job.log), _LOG_LINES) if _EXCEEDED_MEMORY.search(line)]
    return said[0].strip() if said else ""


def reconcile(store: Store, scheduler: Scheduler, *, moment: float | None = None) -> list[QueueJob]:
    """Bring queue jobs up to date with the scheduler, and put back what ended ones ran; return what changed."""
    moment = time.time() if moment is None else moment
    active = [job for job in queue_jobs(store, only_active=True) if job.scheduler == scheduler.name]
    known = scheduler.ask(job.job for job in active)
    changed = []
    for job in active:
        facts = settled_facts(job, known.get(job.job), moment)
        if facts is None:
            continue
        ended = None if facts.state in IN_QUEUE else moment
        if ended is not None:
            # The jobs first: whoever is killed in between finds the queue job still active, and does it again.
            _recover_jobs_of(store, job, facts)
        update = {"state": facts.state.value, "reason": facts.reason, "ended": ended}
        store.database.queue_jobs.update_one({"_id": job.id}, {"$set": update})
        changed.append(job.model_copy(update={"state": facts.state, "reason": facts.reason, "ended": ended}))
    return changed


def _recover_jobs_of(store: Store, job: QueueJob, facts: QueueFacts) -> None:
    loss = Loss(facts.state, facts.reason, blame=facts.state in TO_BLAME)
    names = [worker["_id"] for worker in store.workers.find({"queue_job": job.id}, {"_id": 1})]
    if names:
        recover_lost_jobs(store, losses=dict.fromkeys(names, loss))
        store.workers.update_many(
            {"_id": {"$in": names}, "state": "running"}, {"$set": {"state": "ended", "progress": None}}
        )


def cancel_queue_jobs(store: Store, campaign: str, scheduler: Callable[[str], Scheduler]) -> list[str]:
    """Cancel what a campaign has in queues; return the jobs' identifiers.

    Their ends are recorded when the queue is looked at next.
    """
    by_scheduler: dict[str, list[str]] = {}
    for job in queue_jobs(store, campaign, only_active=True):
        by_scheduler.setdefault(job.scheduler, []).append(job.job)
    for name, jobs in by_scheduler.items():
        scheduler(name).cancel(jobs)
    return [queue_job_id(name, job) for name, jobs in by_scheduler.items() for job in jobs]


def count_by_state(jobs: Iterable[QueueJob]) -> dict[str, int]:
    """Return how many queue jobs are in each state."""
    found: dict[str, int] = {}
    for job in jobs:
        found[job.state.value] = found.get(job.state.value, 0) + 1
    return found
