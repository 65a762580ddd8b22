"""What is known of the campaign of a crystal: read from a store, or from whatever else holds its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ...core.names import AUDIT, ERRORS, NEW
from ...core.states import State
from ...store.connection import Store
from ...store.jobs.queue import jobs_of
from ...store.jobs.rows import JobRow
from ...store.records import RecordUnreadable, ResultRecord, SurveyRecord
from ...tasks.values.loop import MODEL_ERRORS, ErrorValues
from ...tasks.values.screening import (
    SCREENING_CELLS,
    SCREENING_RUNS,
    SCREENINGS,
    ScreeningRunValues,
    ScreeningValues,
)
from ..submission.holds import all_controls, control_of
from ..watching.standing import state_of_campaign

KINDS: Final = (ERRORS, SCREENINGS.name, SCREENING_RUNS.name, SCREENING_CELLS.name)
"""Kinds of results that a survey shows something of."""


@dataclass(frozen=True)
class CampaignFacts:
    """The campaign of a crystal.

    Attributes
    ----------
    begun
        Whether any of its jobs has been started.
    labels
        Labels that its last models were fitted to.
    errors
        Of the model that is asked, on the audit set, else on new configurations; None before there are any.
    screened
        Whether its models are final and their screening has begun.
    runs
        Of the screening, in their order.
    summary
        What all runs say; None before they have ended.
    """

    state: State
    reason: str = ""
    begun: bool = False
    labels: int = 0
    errors: ErrorValues | None = None
    screened: bool = False
    runs: tuple[ScreeningRunValues, ...] = ()
    summary: ScreeningValues | None = None


def facts_from(
    standing: tuple[State, str], jobs: Iterable[JobRow], results: Sequence[ResultRecord], labels: int, model: str
) -> CampaignFacts:
    """Return what records say of a campaign; ``model`` is the one whose screening counts, where it has one."""
    state, reason = standing
    summaries = _of_last_generation(results, SCREENINGS.name)
    found = [one for one in results if one.kind == SCREENING_RUNS.name]
    cells = [one for one in results if one.kind == SCREENING_CELLS.name]
    asked = {str(one.model_kind) for one in (*summaries, *found, *cells)}
    if asked and model not in asked:
        model = min(asked)
    summary = next((one for one in reversed(summaries) if one.model_kind == model), None)
    if summary is None:
        runs = [one for one in _of_last_generation(found, SCREENING_RUNS.name) if one.model_kind == model]
    else:
        runs = [one for one in found if one.id in summary.inputs]
    return CampaignFacts(
        state=state,
        reason=reason,
        begun=any(job.runs or job.earlier_runs for job in jobs),
        labels=labels,
        errors=_errors(results, model),
        screened=bool(asked),
        runs=tuple(sorted(filter(None, map(_run, runs)), key=lambda one: one.run)),
        summary=None if summary is None else _summary(summary),
    )


def facts_of(store: Store, record: SurveyRecord) -> dict[str, CampaignFacts]:
    """Return what a store knows of the campaigns of a survey, by name; those that it does not have are left out."""
    names = list(record.campaigns)
    controls = all_controls(store)
    found = {}
    for campaign in store.campaigns.find({"_id": {"$in": names}}):
        jobs = jobs_of(store, campaign.id)
        results = list(store.results.find({"campaign": campaign.id, "kind": {"$in": list(KINDS)}}))
        sets = store.data_sets.find({"campaign": campaign.id})
        labels = max((len(one.labels) for one in sets), default=0)
        control = controls.get(campaign.id) or control_of(store, campaign.id)
        standing = state_of_campaign(campaign, jobs, control)
        found[campaign.id] = facts_from(standing, jobs, results, labels, record.model)
    return found


def _of_last_generation(results: Iterable[ResultRecord], kind: str) -> list[ResultRecord]:
    found = [one for one in results if one.kind == kind]
    last = max((one.generation for one in found), default=0)
    return sorted((one for one in found if one.generation == last), key=lambda one: one.created)


def _errors(results: Iterable[ResultRecord], model: str) -> ErrorValues | None:
    """Return the last errors of a model on labels that it was not fitted to, those of the audit set before others."""
    found = [one for one in results if one.kind == ERRORS and one.model_kind == model]
    for subset in (AUDIT, NEW):
        for one in sorted(found, key=lambda one: (one.generation, one.created), reverse=True):
            try:
                values = MODEL_ERRORS.read(one)
            except RecordUnreadable:
                continue
            if values.subset == subset:
                return values
    return None


def _run(record: ResultRecord) -> ScreeningRunValues | None:
    try:
        return SCREENING_RUNS.read(record)
    except RecordUnreadable:
        return None


def _summary(record: ResultRecord) -> ScreeningValues | None:
    try:
        return SCREENINGS.read(record)
    except RecordUnreadable:
        return None
