"""The ledger of what went wrong: listed with state and reason, and tried again."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ...core.errors import InputError
from ...core.settings import FrozenModel
from ...core.states import RETRYABLE, UNSUCCESSFUL, Event, State, transition
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.jobs.queue import find_jobs, is_any_job, job_of, jobs_of, jobs_wanted, last_runs, run_again
from ...store.jobs.rows import JobRow, RunRow, failure_of
from ...store.queries.refused_jobs import refused_jobs
from ...store.queries.rows import unsuccessful_labels
from ...store.records import LabelRecord
from ..loop.task_registry import admit_registered_tasks
from ..running.job_logs import job_log, label_log
from .standing import LABEL_KIND, answered_configurations
from .status import FailedJob

REFUSED_KIND = "refused"
# Hexadecimal identifiers and numbers.
_VARIABLE_PART = re.compile(r"\b[0-9a-f]{8,}\b|[-+]?\d+(\.\d+)?")


class FailureGroup(FrozenModel):
    """Failures of one kind with the same state and reason; the last one's reason and log stand for all."""

    state: State
    kind: str
    reason: str
    failures: list[FailedJob]


def failures(store: Store, name: str | None = None, *, logs: bool = True) -> list[FailedJob]:
    """Return the campaign's unsuccessful labels and jobs, in the order of generations.

    Parameters
    ----------
    logs
        Whether to read the last lines of each one's log; `log_of` reads those of one.
    """
    campaign = find_campaign(store, name).id
    found = [
        FailedJob(
            id=label.id,
            key=f"generation-{label.generation}/label/{label.configuration}",
            kind=LABEL_KIND,
            generation=label.generation,
            state=label.state,
            reason=label.reason,
            log=label_log(store, label) if logs else [],
        )
        for label in _failed_labels(store, campaign)
    ]
    # Which of them were given up is known of each alone.
    jobs = [
        job
        for job in find_jobs(store, jobs_wanted(campaigns=[campaign], states=UNSUCCESSFUL))
        if job.state in UNSUCCESSFUL
    ]
    runs = last_runs(store, jobs)
    found.extend(_failed_job(job, runs.get(job.number), job_log(store, job) if logs else []) for job in jobs)
    found.extend(_unreadable_jobs(store, campaign))
    return sorted(found, key=lambda failure: (failure.generation, failure.key))


def log_of(store: Store, failure: FailedJob) -> list[str]:
    """Return the last lines of the log of a label or job that did not succeed."""
    if failure.kind == LABEL_KIND and (label := store.labels.get(failure.id)) is not None:
        return label_log(store, label)
    job = job_of(store, int(failure.id)) if failure.id.isdecimal() else None
    return [] if job is None else job_log(store, job)


def _failed_labels(store: Store, campaign: str) -> list[LabelRecord]:
    labels = unsuccessful_labels(store, campaign)
    own = {one["_id"] for one in store.database.labels.find({"campaign": campaign}, {"_id": 1})} if labels else set()
    if all(label.id in own for label in labels):
        return labels
    # What another campaign failed at is this one's failure only where its own job ended with it.
    answered = answered_configurations(jobs_of(store, campaign))
    return [label for label in labels if label.id in own or label.configuration in answered]


def _unreadable_jobs(store: Store, campaign: str) -> list[FailedJob]:
    """Return refused jobs that say too little to be shown as jobs: of this campaign, or of none that exists."""
    known = {record.id for record in store.campaigns.find()} - {campaign}
    return [
        FailedJob(
            id=refusal.id,
            key=refusal.key or f"document {refusal.id}",
            kind=REFUSED_KIND,
            generation=0,
            state=State.FAILED,
            reason=f"refused: {refusal.reason}",
        )
        for refusal in refused_jobs(store)
        if refusal.campaign not in known and not (refusal.is_readable and refusal.campaign == campaign)
    ]


def _failed_job(job: JobRow, last_run: RunRow | None, log: list[str]) -> FailedJob:
    # Of a job that was refused or given up, no run says more.
    state, reason = failure_of(job, None if job.refusal or job.is_given_up else last_run)
    return FailedJob(
        id=str(job.number),
        key=job.key,
        kind=job.kind,
        generation=job.generation,
        state=state,
        reason=reason,
        log=log,
    )


