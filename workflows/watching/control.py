"""What people decide about a campaign while it runs: pause, resume, cancel and priority."""

from __future__ import annotations

from collections.abc import Callable

from ...core.errors import InputError
from ...store.campaigns import find_campaign
from ...store.connection import Store
from ..queue.queue_jobs import cancel_queue_jobs, check_reach
from ..queue.schedulers.base import Scheduler
from ..queue.schedulers.registry import scheduler_of
from ..submission.holds import Control, Hold, control_of, decide, over_budget

MAX_PRIORITY = 100


def pause(store: Store, name: str | None = None, *, reason: str = "paused by hand") -> Control:
    """Start no further job of a campaign; those that run come to their end.

    Raises
    ------
    InputError
        If there is no such campaign, or it is cancelled.
    """
    campaign = find_campaign(store, name).id
    if control_of(store, campaign).hold is Hold.CANCELLED:
        raise InputError(f"campaign {campaign!r} is cancelled; `ionloop resume {campaign}` takes that back")
    return decide(store, campaign, hold=Hold.PAUSED.value, reason=reason)


def resume(store: Store, name: str | None = None, *, max_core_hours: float | None = None) -> Control:
    """Take a pause or a cancellation back, with a larger budget where that was the cause.

    Raises
    ------
    InputError
        If there is no such campaign, or its budget is used up and no larger one is given.
    """
    campaign = find_campaign(store, name).id
    spent = over_budget(store, campaign, max_core_hours)
    if spent:
        raise InputError(f"campaign {campaign!r}: {spent}; resume it with --max-core-hours and a larger number")
    raised = {} if max_core_hours is None else {"max_core_hours": float(max_core_hours)}
    return decide(store, campaign, hold=None, reason="", **raised)


def cancel(
    store: Store, name: str | None = None, *, scheduler: Callable[[str], Scheduler] = scheduler_of
) -> tuple[Control, list[str]]:
    """Start no job of a campaign any more and stop those that run, queue jobs included.

    Returns
    -------
    control, queue_jobs
        What was decided, and the queue jobs that were cancelled.

    Raises
    ------
    InputError
        If there is no such campaign, or its queue cannot be reached from this machine; nothing has changed then.
    """
    campaign = find_campaign(store, name).id
    check_reach(store, campaign, scheduler)
    control = decide(store, campaign, hold=Hold.CANCELLED.value, reason="cancelled by hand")
    return control, cancel_queue_jobs(store, campaign, scheduler)


def set_priority(store: Store, name: str | None, priority: int) -> Control:
    """Let a campaign's jobs start before those of campaigns of lower priority (0 by default).

    Raises
    ------
    InputError
        If there is no such campaign or the number is out of bounds.
    """
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise InputError(f"priority {priority}: must be from {-MAX_PRIORITY} to {MAX_PRIORITY}")
    return decide(store, find_campaign(store, name).id, priority=priority)
