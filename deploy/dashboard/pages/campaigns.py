"""The pages of campaigns and jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, url_for
from markupsafe import Markup
from pydantic import ValidationError

from ....analysis.looks import in_order
from ....core.formulas import formula_of
from ....core.names import ISOLATED_ATOM, LEARNING_ROUND, LEARNING_UPDATE
from ....core.states import State
from ....store.jobs.rows import JobRow
from ....store.records import CampaignRecord, RecordUnreadable, ResultRecord
from ....tasks.values.properties import PROPERTIES
from ....workflows.campaign.samplers import only_learns
from ....workflows.campaign.settings import Stop
from ....workflows.loop.error_history import properties_in, property_history_of, verdict_after
from ....workflows.loop.learning_rule import AUDITS, learning_verdict, standings_in
from ....workflows.loop.stop_rule import NEW_CONFIGURATIONS, StopSettings, improves
from ....workflows.report.page import settings_yaml
from ..charts import MILLI, element_chart, label_chart, learning_charts
from ..drawing import GraphJob, Run, job_graph, sparkline, timeline
from ..snapshot import Snapshot
from .shared import missing, reader, show, wanted, wanted_number

pages = Blueprint("campaigns", __name__)

STATE_ORDER = (
    State.RUNNING,
    State.READY,
    State.WAITING,
    State.FINISHED,
    State.UNCONVERGED,
    State.REJECTED,
    State.KILLED,
    State.FAILED,
    State.CANCELLED,
)
MOST_GROUPS = 30
PATH_ARTEFACT = "band"
"""Results with a file of this name have a path whose images can be played."""


@dataclass(frozen=True)
class LastEvent:
    """What happened last in a campaign."""

    key: str
    state: State
    at: datetime


@dataclass(frozen=True)
class CampaignSummary:
    """A campaign in the list."""

    record: CampaignRecord
    state: State
    reason: str
    hold: str
    generation: int
    most_generations: int | None
    spark: Markup
    force_errors: tuple[tuple[str, float], ...]
    jobs: tuple[tuple[State, int], ...]
    core_hours: float
    event: LastEvent | None

    @property
    def formula(self) -> str:
        """Formula of the starting structure."""
        return formula_of(self.record.structure.to_atoms())


@pages.get("/")
def campaign_list() -> Response:
    """Show all campaigns of the store."""
    return show("campaigns.html", _campaign_list)


def _campaign_list(snapshot: Snapshot) -> dict[str, Any]:
    summaries = [campaign_summary(snapshot, name) for name in snapshot.campaigns]
    return {"campaigns": summaries, "models": in_order(model for one in summaries for model, _ in one.force_errors)}


def campaign_summary(snapshot: Snapshot, name: str) -> CampaignSummary:
    """Return a campaign as the list shows it."""
    record = snapshot.campaigns[name]
    state, reason = snapshot.standing(name)
    history = snapshot.error_history.get(name, [])
    kinds = in_order(kind for one in history for kind in one.force)
    series = {kind: [one.force[kind] for one in history if kind in one.force] for kind in kinds}
    control = snapshot.controls.get(name)
    counts = snapshot.job_counts(name)
    described = f"Force error over {len(history)} generations"
    return CampaignSummary(
        record=record,
        state=state,
        reason=reason,
        hold=control.hold.value if control is not None and control.hold else "",
        generation=max((job.generation for job in snapshot.jobs_of.get(name, ())), default=0),
        most_generations=_stop_setting(record, "max_generations"),
        spark=sparkline(series, described),
        force_errors=tuple((kind, MILLI * errors[-1]) for kind, errors in series.items()),
        jobs=tuple((one, counts[one]) for one in STATE_ORDER if counts.get(one)),
        core_hours=sum(snapshot.core_hours.get(name, {}).values()),
        event=_last_event(snapshot.jobs_of.get(name, ())),
    )


def _stop_setting(record: CampaignRecord, name: str) -> Any:
    stop = record.settings.get("stop")
    return stop.get(name) if isinstance(stop, dict) else None


def _last_event(jobs: Sequence[JobRow]) -> LastEvent | None:
    told = [job for job in jobs if job.updated is not None and job.state is not State.WAITING]
    if not told:
        return None
    last = max(told, key=lambda job: job.updated or datetime.min.replace(tzinfo=UTC))
    return LastEvent(last.key, last.state, last.updated) if last.updated else None


# -- one campaign -----------------------------------------------------------------------------------------------------


@pages.get("/campaign")
def campaign() -> Response:
    """Show one campaign."""
    name = wanted("name")
    chosen = wanted_number("generation", -1)
    return show("campaign.html", lambda snapshot: campaign_page(snapshot, name, chosen))


def campaign_page(snapshot: Snapshot, name: str, chosen: int) -> dict[str, Any]:
    """Return what the page of a campaign shows, with the job graph of generation ``chosen`` (-1: the last)."""
    if name not in snapshot.campaigns:
        missing("campaign", name)
    summary = campaign_summary(snapshot, name)
    configurations = [one for one in snapshot.configurations_of.get(name, ()) if one.sampler != ISOLATED_ATOM]
    sections, problems = reader().sections(snapshot, name)
    jobs = snapshot.jobs_of.get(name, [])
    generations = sorted({job.generation for job in jobs})
    generation = chosen if chosen in generations else (generations[-1] if generations else 0)
    assessed = last_assessed(snapshot, name)
    groups = reader().failure_groups(snapshot, name)
    end = summary.record.ended or datetime.now(UTC)
    return {
        "campaign": summary,
        "seconds": (end - summary.record.created).total_seconds(),
        "learning": learning_charts(snapshot, name, reader().force_bounds(snapshot, name)),
        "elements": element_chart(assessed),
        "labels": label_chart(snapshot, configurations),
        "assessed": assessed,
        "stop": stop_rule(snapshot, summary.record),
        "generations": generations,
        "generation": generation,
        "graph": graph_of_generation(snapshot, name, generation),
        "graph_states": sorted({job.state.value for job in jobs if job.generation == generation}),
        "timeline": timeline_of(snapshot, jobs),
        "running": running_jobs(snapshot, jobs),
        "groups": groups[:MOST_GROUPS],
        "groups_left_out": max(0, len(groups) - MOST_GROUPS),
        "sections": sections,
        "paths": [one for one in snapshot.results_of.get(name, ()) if PATH_ARTEFACT in one.artefacts],
        "section_problems": problems,
        "core_hours": snapshot.core_hours.get(name, {}),
        "queue": snapshot.queue_jobs_of.get(name, []),
        "settings": settings_yaml(summary.record.settings),
        "labels_finished": sum(
            (label := snapshot.label_of(one)) is not None and label.state is State.FINISHED for one in configurations
        ),
        "labels_all": len(configurations),
        "numbers": _curve_numbers(snapshot, name),
    }


def last_assessed(snapshot: Snapshot, name: str) -> list[ResultRecord]:
    """Return the errors on new configurations of the last model of each kind."""
    last = {str(one.model_kind): one for one in snapshot.assessments_of(name)}
    return [last[name] for name in in_order(last)]


def _curve_numbers(snapshot: Snapshot, name: str) -> list[tuple[int, str, float, float]]:
    return [
        (one.generation, kind, MILLI * one.force[kind], MILLI * one.energy[kind])
        for one in snapshot.error_history.get(name, ())
        for kind in in_order(one.force)
        if kind in one.energy
    ]


@dataclass(frozen=True)
class StopState:
    """What the stop rule says: in words, and for each model whether its errors of the last generation improved."""

    verdict: str
    stops: bool
    settings: StopSettings
    improved: tuple[tuple[str, bool, bool], ...]


def stop_rule(snapshot: Snapshot, record: CampaignRecord) -> StopState | None:
    """Return the stop rule's state, None before the first assessment or where its settings cannot be read."""
    history = snapshot.error_history.get(record.id, [])
    try:
        settings = StopSettings(**{name: record.settings["stop"][name] for name in StopSettings.__dataclass_fields__})
        stop = Stop.model_validate(record.settings["stop"])
        looked_at = [one for one in snapshot.results_of.get(record.id, ()) if one.kind == PROPERTIES.name]
        properties = property_history_of(properties_in(looked_at)) if stop.properties else None
        audited = snapshot.audit_history(record.id)
        standings = standings_in(
            one for one in snapshot.results_of.get(record.id, ()) if one.kind in (LEARNING_ROUND, LEARNING_UPDATE)
        )
        new_are = AUDITS if standings else NEW_CONFIGURATIONS
        verdict = verdict_after(history, audited, properties, stop, list(record.systems), new_are)
        verdict = learning_verdict(
            verdict,
            standings,
            history[-1].generation,
            alone=bool(standings) and only_learns(record.settings),
            asks_for_properties=bool(stop.properties),
        )
    except (KeyError, TypeError, ValueError, IndexError, ValidationError, RecordUnreadable):
        return None
    kinds = in_order(history[-1].force)
    improved = tuple(
        (
            kind,
            improves([one.energy[kind] for one in history if kind in one.energy], settings.energy_tolerance),
            improves([one.force[kind] for one in history if kind in one.force], settings.force_tolerance),
        )
        for kind in kinds
    )
    return StopState(verdict.reason, verdict.stop, settings, improved)