def group_failures(found: Sequence[FailedJob]) -> list[FailureGroup]:
    """Return failures that ended alike together, the largest group first.

    Numbers and identifiers in reasons are left out of the comparison.
    """
    groups: dict[tuple[str, str, str], list[FailedJob]] = {}
    for failure in found:
        pattern = _VARIABLE_PART.sub("#", failure.reason)
        groups.setdefault((failure.state.value, failure.kind, pattern), []).append(failure)
    return [
        FailureGroup(state=members[-1].state, kind=members[-1].kind, reason=members[-1].reason, failures=members)
        for members in sorted(groups.values(), key=lambda members: -len(members))
    ]


def retry(
    store: Store,
    name: str | None = None,
    *,
    states: Collection[State] = UNSUCCESSFUL,
    identifiers: Collection[str] = (),
) -> list[str]:
    """Put unsuccessful labels and jobs back into the queue; return their keys.

    Labels of a generation whose assessment failed for want of them run before it is assessed again; labels
    of a generation that went on without them join the next data set.

    Parameters
    ----------
    states
        Retry what ended in these states.
    identifiers
        Only these (as `failures` lists them), if any are given.

    Raises
    ------
    InputError
        If an identifier is not in the ledger, or a state is not one that can be retried.
    """
    wrong = sorted(state.value for state in set(states) - RETRYABLE)
    if wrong:
        allowed = ", ".join(sorted(RETRYABLE))
        raise InputError(f"--state {', '.join(wrong)}: only these can be retried: {allowed}")
    record = find_campaign(store, name)
    # What cannot be read cannot be run again either.
    ledger = [failure for failure in failures(store, record.id, logs=False) if failure.kind != REFUSED_KIND]
    unknown = set(identifiers) - {failure.id for failure in ledger}
    if unknown:
        raise InputError(f"--id {', '.join(sorted(unknown))}: not in the ledger; see `ionloop failures`")
    chosen = [
        failure for failure in ledger if failure.state in states and (not identifiers or failure.id in identifiers)
    ]
    for failure in chosen:
        transition(failure.state, Event.RETRY)
    admit_registered_tasks()
    with store.transaction():
        # Labels first: running one again sets a failed assessment back to wait for it.
        labels = {label.id: label for label in unsuccessful_labels(store, record.id)}
        for failure in chosen:
            if failure.kind == LABEL_KIND:
                _retry_label(store, record.id, labels[failure.id])
        for failure in chosen:
            if failure.kind != LABEL_KIND:
                _retry_job(store, int(failure.id))
    return [failure.key for failure in chosen]


def _retry_job(store: Store, number: int) -> None:
    job = job_of(store, number)
    if job is not None and job.state in UNSUCCESSFUL:
        run_again(store, job)


def _retry_label(store: Store, campaign: str, label: LabelRecord) -> None:
    """Repeat a label: before its generation is assessed again, or on its own where the loop has gone on.

    FireWorks runs everything after a job again with it. Where the assessment has succeeded that would be all
    later generations, so the label gets a new job outside the graph.
    """
    attempt = label.retries + 1
    stage = f"generation-{label.generation}"
    jobs = find_jobs(store, jobs_wanted(campaigns=[campaign], keys=[f"{stage}/label/{label.configuration}"]))
    assessed = jobs_wanted(campaigns=[campaign], keys=[f"{stage}/assess"], states={State.FINISHED})
    if jobs and not is_any_job(store, assessed):
        run_again(store, jobs[0], attempt=attempt)
        return
    # To look at failures loads none of what makes jobs.
    from ..graph.jobs import Graph, missing_part
    from ..graph.plan import load_plan
    from ..loop.generation_loop import label_job

    again = label_job(load_plan(store, campaign).campaign, label.generation, label.configuration, attempt)
    graph = missing_part(store, campaign, Graph((again,)))
    if graph.jobs:
        store.launchpad.add_wf(graph.to_workflow(campaign))
