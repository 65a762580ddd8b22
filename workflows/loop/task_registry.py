"""The Firetasks that a worker may run: these and no others, whatever a document in the database names."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fireworks import FiretaskBase

    from ...tasks.base import IonloopTask
    from ..analyses.base import Analysis

logger = logging.getLogger(__name__)


OF_THE_LOOP = {
    "ionloop.grow-labels": ("generation_loop", "GrowLabels"),
    "ionloop.grow-generation": ("generation_loop", "GrowGeneration"),
    "ionloop.measure-properties": ("property_jobs", "MeasurePropertiesTask"),
    "ionloop.propose": ("proposing", "ProposeTask"),
}
"""The Firetasks by which a campaign's graph grows, and those that ask analyses: their modules and classes."""


@cache
def job_tasks() -> Mapping[str, type[IonloopTask]]:
    """Return what the jobs of campaigns consist of, by name: the loop's tasks and those of the installed analyses.

    What all of them need is imported. The tasks of another package's analysis that cannot be imported, or have the
    names of others, are left out.
    """
    from ...tasks.all_tasks import MODULES, tasks_in
    from ..analyses.registry import ANALYSES

    found = {name: tasks_in(module)[name] for name, module in MODULES.items()}
    for analysis in ANALYSES.kinds:
        tasks, problem = tasks_of(analysis)
        if not problem and any(found.get(task._fw_name, task) is not task for task in tasks):
            problem = "its tasks have names that others have"
        if problem:
            logger.warning("the analysis %s cannot run: %s", analysis.name, problem)
        else:
            found |= {task._fw_name: task for task in tasks}
    return found


def tasks_of(analysis: Analysis) -> tuple[tuple[type[IonloopTask], ...], str]:
    """Return the tasks of an analysis, and why there are none, empty if there are.

    What is wrong with ionloop's own raises.
    """
    from ...core.kinds import OWN_PACKAGE
    from ..analyses.registry import ANALYSES

    try:
        return tuple(analysis.tasks()), ""
    # A package of somebody else may fail in any way.
    except Exception as error:
        if ANALYSES.package_of(analysis.name)[0] == OWN_PACKAGE:
            raise
        return (), f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"


class RegisteredTasks(Mapping[str, "type[FiretaskBase]"]):
    """Every Firetask that there is, by name; one that is asked for is imported then, with what it needs.

    A worker that labels must not wait for the imports of fits and analyses, each time that it begins.
    """

    def __getitem__(self, name: str) -> type[FiretaskBase]:
        return _task(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*job_tasks(), *OF_THE_LOOP))

    def __len__(self) -> int:
        return len(job_tasks()) + len(OF_THE_LOOP)


@cache
def _task(name: str) -> type[FiretaskBase]:
    """Return a registered Firetask.

    Raises
    ------
    KeyError
        If there is none of this name.
    """
    from ...tasks.all_tasks import task_of_loop

    if name in OF_THE_LOOP:
        module, of_class = OF_THE_LOOP[name]
        task: type[FiretaskBase] = getattr(import_module(f".{module}", __package__), of_class)
        return task
    return task_of_loop(name) or _task_of_own_analysis(name) or job_tasks()[name]


def _task_of_own_analysis(name: str) -> type[FiretaskBase] | None:
    """Return a Firetask of ionloop's own analyses, importing only those that come before it.

    Other packages' must be held against all names, so that they are found among all tasks only.
    """
    from ...core.kinds import OWN_PACKAGE
    from ..analyses.registry import ANALYSES

    for analysis in ANALYSES.kinds:
        if ANALYSES.package_of(analysis.name)[0] == OWN_PACKAGE:
            for task in analysis.tasks():
                if task._fw_name == name:
                    return task
    return None


@cache
def registered_tasks() -> Mapping[str, type[FiretaskBase]]:
    """Return every Firetask that there is, by name; each is imported when it is asked for."""
    return RegisteredTasks()


@cache
def resumable_kinds() -> frozenset[str]:
    """Return the kinds of job that carry on from what is on disk wherever they were stopped."""
    return frozenset(task.kind() for task in job_tasks().values() if task.resumable)


def is_resumable(kind: str) -> bool:
    """Return whether jobs of a kind carry on from what is on disk wherever they were stopped."""
    tasks = registered_tasks()
    task = tasks.get(f"ionloop.{kind}") or tasks.get(kind)
    return bool(getattr(task, "resumable", False))


def admit_registered_tasks() -> None:
    """Let this process make jobs of the registered Firetasks from documents, and of nothing else."""
    from ...store.jobs.registered_tasks import restrict_tasks

    restrict_tasks(registered_tasks())
