"""Which module holds each Firetask of the loop: a worker imports what its job needs; analyses bring their own."""

from __future__ import annotations

from importlib import import_module

from .base import IonloopTask

MODULES = {
    "ionloop.assess": "assess",
    "ionloop.conclude": "assess",
    "ionloop.cross-check": "fit",
    "ionloop.fit": "fit",
    "ionloop.fit-charges": "locality",
    "ionloop.fit-charges-to-error": "charge_fits",
    "ionloop.initial-molecular-dynamics": "initial",
    "ionloop.isolated-atom": "label",
    "ionloop.label": "label",
    "ionloop.learning-leg": "on_the_fly.leg",
    "ionloop.learning-request": "on_the_fly.rounds",
    "ionloop.learning-round": "on_the_fly.rounds",
    "ionloop.learning-update": "on_the_fly.update",
    "ionloop.lithium-distributions": "initial",
    "ionloop.prepare-sampler": "samplers",
    "ionloop.relax-distribution": "initial",
    "ionloop.run-sampler": "samplers",
    "ionloop.sample": "sample",
    "ionloop.select": "sample",
    "ionloop.tune": "tuning.tune",
    "ionloop.tuned": "tuning.tune",
}
"""By the names under which tasks are stored; charges are fitted to locality, so that its module is among them."""


def task_of_loop(name: str) -> type[IonloopTask] | None:
    """Return a Firetask of the loop, None if it has none of this name."""
    module = MODULES.get(name)
    return None if module is None else tasks_in(module)[name]


def tasks_in(module: str) -> dict[str, type[IonloopTask]]:
    """Return the Firetasks that a module of this package defines itself, by name."""
    found = import_module(f".{module}", __package__)
    classes = (one for one in vars(found).values() if isinstance(one, type) and issubclass(one, IonloopTask))
    return {task._fw_name: task for task in classes if task.__module__ == found.__name__}
