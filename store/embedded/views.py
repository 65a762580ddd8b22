"""What was asked of a collection before: parts of documents by filter and fields, each read again where it changed.

Whoever watches a campaign asks the same few questions of thousands of documents twice a second. Their bodies need not
be read for that: a document of the same revision gives the same answer.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import bson

_MOST_PARTS = 200_000
_LONGEST_QUESTION_BYTES = 4096
_NOT_OF_THE_DOCUMENT_ALONE = (b"$expr", b"$where", b"$text")

_CHANGEABLE = (dict, list)

Part = tuple[int, Any]
"""The revision of a document and what a question takes of it; None where the filter does not let it pass."""


@dataclass
class View:
    """What is known of one question.

    Attributes
    ----------
    parts
        The answers by the number of the document.
    state
        What told the state of all the documents at the last look.
    digests
        What was made of all answers then.
    """

    parts: dict[int, Part] = field(default_factory=dict)
    state: tuple[int, ...] | None = None
    digests: tuple[Any, ...] = ()


class Views:
    """The answers to the latest questions, document by document."""

    def __init__(self) -> None:
        self._views: OrderedDict[tuple[int, bytes, Any], View] = OrderedDict()

    def view(
        self, collection: int, conditions: Any, fields: Any, digest: Callable[[Any], Any] | None = None
    ) -> View | None:
        """Return what is known of a question; None where it cannot be remembered."""
        if not fields or not isinstance(conditions, Mapping):
            return None
        try:
            question = bson.encode({"conditions": conditions, "fields": fields})
        except (bson.errors.BSONError, OverflowError, TypeError):
            return None
        if len(question) > _LONGEST_QUESTION_BYTES or any(word in question for word in _NOT_OF_THE_DOCUMENT_ALONE):
            return None
        known = self._views.setdefault((collection, question, digest), View())
        self._views.move_to_end((collection, question, digest))
        return known

    def trim(self) -> None:
        """Forget the questions that were not asked for longest, until few enough parts are left."""
        parts = sum(len(view.parts) for view in self._views.values())
        while parts > _MOST_PARTS and len(self._views) > 1:
            _, oldest = self._views.popitem(last=False)
            parts -= len(oldest.parts)


@functools.lru_cache(maxsize=64)
def plain_fields(fields: tuple[tuple[str, Any], ...]) -> dict[str, Any] | None:
    """Return the fields that a question takes, those within others nested; None where it asks for anything else.

    mongomock works this out again for every document.
    """
    found: dict[str, Any] = {}
    for path, wanted in fields:
        if wanted is not True and wanted != 1:
            return None
        *above, last = path.split(".")
        place = found
        for name in above:
            place = place.setdefault(name, {})
            if place is None:
                return None
        if last in place or not last or last.startswith("$"):
            return None
        place[last] = None
    found.pop("_id", None)
    return found if fields else None


def taken_fields(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wanted fields of a document as the caller's own."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name not in wanted:
            continue
        below = wanted[name]
        if below is None:
            found[name] = own_copy(value)
        elif isinstance(value, dict):
            found[name] = taken_fields(value, below)
        elif isinstance(value, list):
            found[name] = _taken_of_each(value, below)
    return found


def _taken_of_each(values: list[Any], wanted: Mapping[str, Any]) -> list[Any]:
    """Return the wanted fields of the documents in a list, as a server does: what holds no fields is left out."""
    return [
        taken_fields(one, wanted) if isinstance(one, dict) else _taken_of_each(one, wanted)
        for one in values
        if isinstance(one, dict | list)
    ]


def own_copy(value: Any) -> Any:
    """Return documents and lists as the caller's own; everything else in them cannot be changed."""
    if isinstance(value, dict):
        copied = value.copy()
        for key, inner in value.items():
            if inner.__class__ in _CHANGEABLE:
                copied[key] = own_copy(inner)
        return copied
    if isinstance(value, list):
        return [own_copy(inner) for inner in value]
    return value
