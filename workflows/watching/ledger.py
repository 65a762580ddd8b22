"""The ledger of what went wrong: listed with state and reason, and tried again."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ...core.errors import InputError
from ...core.settings import FrozenModel
from ...core.states import RETRYABLE, UNSUCCESSFUL, Event, State, transition
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.jobs.queue import find_jobs, is_any_job, job_of, jobs_of, jobs_wanted, last_run, run_again
from ...store.jobs.rows import JobRow, failure_of
from ...store.queries.refused_jobs import refused_jobs
from ...store.queries.rows import campaign_labels
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


def failures(store: Store, name: str | None = None) -> list[FailedJob]:
    """Return the campaign's unsuccessful labels and jobs, in the order of generations."""
    campaign = find_campaign(store, name).id
    jobs = jobs_of(store, campaign)
    answered = answered_configurations(jobs)
    own = {one["_id"] for one in store.database.labels.find({"campaign": campaign}, {"_id": 1})}
    found = [
        FailedJob(
            id=label.id,
            key=f"generation-{label.generation}/label/{label.configuration}",
            kind=LABEL_KIND,
            generation=label.generation,
            state=label.state,
            reason=label.reason,
            log=label_log(store, label),
        )
        for label in campaign_labels(store, campaign)
        # What another campaign failed at is this one's failure only where its own job ended with it.
        if label.state in UNSUCCESSFUL and (label.id in own or label.configuration in answered)
    ]
    found.extend(_failed_job(store, job) for job in jobs if job.state in UNSUCCESSFUL)
    found.extend(_unreadable_jobs(store, campaign))
    return sorted(found, key=lambda failure: (failure.generation, failure.key))


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


def _failed_job(store: Store, job: JobRow) -> FailedJob:
    # Of a job that was refused or given up, no run says more.
    run = None if job.refusal or job.is_given_up else last_run(store, job)
    state, reason = failure_of(job, run)
    return FailedJob(
        id=str(job.number),
        key=job.key,
        kind=job.kind,
        generation=job.generation,
        state=state,
        reason=reason,
        log=job_log(store, job),
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
    ledger = [failure for failure in failures(store, record.id) if failure.kind != REFUSED_KIND]
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
        labels = {label.id: label for label in campaign_labels(store, record.id)}
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
