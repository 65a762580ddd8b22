"""One Firetask per kind of job: read records, call one function below, write records."""

from . import (
    assess,
    barriers,
    charges,
    conductivity,
    defect_results,
    defects,
    energy_volume,
    fit,
    hops,
    initial,
    label,
    locality,
    sample,
)
from .base import IonloopTask

_MODULES = (
    assess,
    barriers,
    charges,
    conductivity,
    defect_results,
    defects,
    energy_volume,
    fit,
    hops,
    initial,
    label,
    locality,
    sample,
)

TASKS: tuple[type[IonloopTask], ...] = tuple(
    task
    for module in _MODULES
    for task in vars(module).values()
    if isinstance(task, type) and issubclass(task, IonloopTask) and task.__module__ == module.__name__
)
"""Every Firetask of these modules: what a worker may run besides what extends graphs."""

__all__ = ["TASKS", "IonloopTask"]
