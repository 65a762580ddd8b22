"""The table of a survey as values: where every crystal stands in the funnel, what is known of it, and its rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np

from ...analysis.conductivity.diffusion import Estimate
from ...analysis.screening.censored_arrhenius import CensoredLine
from ...analysis.screening.temperatures import Outcome
from ...core.states import UNSUCCESSFUL, State
from ...store.records import SurveyCandidate, SurveyRecord
from ...tasks.values.loop import ErrorValues
from .facts import CampaignFacts

_DRAWS: Final = 4000
_NORMAL: Final = 1.96
_INTERVAL: Final = (2.5, 97.5)


class Stage(StrEnum):
    """How far a crystal has come."""

    REFUSED = "refused"
    WAITING = "waiting"
    LEARNING = "learning"
    SCREENING = "screening"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class SurveyRow:
    """A crystal of a survey.

    Attributes
    ----------
    told
        Status in words: the outcome, or why there is none.
    determination
        R² of the forces on labels that the model was not fitted to: 1 - Σ(error²)/Σ(force²).
    rank, rank_interval
        Among those that have a number to be ranked by; the interval (95 %) follows from the conductivities' own.
    """

    candidate: SurveyCandidate
    stage: Stage
    told: str
    facts: CampaignFacts | None = None
    determination: float | None = None
    rank: int | None = None
    rank_interval: tuple[int, int] | None = None

    @property
    def outcome(self) -> Outcome | None:
        """What the screening says, None before it has ended."""
        return None if self.facts is None or self.facts.summary is None else self.facts.summary.outcome

    @property
    def conductivity_mS_per_cm(self) -> Estimate | None:
        """At 300 K, of ions without correlation."""
        line = self._line
        return None if line is None else line.extrapolated_conductivity_mS_per_cm

    @property
    def activation_energy_eV(self) -> Estimate | None:
        """From the Arrhenius line."""
        return None if self._line is None else self._line.activation_energy_eV

    @property
    def probability(self) -> float | None:
        """That the conductivity at 300 K is above the threshold of the screening."""
        return None if self._line is None else self._line.probability_above_threshold

    @property
    def _line(self) -> CensoredLine | None:
        return None if self.facts is None or self.facts.summary is None else self.facts.summary.line


def survey_rows(record: SurveyRecord, facts: Mapping[str, CampaignFacts]) -> list[SurveyRow]:
    """Return the crystals of a survey: ranked ones first, then those underway, those without a number, the refused."""
    rows = [_row(one, None if one.campaign is None else facts.get(one.campaign)) for one in record.candidates]
    ranked = _ranked([one for one in rows if one.conductivity_mS_per_cm is not None], record.settings.get("rank_by"))
    others = [one for one in rows if one.conductivity_mS_per_cm is None]
    order = {stage: place for place, stage in enumerate(_ORDER)}
    return [*ranked, *sorted(others, key=lambda one: (order[one.stage], one.candidate.name))]


_ORDER: Final = (Stage.ENDED, Stage.SCREENING, Stage.LEARNING, Stage.WAITING, Stage.FAILED, Stage.REFUSED)


FUNNEL: Final = ("candidates", "kept", "begun", "learnt", "lasting", "conducting")
"""Found; passed the filters; with a job done; with a final model in its screening; crystal at some temperature."""


def funnel(rows: Sequence[SurveyRow]) -> list[tuple[str, int]]:
    """Return how many crystals have come how far: each number is part of the one before."""
    kept = [one for one in rows if one.stage is not Stage.REFUSED]
    begun = [one for one in kept if one.facts is not None and one.facts.begun]
    learnt = [one for one in begun if one.facts is not None and one.facts.screened]
    lasting = [one for one in learnt if one.facts and any(run.verdict.sound for run in one.facts.runs)]
    conducting = [one for one in lasting if one.outcome is Outcome.CONDUCTOR]
    return list(zip(FUNNEL, map(len, (rows, kept, begun, learnt, lasting, conducting)), strict=True))


def _row(candidate: SurveyCandidate, facts: CampaignFacts | None) -> SurveyRow:
    if candidate.refused:
        return SurveyRow(candidate, Stage.REFUSED, "; ".join(candidate.refused))
    if facts is None:
        return SurveyRow(candidate, Stage.WAITING, "its campaign is not in the store yet")
    stage = _stage(facts)
    row = SurveyRow(candidate, stage, _told(stage, facts), facts)
    return row if facts.errors is None else replace(row, determination=determination(facts.errors))


def _stage(facts: CampaignFacts) -> Stage:
    if facts.state is State.FINISHED:
        return Stage.ENDED
    if facts.state in UNSUCCESSFUL | {State.CANCELLED}:
        return Stage.FAILED
    if facts.screened:
        return Stage.SCREENING
    return Stage.LEARNING if facts.begun else Stage.WAITING


def _told(stage: Stage, facts: CampaignFacts) -> str:
    if stage is Stage.FAILED:
        return facts.reason or facts.state.value
    if stage is Stage.ENDED:
        return "ended without a screening" if facts.summary is None else _outcome(facts, facts.summary.outcome)
    return facts.reason or stage.value


def _outcome(facts: CampaignFacts, outcome: Outcome) -> str:
    """Return what the screening says; of a crystal that was not seen to last, what became of it last."""
    if facts.runs and not any(one.verdict.sound for one in facts.runs):
        seen = [one for one in facts.runs if one.verdict.gone] or facts.runs
        last = min(seen, key=lambda one: one.temperature_K)
        return f"{outcome}: at {last.temperature_K:g} K {last.told}"
    return str(outcome)


def determination(errors: ErrorValues) -> float | None:
    """Return R² of the forces: 1 minus the mean square of errors over that of the reference's components."""
    count = sum(one.errors.count for one in errors.force_by_magnitude_eV_per_A)
    square = sum(one.reference_rms_eV_per_A**2 * one.errors.count for one in errors.force_by_magnitude_eV_per_A)
    error = sum(one.errors.rmse**2 * one.errors.count for one in errors.force_by_magnitude_eV_per_A)
    return 1.0 - error / square if count and square > 0 else None


