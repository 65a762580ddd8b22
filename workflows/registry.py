"""The Firetasks that a worker may run: these and no others, whatever a document in the database names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fireworks import FiretaskBase

from ..store.registered_tasks import restrict_tasks
from ..tasks import TASKS
from .generation_loop import GrowGeneration, GrowLabels

_ALL: tuple[Any, ...] = (*TASKS, GrowGeneration, GrowLabels)
REGISTERED_TASKS: Mapping[str, type[FiretaskBase]] = {task._fw_name: task for task in _ALL}


def admit_registered_tasks() -> None:
    """Let this process make jobs of the registered Firetasks from documents, and of nothing else."""
    restrict_tasks(REGISTERED_TASKS)
