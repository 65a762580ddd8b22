"""The Firetasks that a worker may run: these and no others, whatever a document in the database names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fireworks import FiretaskBase

    from ...tasks.base import IonloopTask
    from ..analyses.base import Analysis

logger = logging.getLogger(__name__)


@cache
def job_tasks() -> Mapping[str, type[IonloopTask]]:
    """Return what the jobs of campaigns consist of, by name: the loop's tasks and those of the installed analyses.

    The tasks of another package's analysis that cannot be imported, or have the names of others, are left out.
    """
    from ...tasks.all_tasks import TASKS
    from ..analyses.registry import ANALYSES

    found = {task._fw_name: task for task in TASKS}
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


@cache
def registered_tasks() -> Mapping[str, type[FiretaskBase]]:
    """Return every Firetask that there is, by name; what all of them need is imported now, not before."""
    from .generation_loop import GrowGeneration, GrowLabels

    return {**job_tasks(), **{task._fw_name: task for task in (GrowGeneration, GrowLabels)}}


@cache
def resumable_kinds() -> frozenset[str]:
    """Return the kinds of job that carry on from what is on disk wherever they were stopped."""
    return frozenset(task.kind() for task in job_tasks().values() if task.resumable)


def admit_registered_tasks() -> None:
    """Let this process make jobs of the registered Firetasks from documents, and of nothing else."""
    from ...store.jobs.registered_tasks import restrict_tasks

    restrict_tasks(registered_tasks())