# -- ranks -------------------------------------------------------------------------------------------------------------


def _ranked(rows: Sequence[SurveyRow], rank_by: Any) -> list[SurveyRow]:
    # A record may be of another version, which knows more to rank by.
    key = _KEYS.get(str(rank_by), _by_conductivity)
    ordered = sorted(rows, key=lambda one: (key(one), one.candidate.name))
    intervals = rank_intervals([one.conductivity_mS_per_cm for one in ordered if one.conductivity_mS_per_cm])
    return [
        replace(one, rank=place, rank_interval=interval)
        for place, (one, interval) in enumerate(zip(ordered, intervals, strict=True), start=1)
    ]


def _by_conductivity(row: SurveyRow) -> float:
    found = row.conductivity_mS_per_cm
    return 0.0 if found is None else -found.value


def _by_activation_energy(row: SurveyRow) -> float:
    found = row.activation_energy_eV
    return 0.0 if found is None else found.value


def _by_probability(row: SurveyRow) -> tuple[float, float]:
    return -(row.probability or 0.0), _by_conductivity(row)


_KEYS: Final[Mapping[str, Callable[[SurveyRow], Any]]] = {
    "conductivity_300K": _by_conductivity,
    "activation_energy": _by_activation_energy,
    "probability": _by_probability,
}


def rank_intervals(values: Sequence[Estimate]) -> list[tuple[int, int]]:
    """Return between which places (95 %) each of these positive values lies, the largest at place 1.

    Their logarithms are taken as normal with the half-widths of their intervals, and drawn together; the same draws
    every time.
    """
    if not values:
        return []
    middle = np.log([max(one.value, 1e-300) for one in values])
    width = np.array([_log_error(one) for one in values])
    drawn = middle + width * np.random.default_rng(0).standard_normal((_DRAWS, len(values)))
    places = 1 + np.argsort(np.argsort(-drawn, axis=1), axis=1)
    low, high = np.percentile(places, _INTERVAL, axis=0, method="nearest")
    return [(int(first), int(last)) for first, last in zip(low, high, strict=True)]


def _log_error(one: Estimate) -> float:
    if one.low <= 0 or one.high <= 0:
        return 0.0
    return float(np.log(one.high / one.low)) / (2 * _NORMAL)
