"""What a worker may take: of which kinds, of which campaigns first, and while how much of its time is left."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...store.jobs.queue import jobs_wanted
from ..loop.task_registry import resumable_kinds
from ..queue.schedulers.registry import SCHEDULERS
from ..submission.holds import Control


@dataclass(frozen=True)
class WorkerLimits:
    """What a worker may take.

    Attributes
    ----------
    kinds
        Kinds of job; all of them if None.
    cores
        Cores that its jobs use, for the budget.
    ends_at
        When its allocation ends (s since the epoch); never if None.
    margin_s
        Time before that at which it leaves (s).
    longest_s
        How long a job may take: none is begun with less time left, but for the first of an allocation and those
        that can carry on elsewhere (s).
    idle_s
        Time without a job after which it ends although others still run (s); None: it waits for them.
    queue_job
        Identifier of its queue job in the store; empty outside of queues.
    supervisor
        Name of the process that watches it and deals with its death; empty if none does.
    """

    kinds: frozenset[str] | None = None
    cores: int = 1
    ends_at: float | None = None
    margin_s: float = 180.0
    longest_s: float = 0.0
    idle_s: float | None = None
    queue_job: str = ""
    supervisor: str = ""


def admitted_kinds(limits: WorkerLimits, moment: float, *, fresh: bool) -> frozenset[str] | None:
    """Return the kinds of job that still fit, None for all, empty for none.

    Parameters
    ----------
    moment
        Now (s since the epoch).
    fresh
        Whether the worker has only begun: a job that does not fit into a whole allocation never fits.
    """
    left_s = math.inf if limits.ends_at is None else limits.ends_at - limits.margin_s - moment
    if left_s <= 0:
        return frozenset()
    if fresh or left_s >= limits.longest_s:
        return limits.kinds
    return resumable_kinds() if limits.kinds is None else limits.kinds & resumable_kinds()


def job_queries(
    controls: Mapping[str, Control], campaigns: Collection[str] | None, kinds: frozenset[str] | None
) -> list[dict[str, Any]]:
    """Return the queries for jobs to take, those to be tried first in front; none for campaigns that are held.

    ``campaigns`` are those whose jobs may be taken, None: all of the store.
    """
    held = sorted(name for name, control in controls.items() if control.hold is not None)
    levels: dict[int, list[str]] = {}
    if campaigns is not None:
        for name in campaigns:
            if name not in held:
                levels.setdefault(controls[name].priority if name in controls else 0, []).append(name)
        return [jobs_wanted(campaigns=names, kinds=kinds) for _, names in sorted(levels.items(), reverse=True)]
    for name, control in controls.items():
        if control.hold is None and control.priority:
            levels.setdefault(control.priority, []).append(name)
    # Campaigns that nobody said anything about are of priority 0.
    named = held + [name for names in levels.values() for name in names]
    queries = {level: jobs_wanted(campaigns=names, kinds=kinds) for level, names in levels.items()}
    queries[0] = jobs_wanted(other_than=named, kinds=kinds)
    return [query for _, query in sorted(queries.items(), reverse=True)]


def end_of_allocation(wall_time_s: float | None, environment: Mapping[str, str] = os.environ) -> float | None:
    """Return when this process's allocation ends (s since the epoch), None if nothing says so.

    Schedulers that do not say it are taken at the profile's word, counted from now.
    """
    for scheduler in SCHEDULERS.kinds:
        ends_at = scheduler.ends_at(environment)
        if ends_at is not None:
            return ends_at
    return None if wall_time_s is None else time.time() + wall_time_s
