"""Documents of the job queue as plain values: what a job, one of its runs and a graph are, in our own words.

Above the store nobody names FireWorks' collections, states or keys: they come from here and from `queue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ...core.states import State
from ..records import as_utc
from .refusals import REFUSAL, is_readable

JOBS: Final = "fireworks"
RUNS: Final = "launches"
GRAPHS: Final = "workflows"
"""Names of the queue's collections."""

STATES: Final[Mapping[str, State]] = MappingProxyType(
    {
        "WAITING": State.WAITING,
        "READY": State.READY,
        "RESERVED": State.READY,
        "RUNNING": State.RUNNING,
        "COMPLETED": State.FINISHED,
        "FIZZLED": State.FAILED,
        # An archived or paused job will not run unless a person says so.
        "DEFUSED": State.CANCELLED,
        "PAUSED": State.CANCELLED,
        "ARCHIVED": State.CANCELLED,
    }
)
"""FireWorks' states in ours."""
COMPLETED: Final = "COMPLETED"
FAILED: Final = "FIZZLED"
"""How FireWorks' rocket says that a run ended."""

STAMPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        JOBS: ("state", "updated_on", "launches", REFUSAL, "spec.crashes", "spec.given_up"),
        RUNS: ("state", "time_end"),
        GRAPHS: ("updated_on",),
    }
)
"""What changes in documents of the queue's collections."""

JOB_FIELDS: Final = (
    REFUSAL,
    "fw_id",
    "state",
    "launches",
    "archived_launches",
    "updated_on",
    "spec.campaign",
    "spec.key",
    "spec.kind",
    "spec.generation",
    "spec.crashes",
    "spec.given_up",
    "spec.loss",
)
"""What `job_row` reads of a job's document."""

_UNKNOWN_LOSS = "worker crashed: out of memory?"
_NO_REASON = "it ended without saying why"


class JobRow(NamedTuple):
    """A job; a tuple, because whoever looks makes thousands.

    Attributes
    ----------
    number
        By which the queue knows it.
    state
        KILLED where it was given up after it took its workers down.
    runs, earlier_runs
        Numbers of its runs since it was last put into the queue, and of those before; the last one last.
    crashes
        How many workers it took down.
    loss
        Cause and reason of the last of these, empty where there was none.
    refusal
        Why it is not run, empty where nothing is wrong with its document.
    """

    number: int
    campaign: str
    key: str
    kind: str
    generation: int
    state: State
    updated: datetime | None
    runs: tuple[int, ...] = ()
    earlier_runs: tuple[int, ...] = ()
    crashes: int = 0
    is_given_up: bool = False
    loss: str = ""
    refusal: str = ""

    @property
    def all_runs(self) -> tuple[int, ...]:
        """Numbers of all its runs, the last one last."""
        return (*self.earlier_runs, *self.runs)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of a job by a worker; times in seconds since the epoch.

    ``outcome`` is how the job's own task said that it ended, None where it did not say.
    """

    number: int
    job: int
    worker: str
    host: str
    state: State | None
    started: float | None
    ended: float | None
    reason: str
    outcome: State | None


@dataclass(frozen=True, slots=True)
class GraphRow:
    """The children of every job of one graph, by number."""

    links: Mapping[int, tuple[int, ...]]


def job_row(document: Mapping[str, Any]) -> JobRow | None:
    """Return the job of a document, None where it cannot be read as one."""
    if not is_readable(document) or (state := STATES.get(document["state"])) is None:
        return None
    spec = document["spec"]
    campaign, loss, is_given_up = spec.get("campaign"), spec.get("loss"), bool(spec.get("given_up"))
    return JobRow(
        number=document["fw_id"],
        campaign=campaign if isinstance(campaign, str) else "",
        key=spec["key"],
        kind=spec["kind"],
        generation=spec["generation"],
        state=State.KILLED if is_given_up and state is State.FAILED else state,
        updated=_moment(document.get("updated_on")),
        runs=tuple(document["launches"]),
        earlier_runs=tuple(document.get("archived_launches", ())),
        crashes=int(spec.get("crashes", 0)),
        is_given_up=is_given_up,
        loss=f"{loss.get('cause', '')}: {loss.get('reason', '')}" if isinstance(loss, Mapping) and loss else "",
        refusal=str(document.get(REFUSAL, "")),
    )


def run_row(document: Mapping[str, Any]) -> RunRow:
    """Return the run of a document."""
    history = {str(one.get("state")): one.get("created_on") for one in document.get("state_history") or ()}
    stored = _table(_table(document.get("action")).get("stored_data"))
    exception = _table(stored.get("_exception"))
    details = _table(exception.get("_details"))
    trace = str(exception.get("_stacktrace", "")).strip().splitlines()
    return RunRow(
        number=int(document["launch_id"]),
        job=int(document["fw_id"]),
        worker=worker_of(document),
        host=str(document.get("host") or ""),
        state=STATES.get(document.get("state", "")),
        started=_seconds(history.get("RUNNING")),
        ended=_seconds(document.get("time_end") or history.get("COMPLETED") or history.get("FIZZLED")),
        reason=str(details.get("reason") or stored.get("reason") or (trace[-1] if trace else "")),
        outcome=State(details["state"]) if "state" in details else None,
    )


def graph_row(document: Mapping[str, Any]) -> GraphRow:
    """Return the graph of a document."""
    return GraphRow({int(job): tuple(map(int, children)) for job, children in document["links"].items()})


def worker_of(run: Mapping[str, Any]) -> str:
    """Return the name of the worker that a run's document belongs to."""
    return str((run.get("fworker") or {}).get("name", ""))


def failure_of(job: JobRow, last_run: RunRow | None) -> tuple[State, str]:
    """Return how an unsuccessful job ended, and why, in words."""
    if job.is_given_up:
        return job.state, f"{job.loss or _UNKNOWN_LOSS}; given up after {job.crashes} times"
    if job.refusal:
        return job.state, f"refused: {job.refusal}"
    if not job.runs:
        return job.state, "it was never started: its document cannot be read"
    if last_run is None:
        return job.state, _NO_REASON
    return last_run.outcome or job.state, last_run.reason or _NO_REASON


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _moment(value: Any) -> datetime | None:
    try:
        return as_utc(value) if value else None
    except (ValueError, TypeError, AttributeError):
        # Others may write to the database: one odd document must not take the others' jobs away.
        return None


def _seconds(value: Any) -> float | None:
    moment = _moment(value)
    return None if moment is None else moment.timestamp()