def graph_of_generation(snapshot: Snapshot, name: str, generation: int) -> Markup:
    """Return the drawing of the jobs of one generation."""
    jobs = [
        GraphJob(
            number=job.number,
            kind=job.kind,
            state=_shown_state(snapshot, job).value,
            address=url_for("campaigns.job", number=job.number),
            title=f"{job.key}: {_shown_state(snapshot, job).value}",
        )
        for job in snapshot.jobs_of.get(name, ())
        if job.generation == generation
    ]
    return job_graph(jobs, snapshot.links, f"Jobs of generation {generation}") if jobs else Markup("")


def _shown_state(snapshot: Snapshot, job: JobRow) -> State:
    """Return a job's state; a label's job that ended is what its label is."""
    if job.kind != "label" or job.state is not State.FINISHED:
        return job.state
    configuration = snapshot.configurations.get(job.key.rpartition("/")[2])
    label = None if configuration is None else snapshot.label_of(configuration)
    return job.state if label is None else label.state


def timeline_of(snapshot: Snapshot, jobs: Sequence[JobRow]) -> Markup:
    """Return what the workers did when, in these jobs."""
    moment = time.time()
    runs = []
    for job in jobs:
        for number in job.all_runs:
            run = snapshot.runs.get(number)
            if run is None or run.started is None:
                continue
            is_running = run.state is State.RUNNING and job.state is State.RUNNING
            end = run.ended or (moment if is_running else run.started)
            state = job.state.value if number == job.all_runs[-1] else "killed"
            title = f"{job.key} on {run.worker}: {state}, {max(0.0, end - run.started):.1f} s"
            runs.append(Run(run.worker, job.kind, state, run.started, max(end, run.started), title))
    return timeline(runs, "What each worker ran when")


