"""Everything that the pages show of many records at once, at one moment: plain values, indexed once, never changed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from ...analysis.looks import REFERENCE, in_order
from ...core.kinds import UnknownKind
from ...core.names import AUDIT, ERRORS, NEW
from ...core.states import UNSUCCESSFUL, State
from ...store.jobs.rows import GRAPHS, JOBS, RUNS, GraphRow, JobRow, RunRow, failure_of, graph_row, job_row
from ...store.queries.rows import engine_hash
from ...store.records import CampaignRecord, ModelRecord, RecordUnreadable, ResultRecord, SurveyRecord, TrajectoryRecord
from ...tasks.values.loop import MODEL_ERRORS, ErrorValues
from ...workflows.loop.error_history import generation_errors
from ...workflows.loop.stop_rule import GenerationErrors
from ...workflows.queue.queue_jobs import QueueJob
from ...workflows.submission.holds import Control
from ...workflows.watching.standing import LABEL_KIND, count_states, state_of_campaign
from ...workflows.watching.status import FailedJob
from . import rows
from .rows import ConfigurationRow, DataSetRow, LabelRow, UsageRow, WorkerRow
from .source import Source

Row = TypeVar("Row")
Item = TypeVar("Item")


_log = logging.getLogger(__name__)


def errors_in(record: ResultRecord) -> ErrorValues | None:
    """Return the errors of a model that a result holds, None where it holds none that can be read."""
    if record.kind != ERRORS:
        return None
    try:
        return MODEL_ERRORS.read(record)
    except RecordUnreadable:
        return None


@dataclass(frozen=True)
class Table(Generic[Row]):
    """The rows of one collection by key, with the stamps they were read at; ``version`` grows with every change."""

    version: int = 0
    rows: Mapping[Hashable, Row] = field(default_factory=dict)
    stamps: Mapping[Hashable, Hashable] = field(default_factory=dict)

    def refreshed(self, source: Source, name: str, make: Callable[[Mapping[str, Any]], Row | None]) -> Table[Row]:
        """Return the table as it is now; the same object where nothing that is shown has changed."""
        stamps = source.stamps(name)
        if stamps == self.stamps:
            return self
        changed = [key for key, stamp in stamps.items() if self.stamps.get(key) != stamp]
        gone = [key for key in self.rows if key not in stamps]
        found: dict[Hashable, Row] = dict(self.rows)
        for key in gone:
            del found[key]
        differs = bool(gone)
        for key, document in source.documents(name, changed):
            row = _readable_row(make, document)
            before = found.pop(key, None) if row is None else found.get(key)
            if row is not None:
                found[key] = row
            differs |= before is not row and before != row
        return Table(self.version + differs, found if differs else self.rows, stamps)


def _readable_row(make: Callable[[Mapping[str, Any]], Row | None], document: Mapping[str, Any]) -> Row | None:
    try:
        return make(document)
    except (RecordUnreadable, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # Others may write to the database: one odd document must not take the page away.
        _log.warning("document %r cannot be shown: %s", document.get("_id"), type(error).__name__)
        return None


MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = MappingProxyType(
    {
        "campaigns": lambda document: CampaignRecord.from_document(dict(document)),
        JOBS: job_row,
        RUNS: rows.shown_run,
        GRAPHS: graph_row,
        "workers": rows.worker_row,
        "configurations": rows.configuration_row,
        "labels": rows.label_row,
        "data_sets": rows.data_set_row,
        "models": lambda document: ModelRecord.from_document(dict(document)),
        "trajectories": lambda document: TrajectoryRecord.from_document(dict(document)),
        "results": lambda document: ResultRecord.from_document(dict(document)),
        "usage": rows.usage_row,
        "controls": Control.model_validate,
        "queue_jobs": QueueJob.model_validate,
        "surveys": lambda document: SurveyRecord.from_document(dict(document)),
    }
)
"""How each collection that is shown becomes rows."""


def _grouped(items: Any, key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


@dataclass(frozen=True)
class Snapshot:
    """The store at one moment; ``revision`` grows with every change that a page may show."""

    revision: int
    tables: Mapping[str, Table[Any]]

    def version(self, *names: str) -> tuple[int, ...]:
        """Return what changes when one of these collections does."""
        return tuple(self.tables[name].version for name in names)

    def _values(self, name: str) -> list[Any]:
        return list(self.tables[name].rows.values())

    @cached_property
    def campaigns(self) -> dict[str, CampaignRecord]:
        """Campaigns by name, the newest first."""
        found = sorted(self._values("campaigns"), key=lambda record: record.created, reverse=True)
        return {record.id: record for record in found}

    @cached_property
    def surveys(self) -> dict[str, SurveyRecord]:
        """Surveys by name, the newest first."""
        found = sorted(self._values("surveys"), key=lambda record: record.created, reverse=True)
        return {record.id: record for record in found}

    @cached_property
    def jobs_of(self) -> dict[str, list[JobRow]]:
        """Jobs by campaign."""
        return _grouped(self._values(JOBS), lambda job: job.campaign)

    @cached_property
    def jobs(self) -> dict[int, JobRow]:
        """Jobs by number."""
        return {job.number: job for job in self._values(JOBS)}

    @cached_property
    def runs(self) -> dict[int, RunRow]:
        """Runs of jobs by number."""
        return {run.number: run for run in self._values(RUNS)}

    @cached_property
    def links(self) -> dict[int, tuple[int, ...]]:
        """Children of every job."""
        graphs: list[GraphRow] = self._values(GRAPHS)
        return {job: children for graph in graphs for job, children in graph.links.items()}

    @cached_property
    def workers(self) -> dict[str, WorkerRow]:
        """Workers by name."""
        return {worker.name: worker for worker in self._values("workers")}

    @cached_property
    def configurations(self) -> dict[str, ConfigurationRow]:
        """Configurations by identifier, in the order of campaign, generation and index."""
        found = self._values("configurations")
        found.sort(key=lambda one: (one.campaign, one.generation, one.sampler, one.index, one.id))
        return {one.id: one for one in found}

    @cached_property
    def configurations_of(self) -> dict[str, list[ConfigurationRow]]:
        """Configurations by campaign."""
        return _grouped(self.configurations.values(), lambda one: one.campaign)

    @cached_property
    def children_of(self) -> dict[str, list[str]]:
        """Identifiers of configurations by that of their parent."""
        found = _grouped((one for one in self.configurations.values() if one.parent), lambda one: one.parent)
        return {parent: [one.id for one in children] for parent, children in found.items()}

    @cached_property
    def _labels(self) -> dict[tuple[str, str], LabelRow]:
        return {(label.content_hash, label.settings_hash): label for label in self._values("labels")}

    @cached_property
    def _engines(self) -> dict[str, str]:
        found = {}
        for record in self.campaigns.values():
            try:
                found[record.id] = engine_hash(record)
            except UnknownKind:
                # What the labels say, which an engine that is not installed here gave.
                labels = (label for label in self._values("labels") if label.campaign == record.id)
                found[record.id] = next((label.settings_hash for label in labels), "")
            except (RecordUnreadable, ValidationError, KeyError):
                # Of a later version, or not ours: its labels cannot be told from others'.
                continue
        return found

    def label_of(self, configuration: ConfigurationRow) -> LabelRow | None:
        """Return the label by the reference engine of the configuration's campaign."""
        engine = self._engines.get(configuration.campaign)
        return None if engine is None else self._labels.get((configuration.content_hash, engine))

    @cached_property
    def models(self) -> dict[str, ModelRecord]:
        """Models by identifier, in the order of campaign, generation and kind."""
        found = sorted(self._values("models"), key=lambda one: (one.campaign, one.generation, one.kind, one.created))
        return {model.id: model for model in found}

    @cached_property
    def model_names(self) -> tuple[str, ...]:
        """What the models of the store, and those that results are of, are called; with the reference."""
        told = (one.model_kind for one in self.results.values() if one.model_kind)
        return tuple(in_order((REFERENCE, *(model.kind for model in self.models.values()), *told)))

    @cached_property
    def data_sets(self) -> dict[str, DataSetRow]:
        """Data sets by identifier."""
        return {one.id: one for one in self._values("data_sets")}

    def is_final(self, model: ModelRecord) -> bool:
        """Return whether a model was fitted to all data, after the loop: the loop fits to earlier generations'."""
        data_set = self.data_sets.get(model.data_set)
        return data_set is not None and data_set.generation == model.generation

    @cached_property
    def results(self) -> dict[str, ResultRecord]:
        """Results by identifier, in the order of campaign, kind and generation."""
        found = sorted(self._values("results"), key=lambda one: (one.campaign, one.kind, one.generation, one.id))
        return {result.id: result for result in found}

    @cached_property
    def results_of(self) -> dict[str, list[ResultRecord]]:
        """Results by campaign."""
        return _grouped(self.results.values(), lambda one: one.campaign)

    @cached_property
    def errors(self) -> dict[str, ErrorValues]:
        """What errors of models hold, by identifier of the result; what cannot be read is left out."""
        found = ((result.id, errors_in(result)) for result in self.results.values())
        return {name: errors for name, errors in found if errors is not None}

    @cached_property
    def errors_of_model(self) -> dict[tuple[str, str], ResultRecord]:
        """Errors by model and subset."""
        return {(str(self.results[name].model), one.subset): self.results[name] for name, one in self.errors.items()}

    def assessments_of(self, campaign: str) -> list[ResultRecord]:
        """Return the errors on new configurations of a campaign, in the order of generations."""
        found = self.results_of.get(campaign, [])
        return [one for one in found if one.id in self.errors and self.errors[one.id].subset == NEW]

    @cached_property
    def trajectories(self) -> dict[str, TrajectoryRecord]:
        """Trajectories by identifier."""
        return {one.id: one for one in self._values("trajectories")}

    @cached_property
    def core_hours(self) -> dict[str, dict[str, float]]:
        """Core hours by campaign and engine."""
        usage: list[UsageRow] = self._values("usage")
        return {
            campaign: {one.engine: one.core_seconds / 3600 for one in sorted(used, key=lambda one: one.engine)}
            for campaign, used in _grouped(usage, lambda one: one.campaign).items()
        }

    @cached_property
    def controls(self) -> dict[str, Control]:
        """What was decided, by campaign."""
        return {one.campaign: one for one in self._values("controls")}

    @cached_property
    def queue_jobs_of(self) -> dict[str, list[QueueJob]]:
        """Queue jobs by campaign."""
        return _grouped(sorted(self._values("queue_jobs"), key=lambda one: one.submitted), lambda one: one.campaign)

    # -- what follows from them ---------------------------------------------------------------------------------

    @cached_property
    def error_history(self) -> dict[str, list[GenerationErrors]]:
        """Errors on new configurations by campaign, generation by generation: what the stop rule looks at."""
        return {campaign: self._history(self.assessments_of(campaign)) for campaign in self.results_of}

    def audit_history(self, campaign: str) -> list[GenerationErrors]:
        """Return the errors on a campaign's audit set of those models that were measured on new configurations, too."""
        new = self.assessments_of(campaign)
        found = {(one.generation, one.model): self.errors_of_model.get((str(one.model), AUDIT)) for one in new}
        return self._history([one for one in found.values() if one is not None])

    def _history(self, assessments: list[ResultRecord]) -> list[GenerationErrors]:
        return [
            generation_errors(generation, {str(one.model_kind): self.errors[one.id] for one in members})
            for generation, members in sorted(_grouped(assessments, lambda one: one.generation).items())
        ]

    @cached_property
    def _standings(self) -> dict[str, tuple[State, str]]:
        return {
            name: state_of_campaign(
                record,
                self.jobs_of.get(name, []),
                self.controls.get(name) or Control(campaign=name),
            )
            for name, record in self.campaigns.items()
        }

    def standing(self, campaign: str) -> tuple[State, str]:
        """Return the campaign's state and why."""
        return self._standings[campaign]

    @cached_property
    def _counts(self) -> dict[str, dict[State, int]]:
        found = {}
        for name in self.campaigns:
            labels = {
                one.content_hash: label.state
                for one in self.configurations_of.get(name, ())
                if (label := self.label_of(one)) is not None
            }
            found[name] = dict(count_states(self.jobs_of.get(name, ()), labels))
        return found

    def job_counts(self, campaign: str) -> dict[State, int]:
        """Return the number of the campaign's jobs in each state, states that no job is in left out."""
        return self._counts[campaign]

    def _failed_labels(self, campaign: str) -> list[tuple[ConfigurationRow, LabelRow]]:
        return [
            (one, label)
            for one in self.configurations_of.get(campaign, ())
            if (label := self.label_of(one)) is not None and label.state in UNSUCCESSFUL
        ]

    def failures(self, campaign: str) -> list[FailedJob]:
        """Return the campaign's unsuccessful labels and jobs, in the order of generations, without logs."""
        found = [
            FailedJob(
                id=label.id,
                key=f"generation-{one.generation}/label/{one.id}",
                kind=LABEL_KIND,
                generation=one.generation,
                state=label.state,
                reason=label.reason,
            )
            for one, label in self._failed_labels(campaign)
        ]
        found += [self._failed_job(job) for job in self.jobs_of.get(campaign, ()) if job.state in UNSUCCESSFUL]
        return sorted(found, key=lambda failure: (failure.generation, failure.key))

    def _failed_job(self, job: JobRow) -> FailedJob:
        state, reason = failure_of(job, self.runs.get(job.runs[-1]) if job.runs else None)
        return FailedJob(
            id=str(job.number), key=job.key, kind=job.kind, generation=job.generation, state=state, reason=reason
        )

    def failure_signature(self, campaign: str) -> Hashable:
        """Return what changes when the campaign's failures do."""
        jobs = tuple((job.number, job.updated) for job in self.jobs_of.get(campaign, ()) if job.state in UNSUCCESSFUL)
        return jobs, tuple((label.id, label.created, label.state) for _, label in self._failed_labels(campaign))


def read_snapshot(source: Source, before: Snapshot | None) -> Snapshot:
    """Return the store as it is now; the same object where nothing that is shown has changed."""
    known: Mapping[str, Table[Any]] = {} if before is None else before.tables
    tables = {name: known.get(name, Table()).refreshed(source, name, make) for name, make in MAKERS.items()}
    if before is None:
        return Snapshot(1, tables)
    if all(tables[name].version == known[name].version for name in tables):
        # Stamps may have moved without a change: they are kept, so that those documents are not read again.
        return Snapshot(before.revision, tables) if any(tables[n] is not known[n] for n in tables) else before
    return Snapshot(before.revision + 1, tables)
