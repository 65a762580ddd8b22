"""Where a campaign stands, in one value that the terminal, scripts and pages show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import Field

from ...core.names import AUDIT, ISOLATED_ATOM, TUNING
from ...core.settings import FrozenModel
from ...core.states import UNSUCCESSFUL, State
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ...store.jobs.queue import jobs_of, running
from ...store.jobs.rows import JobRow
from ...store.queries.latest import latest_by_model
from ...store.queries.rows import reference_hash
from ...store.records import CampaignRecord
from ...tasks.values.tuning import TUNINGS
from ..campaign.tuning import is_tuned
from ..loop.error_history import error_history, properties_by_generation
from ..loop.learning_rule import LearningStanding, learning_standings
from ..loop.stop_rule import GenerationErrors
from ..queue.queue_jobs import count_by_state, queue_jobs
from ..running.lost_jobs import losses_by_cause
from ..submission.holds import budget_of, control_of, core_hours
from .standing import answered_configurations, count_states, state_of_campaign


class RunningJob(FrozenModel):
    """A job that runs now."""

    key: str
    kind: str
    worker: str
    seconds: float
    done: int | None = None
    of: int | None = None
    seconds_left: float | None = None


class FailedJob(FrozenModel):
    """A job or a label that did not succeed, and why."""

    id: str
    key: str
    kind: str
    generation: int
    state: State
    reason: str
    log: list[str] = Field(default_factory=list)


class SystemErrors(FrozenModel):
    """Errors (eV/atom, eV/Å) on a generation's new configurations of one system, by model kind."""

    energy_rmse: dict[str, float]
    force_rmse: dict[str, float]


class PropertyStanding(FrozenModel):
    """What is known of a property after a generation: its error (95 %, unit of the tolerance), and in words."""

    error: float | None
    unit: str
    text: str


class GenerationSummary(FrozenModel):
    """A generation's labels and the errors (eV/atom, eV/Å) on its new configurations, by model kind, and by system.

    ``audit_energy_rmse`` and ``audit_force_rmse`` are those on the audit set, ``properties`` what was known of those
    that the campaign asks for.
    """

    generation: int
    labels: int
    labels_finished: int
    energy_rmse: dict[str, float] = Field(default_factory=dict)
    force_rmse: dict[str, float] = Field(default_factory=dict)
    systems: dict[str, SystemErrors] = Field(default_factory=dict)
    audit_energy_rmse: dict[str, float] = Field(default_factory=dict)
    audit_force_rmse: dict[str, float] = Field(default_factory=dict)
    properties: dict[str, PropertyStanding] = Field(default_factory=dict)


class TuningSummary(FrozenModel):
    """The last search for a model's hyperparameters: left-out force errors (eV/Å) and the keys that it changed."""

    generation: int
    configurations: int
    force_before: float | None
    force_after: float | None
    changed: tuple[str, ...]


class LearningSummary(FrozenModel):
    """Where an entry of ``explore`` that learns stands; errors (eV/Å) are those of its audits, at 95 %.

    ``round`` counts within the generation, ``simulated_ps`` and ``labels_used`` over all; ``ended`` says why learning
    ended in the generation.
    """

    system: str | None
    entry: int
    generation: int
    round: int
    simulated_ps: float
    alarms_per_ps: float | None
    labels_used: int
    max_labels: int
    audits: int
    force_rmse: float | None
    force_low: float | None
    force_high: float | None
    force_tolerance: float
    ended: str