@dataclass(frozen=True)
class RunningJob:
    """A job that runs, with its worker's progress where that is known."""

    number: int
    key: str
    worker: str
    started: datetime
    done: int | None
    of: int | None
    seconds_left: float | None


def running_jobs(snapshot: Snapshot, jobs: Sequence[JobRow]) -> list[RunningJob]:
    """Return the jobs that run, with their workers' progress."""
    found = []
    for job in jobs:
        run = snapshot.runs.get(job.all_runs[-1]) if job.state is State.RUNNING and job.all_runs else None
        if run is None or run.started is None:
            continue
        worker = snapshot.workers.get(run.worker)
        # A worker's progress may still be that of its job before.
        done, of, left = None, None, None
        if worker is not None and worker.done and worker.of and worker.at >= run.started:
            done, of = worker.done, worker.of
            left = (worker.at - run.started) * (of - done) / done
        started = datetime.fromtimestamp(run.started, UTC)
        found.append(RunningJob(job.number, job.key, run.worker, started, done, of, left))
    return sorted(found, key=lambda one: one.key)


# -- one job ----------------------------------------------------------------------------------------------------------


@pages.get("/job")
def job() -> Response:
    """Show one job."""
    number = wanted_number("number", 0, lowest=1)
    return show("job.html", lambda snapshot: job_page(snapshot, number))


def job_page(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return what the page of a job shows."""
    if number not in snapshot.jobs:
        missing("job", str(number))
    row = snapshot.jobs[number]
    parents = [
        snapshot.jobs[one] for one, children in snapshot.links.items() if number in children and one in snapshot.jobs
    ]
    children = [snapshot.jobs[one] for one in snapshot.links.get(number, ()) if one in snapshot.jobs]
    last = row.key.rpartition("/")[2]
    configuration = snapshot.configurations.get(last)
    return {
        "job": row,
        "state": _shown_state(snapshot, row),
        "runs": [
            (run, datetime.fromtimestamp(run.started, UTC) if run.started else None)
            for one in row.all_runs
            if (run := snapshot.runs.get(one)) is not None
        ],
        "parents": parents,
        "children": children,
        "configuration": configuration,
        "label": None if configuration is None else snapshot.label_of(configuration),
        "loss": row.loss,
        "log": reader().job_log(row),
    }
