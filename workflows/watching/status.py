"""Where a campaign stands, in one value that the terminal, scripts and pages show."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from ...core.states import UNSUCCESSFUL, State
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.jobs.refusals import REFUSAL, is_readable
from ...store.queries.rows import ISOLATED_ATOM_SAMPLER, reference_hash
from ...store.records import CampaignRecord, as_utc
from ..loop.error_history import error_history
from ..queue.queue_jobs import count_by_state, queue_jobs
from ..running.lost_jobs import losses_by_cause
from ..submission.holds import Control, Hold, budget_of, control_of, core_hours

# FireWorks' states in ours. An archived or paused job will not run unless a person says so.
FIREWORKS_STATES = {
    "WAITING": State.WAITING,
    "READY": State.READY,
    "RESERVED": State.READY,
    "RUNNING": State.RUNNING,
    "COMPLETED": State.FINISHED,
    "FIZZLED": State.FAILED,
    "DEFUSED": State.CANCELLED,
    "PAUSED": State.CANCELLED,
    "ARCHIVED": State.CANCELLED,
}
LABEL_KIND = "label"


class RunningJob(BaseModel):
    """A job that runs now."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: str
    worker: str
    seconds: float
    done: int | None = None
    of: int | None = None
    seconds_left: float | None = None


class FailedJob(BaseModel):
    """A job or a label that did not succeed, and why."""

    model_config = ConfigDict(frozen=True)

    id: str
    key: str
    kind: str
    generation: int
    state: State
    reason: str
    log: list[str] = []


class GenerationSummary(BaseModel):
    """A generation's labels and the errors (eV/atom, eV/Å) on its new configurations, by model kind."""

    model_config = ConfigDict(frozen=True)

    generation: int
    labels: int
    labels_finished: int
    energy_rmse: dict[str, float] = {}
    force_rmse: dict[str, float] = {}


class CampaignStatus(BaseModel):
    """Where a campaign stands.

    ``hold`` is what a person or the budget decided ("paused", "cancelled", or nothing), ``queue`` the queue jobs by
    state, ``losses`` how often jobs were lost and put back by cause, ``core_hours`` what was used by engine, and
    ``max_core_hours`` the budget by engine ("all": of all together).
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    reason: str
    generation: int
    max_generations: int
    jobs: dict[str, int]
    running: list[RunningJob]
    generations: list[GenerationSummary]
    seconds: float
    hold: str = ""
    queue: dict[str, int] = {}
    losses: dict[str, int] = {}
    core_hours: dict[str, float] = {}
    max_core_hours: dict[str, float] = {}

    @property
    def is_over(self) -> bool:
        """Whether no job will run without a person's doing."""
        held = bool(self.hold) and not self.jobs.get(State.RUNNING.value, 0)
        return held or self.state in UNSUCCESSFUL | {State.FINISHED, State.CANCELLED}


_JOB_FIELDS = {
    REFUSAL: 1,
    "fw_id": 1,
    "state": 1,
    "launches": 1,
    "archived_launches": 1,
    "spec.key": 1,
    "spec.kind": 1,
    "spec.generation": 1,
    "spec.crashes": 1,
    "spec.given_up": 1,
    "spec.loss": 1,
}


def job_documents(store: Store, campaign: str) -> list[dict[str, Any]]:
    """Return the campaign's jobs as FireWorks keeps them, without their tasks and those that cannot be read.

    They are the same objects for everybody who asks: not to be changed.
    """
    return list(store.digests("fireworks", {"spec.campaign": campaign}, _JOB_FIELDS, _shown_job))


