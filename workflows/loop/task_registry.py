"""The Firetasks that a worker may run: these and no others, whatever a document in the database names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fireworks import FiretaskBase


@cache
def registered_tasks() -> Mapping[str, type[FiretaskBase]]:
    """Return every Firetask that there is, by name; what all of them need is imported now, not before."""
    from ...tasks.all_tasks import TASKS
    from .generation_loop import GrowGeneration, GrowLabels

    found: tuple[Any, ...] = (*TASKS, GrowGeneration, GrowLabels)
    return {task._fw_name: task for task in found}


def admit_registered_tasks() -> None:
    """Let this process make jobs of the registered Firetasks from documents, and of nothing else."""
    from ...store.jobs.registered_tasks import restrict_tasks

    restrict_tasks(registered_tasks())
