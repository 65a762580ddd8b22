"""What pages ask: the newest snapshot, and the few things that need a whole record or a file.

However many look, the store is asked for changes at most once in a while; pages are made from what is in memory, and
no viewer holds a connection. What costs more is kept until the records that it was made from change.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pymongo
from numpy.typing import NDArray
from pydantic import ValidationError
from pymongo.errors import PyMongoError

from ...analysis.errors.statistics import ParityData
from ...analysis.locality.curves import LocalityBound
from ...core.errors import IonloopError
from ...core.files import sha256_of
from ...core.names import ERRORS, LEARNING_UPDATE, TUNING
from ...store.connection import Store
from ...store.jobs.rows import JobRow
from ...store.records import Artefact, ConfigurationRecord, LabelRecord, ResultRecord
from ...store.retrying import StoreUnreachable
from ...tasks.predictions import predictions_identifier, predictions_path, read_parity
from ...workflows.analyses.locality.report import locality_bounds
from ...workflows.analyses.model_uncertainty import uncertainty_section
from ...workflows.analyses.registry import ANALYSES, sections_of
from ...workflows.analyses.sections import FigureBlock, ReportSection
from ...workflows.campaign.analyses import analyses_not_installed
from ...workflows.report.comparisons import compare
from ...workflows.report.data import last_assessments
from ...workflows.report.learning import learning_section
from ...workflows.report.properties import property_section
from ...workflows.report.systems import system_section
from ...workflows.report.tuning import tuning_section
from ...workflows.running.job_logs import job_log, label_log
from ...workflows.watching.ledger import FailureGroup, group_failures
from ...workflows.watching.standing import LABEL_KIND
from .rows import LabelRow
from .snapshot import MAKERS, Snapshot, read_snapshot
from .source import open_source

Value = TypeVar("Value")

MOST_KEPT: Final = 200
MOST_LOGS: Final = 30
MAX_ARRAY_BYTES: Final = 64 * 2**20
OUTAGE_PATIENCE_S: Final = 1.0
ANSWER_TIME_S: Final = 3.0
"""A server that does not say in this time whether anything has changed is away."""
# What a damaged file raises, or a record of another version or hand.
_UNREADABLE: Final = (IonloopError, ValidationError, ValueError, KeyError, TypeError, AttributeError, OSError)
OUTAGES: Final = (sqlite3.Error, PyMongoError, OSError, StoreUnreachable)
"""What is raised where the store is away or busy."""


class StoreAway(IonloopError):
    """The store still cannot be read; the first who noticed got the cause."""


class Memory:
    """Keeps the last values by name and reason; a value is made once, however many ask for it at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._makers: dict[Hashable, threading.Lock] = {}
        self._kept: OrderedDict[Hashable, tuple[Hashable, Any]] = OrderedDict()

    def get(self, name: Hashable, reason: Hashable, make: Callable[[], Value]) -> Value:
        """Return what was made under ``name``, made anew where it was for another reason."""
        with self._lock:
            maker = self._makers.setdefault(name, threading.Lock())
        with maker:
            with self._lock:
                kept = self._kept.get(name)
                if kept is not None and kept[0] == reason:
                    self._kept.move_to_end(name)
                    return kept[1]
            try:
                value = make()
            except BaseException:
                with self._lock:
                    if name not in self._kept:
                        self._makers.pop(name, None)
                raise
            with self._lock:
                self._kept[name] = (reason, value)
                self._kept.move_to_end(name)
                while len(self._kept) > self._most:
                    forgotten, _ = self._kept.popitem(last=False)
                    self._makers.pop(forgotten, None)
            return value