class CampaignStatus(FrozenModel):
    """Where a campaign stands.

    ``hold`` is what a person or the budget decided ("paused", "cancelled", or nothing), ``queue`` the queue jobs by
    state, ``losses`` how often jobs were lost and put back by cause, ``core_hours`` what was used by engine, and
    ``max_core_hours`` the budget by engine ("all": of all together), ``tunings`` the last search for the
    hyperparameters of each model, ``asked_properties`` the tolerances of the properties that the loop shall end with,
    ``learning`` the entries of ``explore`` that learn on the fly.
    """

    name: str
    state: State
    reason: str
    generation: int
    max_generations: int
    jobs: dict[str, int]
    running: list[RunningJob]
    generations: list[GenerationSummary]
    seconds: float
    hold: str = ""
    queue: dict[str, int] = Field(default_factory=dict)
    losses: dict[str, int] = Field(default_factory=dict)
    core_hours: dict[str, float] = Field(default_factory=dict)
    max_core_hours: dict[str, float] = Field(default_factory=dict)
    tunings: dict[str, TuningSummary] = Field(default_factory=dict)
    asked_properties: dict[str, str] = Field(default_factory=dict)
    learning: list[LearningSummary] = Field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether no job will run without a person's doing."""
        held = bool(self.hold) and not self.jobs.get(State.RUNNING.value, 0)
        return held or self.state in UNSUCCESSFUL | {State.FINISHED, State.CANCELLED}


def _errors_of_systems(errors: GenerationErrors) -> dict[str, SystemErrors]:
    return {
        name: SystemErrors(energy_rmse=dict(one.energy), force_rmse=dict(one.force))
        for name, one in errors.systems.items()
    }


def campaign_status(store: Store, name: str | None = None) -> CampaignStatus:
    """Return where the campaign stands.

    Raises
    ------
    InputError
        If there is no such campaign.
    """
    record = find_campaign(store, name)
    jobs = jobs_of(store, record.id)
    configurations = _configurations(store, record.id)
    labels = _label_states(store, record, configurations, answered_configurations(jobs))
    states = count_states(jobs, labels)
    history = {errors.generation: errors for errors in error_history(store, record.id)}
    stop = record.settings["stop"]
    audited = {one.generation: one for one in error_history(store, record.id, AUDIT)} if stop.get("audit") else {}
    asked = stop.get("properties") or {}
    known = _property_standings(store, record.id) if asked else {}
    per_generation = _by_generation(configurations)
    generations = [
        GenerationSummary(
            generation=generation,
            labels=len(configurations),
            labels_finished=sum(labels.get(c) is State.FINISHED for c in configurations),
            energy_rmse=dict(history[generation].energy) if generation in history else {},
            force_rmse=dict(history[generation].force) if generation in history else {},
            systems=_errors_of_systems(history[generation]) if generation in history else {},
            audit_energy_rmse=dict(audited[generation].energy) if generation in audited else {},
            audit_force_rmse=dict(audited[generation].force) if generation in audited else {},
            properties=known.get(generation, {}),
        )
        for generation, configurations in sorted(per_generation.items())
    ]
    control = control_of(store, record.id)
    state, reason = state_of_campaign(record, jobs, control)
    end = record.ended or datetime.now(UTC)
    return CampaignStatus(
        name=record.id,
        state=state,
        reason=reason,
        generation=max((job.generation for job in jobs), default=0),
        max_generations=int(record.settings["stop"]["max_generations"]),
        jobs={state.value: count for state, count in states.items()},
        running=_running_jobs(store, jobs),
        generations=generations,
        seconds=(end - record.created).total_seconds(),
        hold=control.hold.value if control.hold else "",
        queue=count_by_state(queue_jobs(store, record.id)),
        losses=losses_by_cause(store, record.id),
        core_hours=core_hours(store, record.id),
        tunings=_tunings(store, record),
        asked_properties=dict(asked),
        learning=[_learning(one) for one in learning_standings(store, record.id)],
        max_core_hours={engine or "all": hours for engine, hours in budget_of(store, record.id).items()},
    )


def _learning(standing: LearningStanding) -> LearningSummary:
    update, last = standing.update, standing.round
    audited = update.audited
    return LearningSummary(
        system=standing.system,
        entry=standing.entry,
        generation=standing.generation,
        round=0 if last is None else last.round,
        simulated_ps=0.0 if last is None else last.simulated_ps,
        alarms_per_ps=last.alarms / last.round_ps if last is not None and last.round_ps else None,
        labels_used=standing.labels_used,
        max_labels=update.max_labels,
        audits=0 if audited is None else audited.audits,
        force_rmse=None if audited is None else audited.force_rmse_eV_per_A,
        force_low=None if audited is None else audited.force_low_eV_per_A,
        force_high=None if audited is None else audited.force_high_eV_per_A,
        force_tolerance=update.force_tolerance_eV_per_A,
        ended=update.ended or ("" if last is None else last.ended),
    )


