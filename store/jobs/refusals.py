"""Job documents that are not run: what is wrong with them, found before anything in them is touched.

A job's document comes from a database that others may write to. FireWorks acts on keys of its specification before
and after the job's own tasks: it makes folders anywhere, copies files from and to any path, reads files into the
database and starts further tasks in the background. ionloop's jobs need none of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import IonloopError

if TYPE_CHECKING:
    from fireworks import Firework

REFUSAL = "refusal"
"""The field of a job's document that says why it was refused."""

ADMITTED_KEYS = frozenset({"_tasks", "_priority", "_allow_fizzled_parents", "_fizzled_parents", "_exception_details"})
"""The keys of a specification that FireWorks acts on and that a job may have."""

_NUMBER_FIELDS = ("launches", "archived_launches")
_TEXT_KEYS = frozenset({"campaign", "key", "kind"})
_SHOWN = 80


class RefusedJob(IonloopError):
    """A job's document is not one that ionloop wrote: it is not run."""


def check_document(document: Mapping[str, Any]) -> None:
    """Check the shape of a job's document, as the database holds it.

    Raises
    ------
    RefusedJob
        If it is not that of a job of ours.
    """
    if not _is_number(document.get("fw_id")):
        raise RefusedJob(f"its fw_id is {shown(document.get('fw_id'))}, not a positive number")
    specification = document.get("spec")
    if not isinstance(specification, Mapping):
        raise RefusedJob(f"its spec is {shown(specification)}, not a table")
    acting = sorted(shown(key) for key in specification if key.startswith("_") and key not in ADMITTED_KEYS)
    if acting:
        raise RefusedJob(f"its spec holds {', '.join(acting)}, which no job of ionloop's has")
    tasks = specification.get("_tasks")
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, Mapping) for task in tasks):
        raise RefusedJob(f"its tasks are {shown(tasks)}, not a list of tables")
    priority = specification.get("_priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int | float):
        raise RefusedJob(f"its priority is {shown(priority)}, not a number")
    for name in _TEXT_KEYS & specification.keys():
        if not isinstance(specification[name], str):
            raise RefusedJob(f"its {name} is {shown(specification[name])}, not a text")
    for name in _NUMBER_FIELDS:
        numbers = document.get(name)
        if not isinstance(numbers, list) or not all(_is_number(number) for number in numbers):
            raise RefusedJob(f"its {name} are {shown(numbers)}, not a list of numbers")


def check_workflow(workflow: Mapping[str, Any] | None, number: int) -> None:
    """Check that the job of that number can have its place in a workflow, as the database holds it.

    Raises
    ------
    RefusedJob
        If there is no workflow, its links are not those of a graph, or they lead from the job back to itself.
    """
    if workflow is None:
        # FireWorks would wait five minutes for the lock of a workflow that is not there, and then end the worker.
        raise RefusedJob("it belongs to no workflow")
    links = workflow.get("links")
    if not isinstance(links, Mapping):
        raise RefusedJob(f"the links of its workflow are {shown(links)}, not a table")
    reached: set[int] = set()
    left = [number]
    while left:
        children = links.get(str(left.pop()), [])
        if not isinstance(children, list) or not all(_is_number(child) for child in children):
            raise RefusedJob(f"the links of its workflow hold {shown(children)}, not a list of numbers")
        if number in children:
            raise RefusedJob("the links of its workflow lead back to it")
        left.extend(child for child in children if child not in reached)
        reached.update(children)


def check_tasks(firework: Firework) -> None:
    """Check that what was read from a job's document can be run at all.

    Raises
    ------
    RefusedJob
        If one of its tasks is no task.
    """
    # Who only shows refusals need not wait for FireWorks' import.
    from fireworks import FiretaskBase

    for task in firework.tasks:
        if not isinstance(task, FiretaskBase):
            raise RefusedJob(f"its task {shown(task)} names no registered task")


def is_readable(job: Mapping[str, Any]) -> bool:
    """Return whether a job's document has what status and ledger show of it."""
    specification = job.get("spec")
    return (
        _is_number(job.get("fw_id"))
        and isinstance(job.get("state"), str)
        and isinstance(specification, Mapping)
        and isinstance(specification.get("key"), str)
        and isinstance(specification.get("kind"), str)
        and _is_number(specification.get("generation"), lowest=0)
        and _is_number(specification.get("crashes", 0), lowest=0)
        and isinstance(job.get("launches"), list)
        and isinstance(job.get("archived_launches", []), list)
    )


def shown(value: Any) -> str:
    """Return a short printable form of what a document holds: it may be long, or made to confuse a terminal."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_number(value: Any, lowest: int = 1) -> bool:
    return (type(value) is int or (isinstance(value, int) and not isinstance(value, bool))) and value >= lowest