class Reader:
    """Reads one store for all viewers.

    Parameters
    ----------
    store
        Open for as long as the reader is used; several threads take turns with it.
    refresh_s
        The shortest time between two looks at the store.
    """

    def __init__(self, store: Store, refresh_s: float) -> None:
        self.location = store.location
        self._store = store
        self._store_lock = threading.RLock()
        self._source = open_source(store, tuple(MAKERS))
        self._refresh_s = refresh_s
        self._refresh_lock = threading.Lock()
        self._token: Hashable = None
        self._looked_at = 0.0
        self._is_away = False
        # Who looks is told at once that a server is away; the page asks again by itself.
        store.wait_for_server(OUTAGE_PATIENCE_S)
        self._snapshot: Snapshot | None = None
        self._memory = Memory(MOST_KEPT)

    def close(self) -> None:
        """Release what is held; the store stays open."""
        self._source.close()

    def snapshot(self) -> Snapshot:
        """Return the newest snapshot; who comes while another looks at the store gets the one before.

        Raises
        ------
        StoreAway
            If the store could not be read the last time that somebody looked either.
        """
        known = self._snapshot
        if known is not None and time.monotonic() - self._looked_at < self._refresh_s:
            return self._unless_away(known)
        if not self._refresh_lock.acquire(blocking=known is None):
            assert known is not None
            return self._unless_away(known)
        try:
            with pymongo.timeout(ANSWER_TIME_S):
                token = self._source.token()
            if self._snapshot is None or token != self._token:
                self._snapshot = read_snapshot(self._source, self._snapshot)
                self._token = token
            self._is_away = False
            return self._snapshot
        except BaseException as error:
            was_away, self._is_away = self._is_away, True
            if was_away and isinstance(error, OUTAGES):
                raise StoreAway("the store still cannot be read") from error
            raise
        finally:
            self._looked_at = time.monotonic()
            self._refresh_lock.release()

    def _unless_away(self, known: Snapshot) -> Snapshot:
        # Whoever looks must not take for the present what was so before the store went away.
        if self._is_away:
            raise StoreAway("the store could not be read a moment ago")
        return known

    # -- what needs whole records ---------------------------------------------------------------------------------

    def configuration(self, name: str) -> ConfigurationRecord | None:
        """Return a configuration with its positions."""
        with self._store_lock:
            return self._store.configurations.get(name)

    def label(self, row: LabelRow | None) -> LabelRecord | None:
        """Return a label with its forces."""
        with self._store_lock:
            return None if row is None else self._store.labels.get(row.id)

    def atom_counts(self, labels: list[str]) -> list[int]:
        """Return the number of atoms of the configurations of these labels, in their order."""
        with self._store_lock:
            return [len(label.forces or ()) for label in self._store.labels.get_many(labels)]

    def failure_groups(self, snapshot: Snapshot, campaign: str) -> list[FailureGroup]:
        """Return what failed, alike failures together, the last one of each group with the end of its log."""

        def make() -> list[FailureGroup]:
            groups = group_failures(snapshot.failures(campaign))
            return [self._with_log(snapshot, group) for group in groups[:MOST_LOGS]] + groups[MOST_LOGS:]

        return self._memory.get(("failures", campaign), snapshot.failure_signature(campaign), make)

    def _with_log(self, snapshot: Snapshot, group: FailureGroup) -> FailureGroup:
        last = group.failures[-1]
        try:
            with self._store_lock:
                label = self._store.labels.get(last.id) if last.kind == LABEL_KIND else None
                job = None if label is not None or not last.id.isdigit() else snapshot.jobs.get(int(last.id))
                log = label_log(self._store, label) if label else job_log(self._store, job) if job else []
        except _UNREADABLE:
            log = []
        failures = [*group.failures[:-1], last.model_copy(update={"log": log})]
        return group.model_copy(update={"failures": failures})

    def job_log(self, job: JobRow) -> list[str]:
        """Return the last lines that a worker wrote about a job."""
        with self._store_lock:
            return job_log(self._store, job)

    def sections(self, snapshot: Snapshot, campaign: str) -> tuple[list[ReportSection], list[str]]:
        """Return what the campaign's analyses show, and what is wrong with those that cannot be shown."""

        def make() -> tuple[list[ReportSection], list[str]]:
            record = snapshot.campaigns[campaign]
            asked = analyses_not_installed(record.settings)
            found: list[ReportSection] = []
            problems = [f"{name}: this analysis is not installed here" for name in asked]
            with self._store_lock:
                found += filter(None, (system_section(self._store, record), property_section(self._store, record)))
            try:
                assessed = last_assessments(snapshot.results_of.get(campaign, ()))
                with self._store_lock:
                    found += filter(None, (uncertainty_section(self._store, assessed),))
            except _UNREADABLE as error:
                problems.append(f"{ERRORS}: {error}")
            try:
                found += filter(None, (tuning_section(snapshot.results_of.get(campaign, ())),))
            except _UNREADABLE as error:
                problems.append(f"{TUNING}: {error}")
            try:
                found += filter(None, (learning_section(snapshot.results_of.get(campaign, ())),))
            except _UNREADABLE as error:
                problems.append(f"{LEARNING_UPDATE}: {error}")
            for analysis in ANALYSES.kinds:
                try:
                    with self._store_lock:
                        found += sections_of(self._store, record, analysis)
                except _UNREADABLE as error:
                    # The other analyses are shown all the same.
                    problems.append(f"{analysis.name}: {error}")
            return found, problems

        return self._memory.get(("sections", campaign), self._reason(snapshot, campaign), make)

    def comparison(self, records: Sequence[ResultRecord]) -> tuple[list[FigureBlock], list[str]]:
        """Return the figures of these results of one kind together, and what is wrong with those left out."""

        def make() -> tuple[list[FigureBlock], list[str]]:
            with self._store_lock:
                return compare(self._store, records)

        names, created = tuple(one.id for one in records), tuple(one.created for one in records)
        return self._memory.get(("comparison", names), created, make)

    def uncertainty(self, errors: ResultRecord) -> ReportSection | None:
        """Return what a model said beforehand of these errors, None where it said nothing, or none can be read."""

        def make() -> ReportSection | None:
            try:
                with self._store_lock:
                    return uncertainty_section(self._store, [errors])
            except _UNREADABLE:
                return None

        return self._memory.get(("uncertainty", errors.id), errors.created, make)

    def force_bounds(self, snapshot: Snapshot, campaign: str) -> Mapping[str, LocalityBound]:
        """Return the force errors that models cannot fall below, by kind; empty without a locality test."""

        def make() -> Mapping[str, LocalityBound]:
            try:
                with self._store_lock:
                    return locality_bounds(self._store, campaign)
            except _UNREADABLE:
                return {}

        return self._memory.get(("bounds", campaign), self._reason(snapshot, campaign), make)

    @staticmethod
    def _reason(snapshot: Snapshot, campaign: str) -> Hashable:
        """Return what changes when results or models of one campaign do."""
        results = snapshot.results_of.get(campaign, ())
        return (
            campaign in snapshot.campaigns,
            len(results),
            max((result.created for result in results), default=None),
        )

    # -- files ------------------------------------------------------------------------------------------------------

    def parity(self, errors: ResultRecord) -> ParityData | None:
        """Return predictions beside labels where the store has them: nothing is computed here."""
        name = predictions_identifier(errors.model, errors.inputs)
        with self._store_lock:
            record = self._store.results.get(name)
        if record is None:
            return None
        path = predictions_path(self._store, name)
        if not path.is_file():
            return None

        def make() -> ParityData | None:
            try:
                return read_parity(path)
            except IonloopError:
                return None

        return self._memory.get(("parity", name), record.created, make)

    def arrays(self, artefact: Artefact) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a file, None where it is not whole or too large to be shown."""
        path = self.whole_file(artefact)
        if path is None or artefact.size > MAX_ARRAY_BYTES or path.suffix != ".npz":
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError):
            return None

    def whole_file(self, artefact: Artefact) -> Path | None:
        """Return the path of a file below the store's root that is as it was recorded, else None."""
        try:
            path = self._store.artefacts.path(artefact.path)
            found = path.stat()
        except (IonloopError, OSError, ValueError):
            return None
        if not path.is_file() or found.st_size != artefact.size:
            return None
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        checksum = self._memory.get(("sha256", str(path)), stamp, lambda: sha256_of(path))
        return path if checksum == artefact.sha256 else None
