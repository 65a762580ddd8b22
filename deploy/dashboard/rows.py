"""One document each, as small as pages need it: many thousands of them are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.states import State
from ...store.jobs.rows import RunRow, run_row
from ...store.records import as_utc

Document = Mapping[str, Any]

_HEARTBEAT_STEP_S = 60.0
_SHOWN_REASON = 2000


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


def shown_run(document: Document) -> RunRow:
    """Return a run of a job, its reason no longer than a page shows."""
    run = run_row(document)
    return replace(run, reason=run.reason[:_SHOWN_REASON])


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
