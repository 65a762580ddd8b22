"""The schedulers that a profile can name."""

from __future__ import annotations

from ....core.kinds import Registry
from .base import Scheduler

SCHEDULERS: Registry[Scheduler] = Registry("ionloop.schedulers", "scheduler", Scheduler)


def scheduler_of(name: str) -> Scheduler:
    """Return the scheduler that a profile names.

    Raises
    ------
    UnknownKind
        If it is not installed here.
    """
    return SCHEDULERS.get(name)
