"""What a scheduler must be able to do, and what it says of jobs.

SLURM's commands (`.slurm`) are run against real daemons in tests/cluster. PBS and LSF follow their manuals and are
tested on samples of their output only. The ways FireWorks has of its own were not fit: its adapters log a refused
submission and return nothing, so that nobody learns of a misspelt partition; its rapid-fire waits five seconds after
every submission; and neither ever asks the queue what became of a job.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

from ....core.errors import IonloopError


class QueueState(StrEnum):
    """What became of a queue job."""

    UNCLEAR = "maybe submitted"
    REFUSED = "not submitted"
    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    PREEMPTED = "pre-empted"
    NODE_FAILED = "node failed"
    OUT_OF_MEMORY = "exceeded memory"
    TIMED_OUT = "exceeded wall time"
    SCRATCH_FULL = "scratch full"
    FAILED = "failed"
    VANISHED = "vanished"


IN_QUEUE = frozenset({QueueState.PENDING, QueueState.RUNNING})

COUNTED = IN_QUEUE | {QueueState.UNCLEAR}
"""What takes one of the places that the profile allows."""

TO_BLAME = frozenset({QueueState.OUT_OF_MEMORY, QueueState.TIMED_OUT})
"""Ends that the job which ran may have caused itself: it is tried again only so often."""


class SchedulerError(IonloopError):
    """The scheduler did not do what it was asked."""


class UnclearSubmission(SchedulerError):
    """A submission was answered in a way that does not tell whether the job is in the queue.

    Parameters
    ----------
    message
        What was answered.
    job
        What may be the job's identifier; empty if nothing looks like one.
    """

    def __init__(self, message: str, job: str = "") -> None:
        super().__init__(message)
        self.job = job


@dataclass(frozen=True)
class QueueFacts:
    """What a scheduler says of one job: its state in our words, and its own words."""

    state: QueueState
    reason: str = ""


class Scheduler(Protocol):
    """What a scheduler must be able to do: a kind of the group "ionloop.schedulers".

    Inherit from it: what is not abstract has a default that suits one cluster whose allocations do not say when they
    end. A job is referred to by its identifier, followed by a semicolon and its cluster where the site has several
    and the scheduler names it.

    Attributes
    ----------
    rank
        Place in lists among the schedulers of its package.
    """

    rank: ClassVar[int] = 0

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the scheduler in cluster profiles."""

    @property
    @abstractmethod
    def job_variable(self) -> str:
        """Environment variable in which a job finds its own number."""

    @abstractmethod
    def directives(self, wanted: Mapping[str, str], further: Sequence[str]) -> list[str]:
        """Return the script's lines that ask for resources.

        Parameters
        ----------
        wanted
            What is asked for, as text: ``job_name``, ``cores``, ``wall_time_min`` and ``log`` always (in the log's
            path %j stands for the job's number), ``memory_MB``, ``gpus``, ``partition`` and ``account`` where they
            are wanted.
        further
            Options of the profile, to be added as they are.
        """

    def unfit(self, directive: str) -> str:
        """Return the option in a directive that makes several jobs of one script, or none that starts by itself."""
        return ""

    def clusters(self, further: Sequence[str]) -> str:
        """Return the clusters that these directives or the environment choose, separated by commas; mostly none."""
        return ""

    def cluster_here(self, environment: Mapping[str, str]) -> str:
        """Return the cluster that a job with this environment is on; empty where the scheduler does not say."""
        return ""

    def ends_at(self, environment: Mapping[str, str]) -> float | None:
        """Return when the allocation of a job with this environment ends (s since the epoch); None if nothing says."""
        return None

    @abstractmethod
    def submit(self, script: Path) -> str:
        """Submit a script and return the job's reference.

        Raises
        ------
        UnclearSubmission
            If it cannot be told whether the job is in the queue.
        SchedulerError
            If it was refused.
        """

    @abstractmethod
    def find(self, name: str, clusters: str = "") -> str | None:
        """Return the reference of the job of that name, None if the queue has none.

        Raises
        ------
        SchedulerError
            If the queue does not say.
        """

    @abstractmethod
    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Return what is known of these jobs; those that the scheduler has forgotten are left out."""

    @abstractmethod
    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel these jobs; those that have ended are no error."""
