"""One document each, as small as pages need it: many thousands of them are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.states import State
from ...store.jobs.refusals import REFUSAL, is_readable
from ...store.records import as_utc
from .standing import job_state

Document = Mapping[str, Any]

_HEARTBEAT_STEP_S = 60.0
_SHOWN_REASON = 2000
_SPEC_FIELDS = ("key", "kind", "generation", "crashes", "given_up", "loss")


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job; ``document`` has of FireWorks' what status and ledger read."""

    number: int
    campaign: str
    key: str
    kind: str
    generation: int
    state: State
    updated: datetime | None
    document: dict[str, Any]

    @property
    def launches(self) -> list[int]:
        """Numbers of its launches, the last one last."""
        return [*self.document["archived_launches"], *self.document["launches"]]


@dataclass(frozen=True, slots=True)
class LaunchRow:
    """One run of a job by a worker; times in seconds since the epoch.

    ``outcome`` is how the job's own task said that it ended, None where it did not say.
    """

    number: int
    job: int
    worker: str
    host: str
    state: str
    started: float | None
    ended: float | None
    reason: str
    outcome: State | None


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """The children of every job of one graph, by number."""

    links: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker; its heartbeat (s since the epoch) to the minute, or every beat would change every page."""

    name: str
    host: str
    state: str
    started: float
    heartbeat: float
    done: int | None
    of: int | None
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class ConfigurationRow:
    """A configuration without its positions; ``numbers`` are atomic numbers, [n_atoms]."""

    id: str
    campaign: str
    generation: int
    formula: str
    numbers: NDArray[np.uint8]
    content_hash: str
    sampler: str
    parent: str | None
    step: int | None
    index: int
    created: datetime


@dataclass(frozen=True, slots=True, eq=False)
class LabelRow:
    """A label; ``forces`` are magnitudes (eV/Å), [n_atoms], empty where there are none."""

    id: str
    campaign: str
    configuration: str
    content_hash: str
    settings_hash: str
    engine: str
    state: State
    reason: str
    energy: float | None
    forces: NDArray[np.float32]
    wall_time_s: float
    created: datetime


@dataclass(frozen=True, slots=True)
class DataSetRow:
    """A data set: how many labels it has."""

    id: str
    campaign: str
    generation: int
    labels: int


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Core seconds that a campaign used of an engine."""

    campaign: str
    engine: str
    core_seconds: float


def job_row(document: Document) -> JobRow | None:
    """Return the job, None where the document cannot be read as one."""
    spec = document.get("spec")
    state = job_state(document)
    if not is_readable(document) or state is None or not isinstance(spec, Mapping):
        return None
    campaign = spec.get("campaign")
    kept = {
        "fw_id": document["fw_id"],
        "state": document["state"],
        "launches": list(document["launches"]),
        "archived_launches": list(document.get("archived_launches", ())),
        "spec": {name: spec[name] for name in _SPEC_FIELDS if name in spec},
    }
    if REFUSAL in document:
        kept[REFUSAL] = str(document[REFUSAL])
    return JobRow(
        number=document["fw_id"],
        campaign=campaign if isinstance(campaign, str) else "",
        key=spec["key"],
        kind=spec["kind"],
        generation=spec["generation"],
        state=state,
        updated=as_utc(document["updated_on"]) if document.get("updated_on") else None,
        document=kept,
    )


def launch_row(document: Document) -> LaunchRow:
    """Return the launch."""
    history = {str(one.get("state")): one.get("created_on") for one in document.get("state_history") or ()}
    action = document.get("action") or {}
    stored = action.get("stored_data") or {}
    exception = stored.get("_exception") or {}
    details = exception.get("_details") or {}
    trace = str(exception.get("_stacktrace", "")).strip().splitlines()
    reason = details.get("reason") or stored.get("reason") or (trace[-1] if trace else "")
    return LaunchRow(
        number=int(document["launch_id"]),
        job=int(document["fw_id"]),
        worker=str((document.get("fworker") or {}).get("name", "")),
        host=str(document.get("host") or ""),
        state=str(document.get("state")),
        started=_seconds(history.get("RUNNING")),
        ended=_seconds(document.get("time_end") or history.get("COMPLETED") or history.get("FIZZLED")),
        reason=str(reason)[:_SHOWN_REASON],
        outcome=State(details["state"]) if "state" in details else None,
    )


def _seconds(moment: datetime | str | None) -> float | None:
    return as_utc(moment).timestamp() if moment else None


def workflow_row(document: Document) -> WorkflowRow:
    """Return the graph."""
    return WorkflowRow({int(job): tuple(map(int, children)) for job, children in document["links"].items()})


def worker_row(document: Document) -> WorkerRow:
    """Return the worker."""
    progress = document.get("progress") or {}
    return WorkerRow(
        name=str(document["_id"]),
        host=str(document.get("host", "")),
        state=str(document.get("state", "")),
        started=float(document.get("started", 0.0)),
        heartbeat=float(document.get("heartbeat", 0.0)) // _HEARTBEAT_STEP_S * _HEARTBEAT_STEP_S,
        done=progress.get("done"),
        of=progress.get("of"),
        at=float(progress.get("at", 0.0)),
    )


def configuration_row(document: Document) -> ConfigurationRow:
    """Return the configuration."""
    origin = document["origin"]
    return ConfigurationRow(
        id=document["_id"],
        campaign=document["campaign"],
        generation=document["generation"],
        formula=document["formula"],
        numbers=np.array(document["structure"]["numbers"], dtype=np.uint8),
        content_hash=document["content_hash"],
        sampler=origin["sampler"],
        parent=origin.get("parent"),
        step=origin.get("step"),
        index=origin.get("index", 0),
        created=as_utc(document["created"]),
    )


def label_row(document: Document) -> LabelRow:
    """Return the label."""
    forces = np.array(document.get("forces") or (), dtype=np.float64).reshape(-1, 3)
    return LabelRow(
        id=document["_id"],
        campaign=document["campaign"],
        configuration=document["configuration"],
        content_hash=document["content_hash"],
        settings_hash=document["settings_hash"],
        engine=document["engine"],
        state=State(document["state"]),
        reason=str(document.get("reason", ""))[:_SHOWN_REASON],
        energy=document.get("energy"),
        forces=np.sqrt(np.einsum("ij,ij->i", forces, forces)).astype(np.float32),
        wall_time_s=float(document.get("wall_time_s", 0.0)),
        created=as_utc(document["created"]),
    )


def data_set_row(document: Document) -> DataSetRow:
    """Return the data set."""
    return DataSetRow(document["_id"], document["campaign"], document["generation"], len(document["labels"]))


def usage_row(document: Document) -> UsageRow:
    """Return what was used."""
    return UsageRow(str(document["campaign"]), str(document["engine"]), float(document["core_seconds"]))
