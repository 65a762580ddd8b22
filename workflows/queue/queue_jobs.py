"""Queue jobs as the store knows them, and their reconciliation with the scheduler."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from ...core.errors import IonloopError
from ...core.settings import FrozenModel
from ...store.connection import Store
from ..running.heartbeat import ENVIRONMENT_EXIT, PROCESS_FIELDS, worker_is_lost
from ..running.lost_jobs import Loss, recover_lost_jobs
from ..running.worker_process import last_line, last_lines
from .schedulers.base import IN_QUEUE, TO_BLAME, QueueFacts, QueueState, Scheduler, SchedulerError

_EXCEEDED_MEMORY = re.compile(r"exceeded (job |step )?memory limit", re.IGNORECASE)
_LOG_LINES = 20
FORGOTTEN_AFTER_S = 60.0
"""A job that the scheduler does not know is taken for gone only this long after its submission, and after that was
noticed first."""
UNCLEAR_LIMIT_S = 24 * 3600.0
"""How long what may have been submitted is counted where the queue does not say."""


class QueueJob(FrozenModel):
    """One job in a scheduler's queue: a pilot that runs workers.

    ``name`` is what only this job is called in the queue, ``cluster`` the one of several that it is on (where the
    submission is unclear, those that it may be on), ``missing_since`` when the scheduler was first found not to know it
    (s since the epoch), ``is_unwanted`` says that somebody cancelled it.
    """

    model_config = ConfigDict(populate_by_name=True)

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
    name: str = ""
    cluster: str = ""
    missing_since: float | None = None
    is_unwanted: bool = False

    @property
    def reference(self) -> str:
        """What the scheduler is asked for."""
        return f"{self.job};{self.cluster}" if self.cluster else self.job

    def to_document(self) -> dict[str, Any]:
        """Return the document for the database."""
        return self.model_dump(by_alias=True, mode="json")


def queue_job_id(scheduler: str, job: str, cluster: str = "") -> str:
    """Return the identifier of a scheduler's job within the store."""
    return f"{scheduler}-{job}@{cluster}" if cluster else f"{scheduler}-{job}"


def note_submission(store: Store, job: QueueJob) -> QueueJob:
    """Record that a job is about to be submitted: whoever is killed before the answer leaves it to be looked for."""
    announced = job.model_copy(update={"id": f"{job.scheduler}-{job.name}", "job": "", "state": QueueState.UNCLEAR})
    store.database.queue_jobs.insert_one(announced.to_document())
    return announced


def settle_submission(store: Store, announced: QueueJob, state: QueueState, reason: str) -> None:
    """Record that a submission led to no job that anybody knows of, or that this is unclear."""
    ended = None if state is QueueState.UNCLEAR else time.time()
    update = {"state": state.value, "reason": reason, "ended": ended}
    store.database.queue_jobs.update_one({"_id": announced.id, "state": QueueState.UNCLEAR.value}, {"$set": update})


def adopt_queue_job(store: Store, job: QueueJob) -> str:
    """Record a job unless it is known; return its identifier.

    Its pilot may start before its submission is recorded, or instead of it. A job that both name differently (servers
    of PBS have long and short names) is known by its own name.
    """
    # Who only looks at the queue need not wait for its import.
    from pymongo.errors import DuplicateKeyError

    jobs = store.database.queue_jobs
    known = jobs.find_one({"name": job.name, "job": {"$ne": ""}}, {"_id": 1}) if job.name else None
    if known is None:
        with suppress(DuplicateKeyError):
            jobs.insert_one(job.to_document())
    identifier = str(known["_id"]) if known else job.id
    if job.state is not QueueState.RUNNING:
        # The scheduler's own words, which it is asked for later.
        jobs.update_one({"_id": identifier}, {"$set": {"job": job.job, "cluster": job.cluster}})
    if job.name:
        jobs.delete_many({"name": job.name, "job": ""})
    return identifier


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
        if job.pilot_state is not None:
            return QueueFacts(job.pilot_state, job.pilot_reason)
        if moment - job.submitted < FORGOTTEN_AFTER_S:
            return None
        if job.is_unwanted:
            return QueueFacts(QueueState.CANCELLED, "cancelled here; the scheduler knows it no more")
        return QueueFacts(QueueState.VANISHED, f"{job.scheduler} does not know it (any more)")
    explained = (
        {QueueState.FINISHED} if job.pilot_state is QueueState.FINISHED else {QueueState.FAILED, QueueState.FINISHED}
    )
    if facts.state in explained and job.pilot_state is not None:
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
    known = scheduler.ask(job.reference for job in active)
    changed = []
    for job in active:
        if _must_be_waited_for(store, job, known.get(job.reference), moment):
            continue
        facts = settled_facts(job, known.get(job.reference), moment)
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


