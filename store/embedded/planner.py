"""What of a query the index rows can answer: pure functions from a filter to look-ups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .keys import search_keys

_MOST_KEYS = 20_000  # SQLite takes at most 32,766 parameters in one statement


@dataclass(frozen=True)
class Lookup:
    """A necessary condition of a filter: the document has one of ``keys`` in the index of ``field``."""

    field: str
    keys: frozenset[bytes]


def lookups(conditions: Any, indexed: Collection[str]) -> list[Lookup]:
    """Return conditions on indexed fields that every document passing the filter meets.

    Equality and ``$in`` are used, also inside ``$and``; everything else is left to the filter itself.
    """
    if not isinstance(conditions, Mapping):
        return []
    found: list[Lookup] = []
    for field, condition in conditions.items():
        if field == "$and" and isinstance(condition, (list, tuple)):
            for part in condition:
                found.extend(lookups(part, indexed))
        elif field in indexed:
            keys = _keys_of_condition(condition)
            if keys is not None:
                found.append(Lookup(field, keys))
    return found


def _keys_of_condition(condition: Any) -> frozenset[bytes] | None:
    if not (isinstance(condition, Mapping) and condition and all(str(key).startswith("$") for key in condition)):
        return search_keys(condition)
    if "$eq" in condition:
        return search_keys(condition["$eq"])
    values = condition.get("$in")
    if not isinstance(values, (list, tuple)):
        return None
    keys = [search_keys(value) for value in values]
    if any(key is None for key in keys):
        return None
    union = frozenset().union(*(key for key in keys if key is not None))
    return union if len(union) <= _MOST_KEYS else None
