"""What a pilot is told: a file beside the job script, read on the node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from ...core.errors import InputError
from ...core.settings import FrozenModel
from ..running.worker_limits import WorkerLimits, end_of_allocation
from .queue_jobs import queue_job_id
from .schedulers.registry import scheduler_of

ENDS_AT_VARIABLE = "IONLOOP_ALLOCATION_ENDS_AT"
QUEUE_JOB_VARIABLE = "IONLOOP_QUEUE_JOB"
"""How a pilot tells its workers what the store calls their queue job."""


class PilotSettings(FrozenModel):
    """What a queue job runs, and within which limits; times in seconds."""

    store: str
    root: str
    campaign: str
    scheduler: str
    resources: str
    log: str
    kinds: tuple[str, ...]
    workers: int
    cores: int
    wall_time_s: float
    margin_s: float
    longest_s: float
    idle_s: float
    name: str = ""
    clusters: str = ""

    def job(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the number that the scheduler gave to this process's job; empty outside of the queue."""
        return environment.get(scheduler_of(self.scheduler).job_variable, "")

    def cluster(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the cluster that this process's job is on, where one was chosen."""
        if not self.clusters:
            return ""
        told = scheduler_of(self.scheduler).cluster_here(environment)
        return told or (self.clusters if "," not in self.clusters else "")

    def queue_job(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the identifier of this process's queue job in the store; empty outside of the queue."""
        job = self.job(environment)
        return environment.get(QUEUE_JOB_VARIABLE) or (
            queue_job_id(self.scheduler, job, self.cluster(environment)) if job else ""
        )

    def limits(self, environment: Mapping[str, str] = os.environ) -> WorkerLimits:
        """Return the limits of each of the workers."""
        told = environment.get(ENDS_AT_VARIABLE)
        ends_at = float(told) if told else end_of_allocation(self.wall_time_s, environment)
        return WorkerLimits(
            kinds=frozenset(self.kinds),
            cores=max(1, self.cores // self.workers),
            ends_at=ends_at,
            margin_s=self.margin_s,
            longest_s=self.longest_s,
            idle_s=self.idle_s,
            queue_job=self.queue_job(environment),
        )


def read_pilot_settings(path: Path) -> PilotSettings:
    """Read what the launcher wrote.

    Raises
    ------
    InputError
        If the file is not there or not whole.
    """
    try:
        return PilotSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: the pilot's settings cannot be read: {reason}") from error
