"""The Firetasks of the loop, for those who admit them; analyses bring their own."""

from importlib import import_module

from .base import IonloopTask

_MODULES = (
    "assess",
    "charge_fits",
    "fit",
    "initial",
    "label",
    "locality",
    "sample",
    "samplers",
)


def _tasks_of(name: str) -> list[type[IonloopTask]]:
    """Return the Firetasks that a module of this package defines itself."""
    module = import_module(f".{name}", __package__)
    found = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, IonloopTask)]
    return [task for task in found if task.__module__ == module.__name__]


TASKS: tuple[type[IonloopTask], ...] = tuple(task for name in _MODULES for task in _tasks_of(name))
"""Every Firetask of these modules; charges are fitted to locality, so that its tasks are among them."""
