"""Only known tasks are read from a store: whoever can write to a database must not thereby run code here.

FireWorks turns any stored ``{"_fw_name": "{{module.Class}}"}`` into an import of that module, ships tasks that run
any shell line or function (ScriptTask, PyTask), and decodes ``@module``/``@class`` pairs in the same way. Workers
therefore accept registered names only.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fireworks.utilities import fw_serializers

from ...core.errors import IonloopError

_IMPORTERS = (
    "fireworks.utilities.fw_serializers",
    "fireworks.queue.queue_launcher",
    "fireworks.user_objects.firetasks.dataflow_tasks",
)
"""The modules of FireWorks that hold the name ``load_object``."""


class ForbiddenTask(IonloopError):
    """A stored document names a task that this process does not know."""


def _refuse(name: object, allowed: Mapping[str, type]) -> ForbiddenTask:
    known = ", ".join(sorted(allowed)) or "none"
    return ForbiddenTask(
        f"task {name!r} is not registered, so that it was not loaded. Registered are: {known}. "
        "If the store is yours, it was written by another version or program; if not, somebody may have tampered"
    )


class _Loader:
    """What replaces ``load_object``: looks names up, and never imports."""

    def __init__(self, allowed: Mapping[str, type]) -> None:
        self.allowed = allowed

    def __call__(self, obj_dict: Mapping[str, Any]) -> Any:
        name = obj_dict["_fw_name"]
        kind = self.allowed.get(name) if isinstance(name, str) else None
        if kind is None:
            raise _refuse(name, self.allowed)
        return kind.from_dict(obj_dict)  # type: ignore[attr-defined]


def restrict_tasks(allowed: Mapping[str, type]) -> None:
    """Make this process read no other tasks (nor other FireWorks objects by name) than these, from now on.

    Fireworks, Workflows and Launches are read as before. A firework with another task raises when it is read; a
    worker that picks it marks it FIZZLED and goes on.

    Parameters
    ----------
    allowed
        Task classes by the name under which they are stored (their ``_fw_name``); it may import a class when that is
        asked for.
    """
    _install(_Loader(allowed), decode_monty=False)


@contextmanager
def restricted_tasks(allowed: Mapping[str, type]) -> Iterator[None]:
    """Restrict tasks as ``restrict_tasks`` does inside a ``with`` block only."""
    before, decoded = fw_serializers.load_object, fw_serializers.DECODE_MONTY
    restrict_tasks(allowed)
    try:
        yield
    finally:
        _install(before, decode_monty=decoded)


def _install(loader: Any, *, decode_monty: bool) -> None:
    for name in _IMPORTERS:
        importlib.import_module(name).load_object = loader  # type: ignore[attr-defined]
    # MontyDecoder imports whatever module a document names.
    fw_serializers.DECODE_MONTY = decode_monty
