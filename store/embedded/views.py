"""What was asked of a collection before: parts of documents by filter and fields, each read again where it changed.

Whoever watches a campaign asks the same few questions of thousands of documents twice a second. Their bodies need not
be read for that: a document of the same revision gives the same answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import bson

_MOST_PARTS = 200_000
_LONGEST_QUESTION_BYTES = 4096
_NOT_OF_THE_DOCUMENT_ALONE = (b"$expr", b"$where", b"$text")

_CHANGEABLE = (dict, list)

Part = tuple[int, dict[str, Any] | None]
"""The revision of a document and what a question takes of it; None where the filter does not let it pass."""


class Views:
    """The answers to the latest questions, document by document."""

    def __init__(self) -> None:
        self._views: OrderedDict[tuple[int, bytes], dict[int, Part]] = OrderedDict()

    def view(self, collection: int, conditions: Any, fields: Any) -> dict[int, Part] | None:
        """Return what is known of a question by the number of the document; None where it cannot be remembered."""
        if not fields or not isinstance(conditions, Mapping):
            return None
        try:
            question = bson.encode({"conditions": conditions, "fields": fields})
        except (bson.errors.BSONError, OverflowError, TypeError):
            return None
        if len(question) > _LONGEST_QUESTION_BYTES or any(word in question for word in _NOT_OF_THE_DOCUMENT_ALONE):
            return None
        known = self._views.setdefault((collection, question), {})
        self._views.move_to_end((collection, question))
        return known

    def trim(self) -> None:
        """Forget the questions that were not asked for longest, until few enough parts are left."""
        parts = sum(len(view) for view in self._views.values())
        while parts > _MOST_PARTS and len(self._views) > 1:
            _, oldest = self._views.popitem(last=False)
            parts -= len(oldest)


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
