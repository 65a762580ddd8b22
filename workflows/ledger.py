"""The ledger of what went wrong: listed with state and reason, and tried again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..errors import InputError
from ..states import RETRYABLE, UNSUCCESSFUL, Event, State, transition
from ..store.connection import Store
from ..store.queries import campaign_labels
from ..store.records import LabelRecord
from .generation_loop import label_job
from .jobs import Graph, missing_part
from .plan import load_plan
from .registry import REGISTERED_TASKS, admit_registered_tasks
from .status import FailedJob, find_campaign, job_documents

LABEL_RECORD = "label"


def failures(store: Store, name: str | None = None) -> list[FailedJob]:
    """Return the campaign's unsuccessful labels and jobs, in the order of generations."""
    campaign = find_campaign(store, name).id
    found = [
        FailedJob(
            id=label.id,
            key=f"generation-{label.generation}/label/{label.configuration}",
            kind=LABEL_RECORD,
            generation=label.generation,
            state=label.state,
            reason=label.reason,
        )
        for label in campaign_labels(store, campaign)
        if label.state in UNSUCCESSFUL
    ]
    found.extend(_failed_job(store, job) for job in job_documents(store, campaign) if job["state"] == "FIZZLED")
    return sorted(found, key=lambda failure: (failure.generation, failure.key))


def _failed_job(store: Store, job: dict[str, Any]) -> FailedJob:
    crashes = job["spec"].get("crashes", 0)
    if crashes:
        state, reason = State.KILLED, f"its worker died {crashes} times while running it (out of memory?)"
    else:
        state, reason = _launch_failure(store, job)
    return FailedJob(
        id=str(job["fw_id"]),
        key=job["spec"]["key"],
        kind=job["spec"]["kind"],
        generation=job["spec"]["generation"],
        state=state,
        reason=reason,
    )


def _launch_failure(store: Store, job: dict[str, Any]) -> tuple[State, str]:
    if not job["launches"]:
        return State.FAILED, _refusal(store, job)
    launch = store.database.launches.find_one({"launch_id": job["launches"][-1]})
    stored = ((launch or {}).get("action") or {}).get("stored_data") or {}
    exception = stored.get("_exception") or {}
    details = exception.get("_details") or {}
    if "reason" in details:
        return State(details["state"]), details["reason"]
    lines = str(exception.get("_stacktrace", "")).strip().splitlines()
    return State.FAILED, lines[-1] if lines else "it ended without saying why"


def _refusal(store: Store, job: dict[str, Any]) -> str:
    """Say why a job failed before it was ever started: FireWorks could not make it from its document."""
    document = store.database.fireworks.find_one({"fw_id": job["fw_id"]}, {"spec._tasks": 1}) or {}
    names = [str(task.get("_fw_name")) for task in document.get("spec", {}).get("_tasks", [])]
    foreign = [name for name in names if name not in REGISTERED_TASKS]
    if foreign:
        return f"it names {', '.join(foreign)}, which is no task of ionloop's: refused, nothing was run"
    return "its document cannot be read"


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
    ledger = failures(store, record.id)
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
            if failure.kind == LABEL_RECORD:
                _retry_label(store, record.id, labels[failure.id])
        for failure in chosen:
            if failure.kind != LABEL_RECORD:
                _retry_job(store, int(failure.id))
    return [failure.key for failure in chosen]


def _retry_job(store: Store, fw_id: int) -> None:
    jobs = store.database.fireworks
    if jobs.find_one({"fw_id": fw_id, "state": "FIZZLED"}, {"_id": 1}) is not None:
        jobs.update_one({"fw_id": fw_id}, {"$unset": {"spec.crashes": ""}})
        store.launchpad.rerun_fw(fw_id)


def _retry_label(store: Store, campaign: str, label: LabelRecord) -> None:
    """Repeat a label: before its generation is assessed again, or on its own where the loop has gone on.

    FireWorks runs everything after a job again with it. Where the assessment has succeeded that would be all
    later generations, so the label gets a new job outside the graph.
    """
    jobs = store.database.fireworks
    attempt = label.retries + 1
    source = {"spec.campaign": campaign, "spec.key": f"generation-{label.generation}/label/{label.configuration}"}
    job = jobs.find_one(source, {"fw_id": 1})
    assessed = {"spec.campaign": campaign, "spec.key": f"generation-{label.generation}/assess", "state": "COMPLETED"}
    if job is not None and jobs.find_one(assessed, {"_id": 1}) is None:
        jobs.update_one({"fw_id": job["fw_id"]}, {"$set": {"spec._tasks.0.parameters.retry": attempt}})
        store.launchpad.rerun_fw(job["fw_id"])
        return
    again = label_job(load_plan(store, campaign).campaign, label.generation, label.configuration, attempt)
    graph = missing_part(store, campaign, Graph((again,)))
    if graph.jobs:
        store.launchpad.add_wf(graph.to_workflow(campaign))