def _must_be_waited_for(store: Store, job: QueueJob, facts: QueueFacts | None, moment: float) -> bool:
    """Return whether a job that the scheduler does not know may be there all the same.

    A scheduler that is overloaded or starts again may answer with an empty list and no error.
    """
    is_missing = facts is None and job.pilot_state is None
    since = job.missing_since if is_missing else None
    if is_missing and not _may_live(store, job):
        since = moment if since is None else since
        if moment - max(since, job.submitted) >= FORGOTTEN_AFTER_S:
            return False
    elif is_missing:
        since = None
    if since != job.missing_since:
        store.database.queue_jobs.update_one({"_id": job.id}, {"$set": {"missing_since": since}})
    return is_missing


def _may_live(store: Store, job: QueueJob) -> bool:
    """Return whether a worker of that job is not known to be dead."""
    workers = store.workers.find({"queue_job": job.id, "state": "running"}, PROCESS_FIELDS)
    # Each is looked at: a heart that nobody looks at is never found to be silent.
    lost = [worker_is_lost(store, worker) for worker in workers]
    return not all(lost)


def find_unclear(store: Store, scheduler: Scheduler, job: QueueJob) -> bool | None:
    """Look for what may have been submitted by its name; return whether it is there, None if the queue does not say."""
    try:
        found = scheduler.find(job.name, job.cluster)
    except IonloopError:
        return None
    if found is None:
        return False
    number, _, cluster = found.partition(";")
    identifier = queue_job_id(job.scheduler, number, cluster)
    update = {"id": identifier, "job": number, "cluster": cluster, "state": QueueState.PENDING, "reason": ""}
    update["log"] = job.log.replace("%j", number)
    adopt_queue_job(store, job.model_copy(update=update))
    return True


def _recover_jobs_of(store: Store, job: QueueJob, facts: QueueFacts) -> None:
    loss = Loss(facts.state, facts.reason, blame=facts.state in TO_BLAME)
    names = [worker["_id"] for worker in store.workers.find({"queue_job": job.id}, {"_id": 1})]
    if names:
        recover_lost_jobs(store, losses=dict.fromkeys(names, loss))
        store.workers.update_many(
            {"_id": {"$in": names}, "state": "running"}, {"$set": {"state": "ended", "progress": None}}
        )


def check_reach(store: Store, campaign: str, scheduler: Callable[[str], Scheduler]) -> None:
    """Ask the queues that hold jobs of a campaign, without changing anything.

    Raises
    ------
    InputError
        If a scheduler's commands are not on this machine.
    """
    for job in queue_jobs(store, campaign, only_active=True):
        # A queue that does not answer now may do so when it is asked to cancel.
        with suppress(SchedulerError):
            scheduler(job.scheduler).ask([job.reference])


def cancel_queue_jobs(store: Store, campaign: str, scheduler: Callable[[str], Scheduler]) -> list[str]:
    """Cancel what a campaign has in queues; return the jobs' identifiers.

    Their ends are recorded when the queue is looked at next.
    """
    for job in queue_jobs(store, campaign):
        if job.state is QueueState.UNCLEAR and not find_unclear(store, scheduler(job.scheduler), job):
            reason = f"its campaign was cancelled; it was not found in the queue by its name, {job.name}"
            settle_submission(store, job, QueueState.CANCELLED, reason)
    by_scheduler: dict[str, list[QueueJob]] = {}
    for job in queue_jobs(store, campaign, only_active=True):
        by_scheduler.setdefault(job.scheduler, []).append(job)
    for name, jobs in by_scheduler.items():
        scheduler(name).cancel([job.reference for job in jobs])
        marked = {"_id": {"$in": [job.id for job in jobs]}}
        store.database.queue_jobs.update_many(marked, {"$set": {"is_unwanted": True}})
    return [job.id for jobs in by_scheduler.values() for job in jobs]


def count_by_state(jobs: Iterable[QueueJob]) -> dict[str, int]:
    """Return how many queue jobs are in each state."""
    found: dict[str, int] = {}
    for job in jobs:
        found[job.state.value] = found.get(job.state.value, 0) + 1
    return found
