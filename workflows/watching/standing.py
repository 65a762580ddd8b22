"""Where jobs and campaigns stand, from rows alone: the same for the terminal, the ledger and the pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ...core.states import UNSUCCESSFUL, State
from ...store.jobs.rows import JobRow
from ...store.records import CampaignRecord
from ..submission.holds import Control, Hold

LABEL_KIND = "label"
"""Of the jobs that label; and in the ledger, of a label."""


def answered_configurations(jobs: Iterable[JobRow]) -> set[str]:
    """Return the configurations whose label jobs have come to their end."""
    return {
        job.key.split("/")[2]
        for job in jobs
        if job.kind == LABEL_KIND and job.state is State.FINISHED and job.key.count("/") > 1
    }


def count_states(jobs: Iterable[JobRow], labels: Mapping[str, State]) -> Counter[State]:
    """Count the jobs by state; a label job that ended counts as what its label is."""
    counts = Counter(job.state for job in jobs)
    unsuccessful = Counter(state for state in labels.values() if state in UNSUCCESSFUL)
    counts[State.FINISHED] -= sum(unsuccessful.values())
    return +(counts + unsuccessful)


def state_of_campaign(record: CampaignRecord, jobs: Sequence[JobRow], control: Control) -> tuple[State, str]:
    """Return the state of a campaign and its reason, from its record, its jobs and what holds it."""
    if record.state is State.FINISHED:
        return record.state, record.reason
    states = {job.state for job in jobs}
    if control.hold is Hold.CANCELLED:
        return State.CANCELLED, control.reason
    if control.hold is Hold.PAUSED and states & {State.RUNNING, State.READY}:
        return (State.RUNNING if State.RUNNING in states else State.READY), f"paused: {control.reason}"
    if State.RUNNING in states:
        return State.RUNNING, ""
    if State.READY in states:
        return State.READY, ""
    if State.CANCELLED in states:
        return State.CANCELLED, "jobs were cancelled or paused"
    failed = sorted(job.key for job in jobs if job.state in UNSUCCESSFUL)
    return State.FAILED, f"nothing is left to run; failed: {', '.join(failed) or 'no job, but none is ready'}"