def _tunings(store: Store, record: CampaignRecord) -> dict[str, TuningSummary]:
    """Return the last search of each model; nothing is asked for where the campaign has none."""
    if not is_tuned(record.settings):
        return {}
    found = {
        name: (one.generation, TUNINGS.read(one)) for name, one in latest_by_model(store, record.id, TUNING).items()
    }
    return {
        name: TuningSummary(
            generation=generation,
            configurations=values.configurations,
            force_before=values.before.force_eV_per_A,
            force_after=values.after.force_eV_per_A,
            changed=values.changed,
        )
        for name, (generation, values) in found.items()
    }


def _property_standings(store: Store, campaign: str) -> dict[int, dict[str, PropertyStanding]]:
    return {
        generation: {
            name: PropertyStanding(error=one.error, unit=one.unit, text=one.text) for name, one in of_name.items()
        }
        for generation, of_name in properties_by_generation(store, campaign).items()
    }


class _Configuration(NamedTuple):
    id: str
    generation: int
    content_hash: str
    sampler: str


class _Label(NamedTuple):
    content_hash: str
    state: State
    campaign: str


def _configuration(document: dict[str, Any]) -> _Configuration:
    sampler = document["origin"]["sampler"]
    return _Configuration(document["_id"], document["generation"], document["content_hash"], sampler)


def _label(document: dict[str, Any]) -> _Label:
    return _Label(document["content_hash"], State(document["state"]), document["campaign"])


def _configurations(store: Store, campaign: str) -> tuple[_Configuration, ...]:
    fields = {"generation": 1, "content_hash": 1, "origin.sampler": 1}
    return store.digests("configurations", {"campaign": campaign}, fields, _configuration)


def _by_generation(configurations: Iterable[_Configuration]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for one in configurations:
        if one.sampler != ISOLATED_ATOM:
            found.setdefault(one.generation, []).append(one.content_hash)
    return found


def _label_states(
    store: Store, record: CampaignRecord, configurations: Iterable[_Configuration], answered: set[str]
) -> dict[str, State]:
    """Return the state of each label by the content of its configuration.

    Finished labels that another campaign of the store computed count too: they are found by content. What another
    campaign failed at counts only where this one's own job has ended with it.
    """
    names = {one.content_hash: one.id for one in configurations}
    # All labels of the reference: a question with thousands of values takes longer than its answer.
    fields = {"content_hash": 1, "state": 1, "campaign": 1}
    wanted = {"settings_hash": reference_hash(store, record)}
    labels: tuple[_Label, ...] = store.digests("labels", wanted, fields, _label)
    return {
        label.content_hash: label.state
        for label in labels
        if label.content_hash in names
        and (label.state not in UNSUCCESSFUL or label.campaign == record.id or names[label.content_hash] in answered)
    }


def _running_jobs(store: Store, jobs: Sequence[JobRow]) -> list[RunningJob]:
    found = []
    for job, run in running(store, jobs):
        started = run.started or time.time()
        progress = (store.workers.find_one({"_id": run.worker}) or {}).get("progress")
        done = of = left = None
        # A worker's progress may still be that of its job before.
        if progress and progress["at"] >= started and progress["done"]:
            done, of = progress["done"], progress["of"]
            left = (progress["at"] - started) * (of - done) / done
        found.append(
            RunningJob(
                key=job.key,
                kind=job.kind,
                worker=run.worker or "?",
                seconds=max(0.0, time.time() - started),
                done=done,
                of=of,
                seconds_left=left,
            )
        )
    return sorted(found, key=lambda job: job.key)
