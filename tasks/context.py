"""What a task sees of the process that runs it: the store, a place for scratch files, a way to report progress.

Documents in the database never say where the store or its files are; the worker does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..labelling.common_settings import CommonSettings
from ..labelling.registry import read_settings
from ..labelling.settings import settings_hash
from ..store.connection import Store

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

PROGRESS_INTERVAL_S = 1.0


@dataclass
class TaskContext:
    """The surroundings of the job that runs now.

    Attributes
    ----------
    store
        The store of the campaign.
    worker
        The name of the worker; it has a document of that name in the store.
    payload
        Intervals (kind, start, end; seconds since the epoch) spent in labelling, fitting and sampling:
        what is left of a campaign's wall time is the engine's own overhead.
    calculators
        What stands in for models in a process that asks one alone, by identifier of the model.
    on_environment_failure, on_busy
        Told, with the reason, when the machine is at fault, and when another process holds what the job needs.
    """

    store: Store
    worker: str = "in-process"
    campaign: str = ""
    payload: list[dict[str, Any]] = field(default_factory=list)
    calculators: Mapping[str, Calculator] = field(default_factory=dict)
    on_environment_failure: Callable[[str], None] | None = None
    on_busy: Callable[[str], None] | None = None
    _last_report: float = 0.0

    def abandon(self, reason: str) -> None:
        """Stop the worker, which leaves the job to be run again, because the machine is at fault.

        Outside a worker this returns, and the job fails as any other.
        """
        if self.on_environment_failure is not None:
            self.on_environment_failure(reason)

    def scratch(self, name: str) -> Path:
        """Return the scratch folder of that name, the same for every attempt at the same job."""
        return self.store.artefacts.folder(Path("scratch") / name)

    @contextmanager
    def measure(self, kind: str) -> Iterator[None]:
        """Record the time spent inside as payload of that kind."""
        start = time.time()
        try:
            yield
        finally:
            self.payload.append({"kind": kind, "start": start, "end": time.time()})

    def report_progress(self, done: int, of: int) -> None:
        """Tell whoever watches how far the job is (at most once a second)."""
        moment = time.monotonic()
        if moment - self._last_report < PROGRESS_INTERVAL_S:
            return
        self._last_report = moment
        self.store.note_worker(self.worker, progress={"done": done, "of": of, "at": time.time()})


def current_settings(store: Store, campaign: str) -> dict[str, Any]:
    """Return the settings of a campaign as they are now; a job's parameters hold those of when it was planned."""
    document = store.database.campaigns.find_one({"_id": campaign}, {"settings": 1})
    settings: dict[str, Any] = (document or {}).get("settings") or {}
    return settings


def engine_of_today(store: Store, campaign: str, engine: CommonSettings) -> CommonSettings:
    """Return a reference engine with today's limits of its campaign, where those are limits of the same reference."""
    settings = current_settings(store, campaign).get("reference")
    if settings is None:
        return engine
    try:
        reference = read_settings(settings)
    except ValidationError:
        return engine
    for others in (reference, reference.at_gamma()):
        if type(others) is type(engine) and settings_hash(others) == settings_hash(engine):
            return others
    return engine


_current: ContextVar[TaskContext] = ContextVar("ionloop_task_context")


def current_context() -> TaskContext:
    """Return the context that the worker set.

    Raises
    ------
    LookupError
        If no worker runs in this thread.
    """
    return _current.get()


@contextmanager
def task_context(context: TaskContext) -> Iterator[TaskContext]:
    """Make ``context`` the one that tasks see inside."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
