"""What is decided about a campaign while it runs, and what it has used: read by workers, status and launcher.

The decisions stand in one document per campaign beside the jobs, not in the jobs' states: jobs that the campaign adds
later are held as well, and a resumed campaign is exactly where it was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

from ...core.settings import FrozenModel
from ...store.connection import Store

_BUDGET = "budget:"


class Hold(StrEnum):
    """Why no job of a campaign is started."""

    PAUSED = "paused"
    CANCELLED = "cancelled"


class Control(FrozenModel):
    """What was decided about one campaign."""

    model_config = ConfigDict(populate_by_name=True)

    campaign: str = Field(alias="_id")
    hold: Hold | None = None
    reason: str = ""
    at: float = 0.0
    priority: int = 0
    max_core_hours: float | None = None


def all_controls(store: Store) -> dict[str, Control]:
    """Return the decisions about all campaigns that any was made about."""
    return {document["_id"]: Control.model_validate(document) for document in store.database.controls.find()}


def control_of(store: Store, campaign: str) -> Control:
    """Return the decisions about one campaign."""
    document = store.database.controls.find_one({"_id": campaign})
    return Control.model_validate(document) if document else Control(campaign=campaign)


def decide(store: Store, campaign: str, **changes: Any) -> Control:
    """Record a decision about a campaign."""
    store.database.controls.update_one({"_id": campaign}, {"$set": {**changes, "at": time.time()}}, upsert=True)
    return control_of(store, campaign)


# -- what is used, and the budget -----------------------------------------------------------------------------------


def charge(store: Store, campaign: str, engine: str, core_seconds: float) -> None:
    """Add to what a campaign has used of an engine."""
    store.database.usage.update_one(
        {"_id": f"{campaign}/{engine}"},
        {"$inc": {"core_seconds": core_seconds}, "$set": {"campaign": campaign, "engine": engine}},
        upsert=True,
    )


def core_hours(store: Store, campaign: str) -> dict[str, float]:
    """Return the core hours that a campaign has used, by engine (kind of task where a job has no engine)."""
    documents = store.database.usage.find({"campaign": campaign})
    return {one["engine"]: one["core_seconds"] / 3600 for one in sorted(documents, key=lambda one: one["engine"])}


def budget_of(store: Store, campaign: str) -> dict[str | None, float]:
    """Return the most core hours by engine; the entry of None is for all together. Empty without a budget."""
    record = store.database.campaigns.find_one({"_id": campaign}, {"settings.max_core_hours": 1})
    limit = (record or {}).get("settings", {}).get("max_core_hours")
    limits: dict[str | None, float] = (
        dict(limit) if isinstance(limit, Mapping) else {None: float(limit)} if limit is not None else {}
    )
    raised = control_of(store, campaign).max_core_hours
    # Who raises the budget by hand speaks of the whole campaign.
    return limits if raised is None else {None: raised}


def over_budget(store: Store, campaign: str, raised_to: float | None = None) -> str:
    """Return which limit is reached, or would be if it were raised to so many core hours, in words; empty if none."""
    limits = budget_of(store, campaign) if raised_to is None else {None: raised_to}
    if not limits:
        return ""
    used = core_hours(store, campaign)
    for engine, limit in limits.items():
        spent = sum(used.values()) if engine is None else used.get(engine, 0.0)
        if spent >= limit:
            of = "" if engine is None else f" of {engine}"
            parts = ", ".join(f"{name} {hours:.3g}" for name, hours in used.items())
            told = f" ({parts})" if parts else ""
            return f"{_BUDGET} {spent:.3g} of {limit:.3g} core hours{of} are used{told}"
    return ""


def take_budget_from_file(store: Store, campaign: str) -> None:
    """Let the budget of the campaign's settings hold, which have changed; a campaign that paused for it goes on."""
    control = control_of(store, campaign)
    if control.max_core_hours is not None:
        decide(store, campaign, max_core_hours=None)
    if control.hold is Hold.PAUSED and control.reason.startswith(_BUDGET) and not over_budget(store, campaign):
        decide(store, campaign, hold=None, reason="")


def enforce_budget(store: Store, campaign: str) -> str:
    """Pause a campaign that has used its budget up; return why, empty if it has not."""
    spent = over_budget(store, campaign)
    if spent and control_of(store, campaign).hold is None:
        decide(store, campaign, hold=Hold.PAUSED.value, reason=spent)
    return spent
