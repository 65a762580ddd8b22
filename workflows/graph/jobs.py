"""Jobs as small typed values, and the one place where they become FireWorks.

A graph is a list of `Job`; parents are named by key. Keys are unique within a campaign, so that a job that
extends the graph twice (after a kill, or on a server without transactions) adds nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ...store.connection import Store
from ...store.jobs.queue import job_specification, jobs_wanted, keys_entered

if TYPE_CHECKING:
    from fireworks import FiretaskBase, Firework, Workflow

    from ...tasks.base import IonloopTask, TaskParameters
    from .plan import PlannedSystem

ANALYSIS: Final = "analysis"
"""What the keys of the jobs of analyses begin with."""


@dataclass(frozen=True)
class Job:
    """One job of a campaign.

    Attributes
    ----------
    key
        Unique within the campaign, readable: ``generation-2/label/config-0a1b``.
    task
        The Firetask that does the work.
    parameters
        Its parameters, validated when the job is made.
    parents
        Keys of the jobs in the same graph that must end first.
    priority
        Ready jobs of higher priority run first.
    grow
        The Firetask that extends the graph once the work is done.
    runs_after_failures
        Whether the job runs although a parent failed.
    remakes
        Whether the job only makes files again that were there before.
    """

    key: str
    task: type[IonloopTask]
    parameters: TaskParameters
    parents: tuple[str, ...] = ()
    priority: int = 0
    grow: FiretaskBase | None = None
    runs_after_failures: bool = False
    remakes: bool = False

    def to_firework(self, fw_id: int) -> Firework:
        """Return the Firework of this job, with a provisional negative identifier."""

        from fireworks import Firework

        tasks: list[FiretaskBase] = [self.task(parameters=self.parameters.model_dump(mode="json"))]
        if self.grow is not None:
            tasks.append(self.grow)
        spec = job_specification(
            campaign=self.parameters.campaign,
            generation=self.parameters.generation,
            kind=self.task.kind(),
            key=self.key,
            priority=self.priority,
            runs_after_failures=self.runs_after_failures,
            remakes=self.remakes,
        )
        return Firework(tasks, spec=spec, name=self.key, fw_id=fw_id)


@dataclass(frozen=True)
class Graph:
    """Jobs whose parents are all among them."""

    jobs: tuple[Job, ...] = field(default_factory=tuple)

    def without(self, keys: set[str]) -> Graph:
        """Return the graph without the jobs of these keys (and without the edges to them)."""
        kept = tuple(job for job in self.jobs if job.key not in keys)
        names = {job.key for job in kept}
        return Graph(
            tuple(
                Job(**{**vars(job), "parents": tuple(parent for parent in job.parents if parent in names)})
                for job in kept
            )
        )

    def to_workflow(self, name: str) -> Workflow:
        """Return the FireWorks workflow of this graph.

        Raises
        ------
        ValueError
            If a key is used twice or a parent is missing.
        """

        from fireworks import Workflow

        identifiers = {job.key: -1 - index for index, job in enumerate(self.jobs)}
        if len(identifiers) != len(self.jobs):
            raise ValueError("a graph uses a job key twice")
        links: dict[int, list[int]] = {}
        for job in self.jobs:
            for parent in job.parents:
                if parent not in identifiers:
                    raise ValueError(f"job {job.key!r} has a parent {parent!r} that is not in its graph")
                links.setdefault(identifiers[parent], []).append(identifiers[job.key])
        fireworks = [job.to_firework(identifiers[job.key]) for job in self.jobs]
        return Workflow(fireworks, links, name=name)


def of_system(system: PlannedSystem, job: Job) -> Job:
    """Return a job of an analysis with the keys that it and its parents have where the system has a name."""
    if system.name is None:
        return job
    keys = {key: _of_system(key, system.name) for key in (job.key, *job.parents)}
    return replace(job, key=keys[job.key], parents=tuple(keys[parent] for parent in job.parents))


def _of_system(key: str, name: str) -> str:
    head, slash, rest = key.partition("/")
    return f"{head}/{name}/{rest}" if head == ANALYSIS and slash else key


def below(stage: str, job: Job) -> Job:
    """Return a job with the keys that it and its parents have below a stage, where they are not there already."""
    keys = {key: key if key.startswith(f"{stage}/") else f"{stage}/{key}" for key in (job.key, *job.parents)}
    return replace(job, key=keys[job.key], parents=tuple(keys[parent] for parent in job.parents))


def without_doubles(jobs: Sequence[Job]) -> list[Job]:
    """Return jobs of which none does what an earlier one does, as what is of no system alone is asked for by each."""
    first: dict[tuple[str, str], str] = {}
    instead: dict[str, str] = {}
    for job in jobs:
        instead[job.key] = first.setdefault((job.task.kind(), job.parameters.model_dump_json()), job.key)
    return [
        replace(job, parents=tuple(dict.fromkeys(instead.get(parent, parent) for parent in job.parents)))
        for job in jobs
        if instead[job.key] == job.key
    ]


def missing_part(store: Store, campaign: str, graph: Graph) -> Graph:
    """Return the part of ``graph`` that the campaign does not have yet."""
    wanted = jobs_wanted(campaigns=[campaign], keys=[job.key for job in graph.jobs])
    return graph.without(keys_entered(store, wanted))
