"""Where jobs and campaigns stand: the rules of `ionloop status`, for rows that are in memory already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.states import State
from ...store.records import CampaignRecord
from ...workflows.submission.holds import Control
from ...workflows.watching import ledger, status


def job_state(document: Mapping[str, Any]) -> State | None:
    """Return the state of a job's document, None for one that FireWorks does not know."""
    if document.get("state") not in status.FIREWORKS_STATES:
        return None
    if (document.get("spec") or {}).get("given_up"):
        return status.crashed_state(dict(document))
    return status.FIREWORKS_STATES[document["state"]]


def count_states(jobs: list[dict[str, Any]], labels: Mapping[str, State]) -> dict[State, int]:
    """Return the number of jobs in each state; a label job that ended counts as what its label is."""
    return dict(status.count_states(jobs, dict(labels)))


def campaign_state(record: CampaignRecord, jobs: list[dict[str, Any]], control: Control) -> tuple[State, str]:
    """Return the state of a campaign and why."""
    return status.state_of_campaign(record, jobs, control)


def crash_reason(document: Mapping[str, Any]) -> str:
    """Return why a job was given up whose workers crashed; empty for other jobs."""
    spec = document["spec"]
    return ledger.crash_reason(spec, spec.get("crashes", 0)) if spec.get("given_up") else ""