def _shown_job(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if is_readable(job) and job["state"] in FIREWORKS_STATES else None


def campaign_status(store: Store, name: str | None = None) -> CampaignStatus:
    """Return where the campaign stands.

    Raises
    ------
    InputError
        If there is no such campaign.
    """
    record = find_campaign(store, name)
    jobs = job_documents(store, record.id)
    configurations = _configurations(store, record.id)
    labels = _label_states(store, record, configurations, answered_configurations(jobs))
    states = count_states(jobs, labels)
    history = {errors.generation: errors for errors in error_history(store, record.id)}
    per_generation = _by_generation(configurations)
    generations = [
        GenerationSummary(
            generation=generation,
            labels=len(configurations),
            labels_finished=sum(labels.get(c) is State.FINISHED for c in configurations),
            energy_rmse=dict(history[generation].energy) if generation in history else {},
            force_rmse=dict(history[generation].force) if generation in history else {},
        )
        for generation, configurations in sorted(per_generation.items())
    ]
    control = control_of(store, record.id)
    state, reason = state_of_campaign(record, jobs, control)
    end = record.ended or datetime.now(UTC)
    return CampaignStatus(
        name=record.id,
        state=state,
        reason=reason,
        generation=max((job["spec"]["generation"] for job in jobs), default=0),
        max_generations=int(record.settings["stop"]["max_generations"]),
        jobs={state.value: count for state, count in states.items()},
        running=_running_jobs(store, jobs),
        generations=generations,
        seconds=(end - record.created).total_seconds(),
        hold=control.hold.value if control.hold else "",
        queue=count_by_state(queue_jobs(store, record.id)),
        losses=losses_by_cause(store, record.id),
        core_hours=core_hours(store, record.id),
        max_core_hours={engine or "all": hours for engine, hours in budget_of(store, record.id).items()},
    )


class _Configuration(NamedTuple):
    id: str
    generation: int
    content_hash: str
    sampler: str


class _Label(NamedTuple):
    content_hash: str
    state: State
    campaign: str


def _configuration(document: dict[str, Any]) -> _Configuration:
    sampler = document["origin"]["sampler"]
    return _Configuration(document["_id"], document["generation"], document["content_hash"], sampler)


def _label(document: dict[str, Any]) -> _Label:
    return _Label(document["content_hash"], State(document["state"]), document["campaign"])


def _configurations(store: Store, campaign: str) -> tuple[_Configuration, ...]:
    fields = {"generation": 1, "content_hash": 1, "origin.sampler": 1}
    return store.digests("configurations", {"campaign": campaign}, fields, _configuration)


def _by_generation(configurations: Iterable[_Configuration]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for one in configurations:
        if one.sampler != ISOLATED_ATOM_SAMPLER:
            found.setdefault(one.generation, []).append(one.content_hash)
    return found


def answered_configurations(jobs: list[dict[str, Any]]) -> set[str]:
    """Return the configurations whose label jobs have come to their end."""
    return {
        job["spec"]["key"].split("/")[2]
        for job in jobs
        if job["spec"].get("kind") == LABEL_KIND and job["state"] == "COMPLETED" and job["spec"]["key"].count("/") > 1
    }


def _label_states(
    store: Store, record: CampaignRecord, configurations: Iterable[_Configuration], answered: set[str]
) -> dict[str, State]:
    """Return the state of each label by the content of its configuration.

    Finished labels that another campaign of the store computed count too: they are found by content. What another
    campaign failed at counts only where this one's own job has ended with it.
    """
    names = {one.content_hash: one.id for one in configurations}
    # All labels of the reference: a question with thousands of values takes longer than its answer.
    fields = {"content_hash": 1, "state": 1, "campaign": 1}
    wanted = {"settings_hash": reference_hash(store, record)}
    labels: tuple[_Label, ...] = store.digests("labels", wanted, fields, _label)
    return {
        label.content_hash: label.state
        for label in labels
        if label.content_hash in names
        and (label.state not in UNSUCCESSFUL or label.campaign == record.id or names[label.content_hash] in answered)
    }


def count_states(jobs: list[dict[str, Any]], labels: dict[str, State]) -> Counter[State]:
    """Count the jobs by state; a label job that ended counts as what its label is."""
    counts = Counter(
        FIREWORKS_STATES[job["state"]] if not job["spec"].get("given_up") else crashed_state(job) for job in jobs
    )
    unsuccessful = Counter(state for state in labels.values() if state in UNSUCCESSFUL)
    counts[State.FINISHED] -= sum(unsuccessful.values())
    return +(counts + unsuccessful)


def crashed_state(job: dict[str, Any]) -> State:
    """Return the state of a job that was given up after it took its workers down."""
    state = FIREWORKS_STATES[job["state"]]
    return State.KILLED if state is State.FAILED else state


def state_of_campaign(record: CampaignRecord, jobs: list[dict[str, Any]], control: Control) -> tuple[State, str]:
    """Return the state of a campaign and its reason, from its record, its jobs and what holds it."""
    if record.state is State.FINISHED:
        return record.state, record.reason
    states = {FIREWORKS_STATES[job["state"]] for job in jobs}
    if control.hold is Hold.CANCELLED:
        return State.CANCELLED, control.reason
    if control.hold is Hold.PAUSED and states & {State.RUNNING, State.READY}:
        return (State.RUNNING if State.RUNNING in states else State.READY), f"paused: {control.reason}"
    if State.RUNNING in states:
        return State.RUNNING, ""
    if State.READY in states:
        return State.READY, ""
    if State.CANCELLED in states:
        return State.CANCELLED, "jobs were cancelled or paused"
    failed = sorted(job["spec"]["key"] for job in jobs if job["state"] == "FIZZLED")
    return State.FAILED, f"nothing is left to run; failed: {', '.join(failed) or 'no job, but none is ready'}"


def _running_jobs(store: Store, jobs: list[dict[str, Any]]) -> list[RunningJob]:
    running = {job["fw_id"]: job for job in jobs if job["state"] == "RUNNING"}
    if not running:
        return []
    found = []
    launches = store.database.launches.find({"fw_id": {"$in": list(running)}, "state": "RUNNING"})
    for launch in launches:
        job = running[launch["fw_id"]]
        worker = (launch.get("fworker") or {}).get("name", "?")
        started = as_utc(launch["state_history"][-1]["created_on"]).timestamp()
        seconds = max(0.0, time.time() - started)
        progress = (store.workers.find_one({"_id": worker}) or {}).get("progress")
        found.append(_with_progress(job, worker, seconds, progress, started))
    return sorted(found, key=lambda job: job.key)


def _with_progress(
    job: dict[str, Any], worker: str, seconds: float, progress: dict[str, Any] | None, started: float
) -> RunningJob:
    done = of = left = None
    # A worker's progress may still be that of its job before.
    if progress and progress["at"] >= started and progress["done"]:
        done, of = progress["done"], progress["of"]
        left = (progress["at"] - started) * (of - done) / done
    return RunningJob(
        key=job["spec"]["key"],
        kind=job["spec"]["kind"],
        worker=worker,
        seconds=seconds,
        done=done,
        of=of,
        seconds_left=left,
    )
