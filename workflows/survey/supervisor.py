"""Running a survey on this machine: workers that take jobs of any of its campaigns, until none is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...core.states import UNSUCCESSFUL, State
from ...store.campaigns import find_survey
from ...store.connection import Store
from ...store.jobs.queue import jobs_of
from ..submission.continuation import carry_on
from ..submission.holds import Control, all_controls
from ..watching.standing import state_of_campaign
from ..watching.supervisor import WorkersKeeper

_OVER = UNSUCCESSFUL | {State.FINISHED, State.CANCELLED}


@dataclass(frozen=True)
class SurveyStanding:
    """Where the campaigns of a survey stand.

    Attributes
    ----------
    jobs
        Jobs by state, of those campaigns that nobody holds.
    campaigns
        Campaigns by state.
    held
        Campaigns that a person or their budget holds.
    """

    jobs: Mapping[str, int]
    campaigns: Mapping[State, int]
    held: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether no job will run without a person's doing."""
        active = self.jobs.get(State.RUNNING.value, 0) + self.jobs.get(State.READY.value, 0)
        return not active and all(state in _OVER or self.held for state in self.campaigns)

    @property
    def ended(self) -> int:
        """Campaigns of which no job will run without a person's doing."""
        return sum(count for state, count in self.campaigns.items() if state in _OVER)

    @property
    def unfinished(self) -> int:
        """Campaigns that have not come to their end."""
        return sum(count for state, count in self.campaigns.items() if state is not State.FINISHED)


def survey_standing(store: Store, names: Sequence[str]) -> SurveyStanding:
    """Return where these campaigns stand."""
    controls = all_controls(store)
    jobs: Counter[str] = Counter()
    states: Counter[State] = Counter()
    held = []
    for record in store.campaigns.find({"_id": {"$in": list(names)}}):
        control = controls.get(record.id) or Control(campaign=record.id)
        rows = jobs_of(store, record.id) if record.state is not State.FINISHED else []
        states[state_of_campaign(record, rows, control)[0]] += 1
        counts = Counter(job.state.value for job in rows)
        if control.hold is not None:
            held.append(record.id)
            counts[State.READY.value] = 0
        jobs += counts
    return SurveyStanding(dict(jobs), dict(states), tuple(held))


@dataclass
class SurveySupervisor(WorkersKeeper[SurveyStanding]):
    """Keeps workers running on a store until no campaign of a survey has anything left to run."""

    survey: str = field(kw_only=True)

    def look(self) -> SurveyStanding:
        """Return where the survey stands."""
        return survey_standing(self.store, find_survey(self.store, self.survey).campaigns)

    @property
    def whose_jobs(self) -> Sequence[str]:
        """Those of the survey's campaigns."""
        return ("--survey", self.survey)


def carry_on_survey(store: Store, names: Sequence[str]) -> tuple[str, ...]:
    """Add what was asked for while the last jobs of campaigns were planned already; return the campaigns that go on."""
    return tuple(name for name in names if store.campaigns.get(name) is not None and carry_on(store, name))
