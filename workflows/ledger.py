"""The ledger of what went wrong: listed with state and reason, and tried again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..errors import InputError
from ..states import RETRYABLE, UNSUCCESSFUL, Event, State, transition
from ..store.connection import Store
from ..store.records import LabelRecord
from .generation_loop import label_job, load_plan
from .jobs import Graph, missing_part
from .registry import admit_registered_tasks
from .status import FailedJob, find_campaign, job_documents


def failures(store: Store, name: str | None = None) -> list[FailedJob]:
    """Return the campaign's unsuccessful labels and jobs, in the order of generations."""
    campaign = find_campaign(store, name).id
    found = [
        FailedJob(
            id=label.id,
            key=f"generation-{label.generation}/label/{label.configuration}",
            kind="label",
            generation=label.generation,
            state=label.state,
            reason=label.reason,
        )
        for label in store.labels.find(
            {"campaign": campaign, "state": {"$in": [state.value for state in UNSUCCESSFUL]}}
        )
    ]
    found.extend(
        _failed_job(store, job) for job in job_documents(store, campaign) if job["state"] == "FIZZLED"
    )
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
    launch = store.database.launches.find_one({"launch_id": job["launches"][-1]}) if job["launches"] else None
    stored = ((launch or {}).get("action") or {}).get("stored_data") or {}
    exception = stored.get("_exception") or {}
    details = exception.get("_details") or {}
    if "reason" in details:
        return State(details["state"]), details["reason"]
    lines = str(exception.get("_stacktrace", "")).strip().splitlines()
    return State.FAILED, lines[-1] if lines else "it ended without saying why"


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
        failure
        for failure in ledger
        if failure.state in states and (not identifiers or failure.id in identifiers)
    ]
    for failure in chosen:
        transition(failure.state, Event.RETRY)
    admit_registered_tasks()
    with store.transaction():
        for failure in chosen:
            if failure.kind != "label":
                store.database.fireworks.update_one(
                    {"fw_id": int(failure.id)}, {"$unset": {"spec.crashes": ""}}
                )
                store.launchpad.rerun_fw(int(failure.id))
        labels = [store.labels[failure.id] for failure in chosen if failure.kind == "label"]
        for label in labels:
            _add_label_retry(store, record.id, label)
    return [failure.key for failure in chosen]


def _add_label_retry(store: Store, campaign: str, label: LabelRecord) -> None:
    """Add a job that repeats the label, ahead of the generation's assessment where that is still to come."""
    job = label_job(
        load_plan(store, campaign).campaign, label.generation, label.configuration, label.retries + 1
    )
    graph = missing_part(store, campaign, Graph((job,)))
    if not graph.jobs:
        return
    workflow = graph.to_workflow(campaign)
    assessment = store.database.fireworks.find_one(
        {"spec.campaign": campaign, "spec.key": f"generation-{label.generation}/assess"}
    )
    source = store.database.fireworks.find_one(
        {
            "spec.campaign": campaign,
            "spec.key": f"generation-{label.generation}/label/{label.configuration}",
        }
    )
    if assessment is not None and source is not None and assessment["state"] in ("WAITING", "READY"):
        store.launchpad.append_wf(workflow, [source["fw_id"]], detour=True)
    else:
        store.launchpad.add_wf(workflow)
