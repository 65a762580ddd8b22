"""What of a query the index rows can answer: pure functions from a filter to look-ups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
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


def are_covered(paths: Iterable[str], kept: Collection[str]) -> bool:
    """Return whether (dotted) fields are among those that are kept, or within them."""
    names = {"_id", *kept}
    return all(
        not path.startswith("$") and any(path == name or path.startswith(f"{name}.") for name in names)
        for path in paths
    )


def plain_test(conditions: Any) -> Callable[[Mapping[str, Any]], bool | None] | None:
    """Return a quick test for filters that ask fields for texts or whole numbers, or for one of many; else None.

    mongomock compares a document with each of many values in turn. The test says None where it cannot tell, as of
    fields that hold lists.
    """
    if not isinstance(conditions, Mapping):
        return None
    wanted = [(str(path).split("."), _plain_values(value)) for path, value in conditions.items()]
    if any(not name or name.startswith("$") for path, _ in wanted for name in path):
        return None
    tests = [(path, values) for path, values in wanted if values is not None]
    if len(tests) < len(wanted):
        return None

    def test(document: Mapping[str, Any]) -> bool | None:
        for path, values in tests:
            found: Any = document
            for name in path:
                if not isinstance(found, dict):
                    return None
                found = found.get(name)
            if type(found) not in _PLAIN and found is not None:
                return None
            if found not in values:
                return False
        return True

    return test


_PLAIN = (str, int)


def _plain_values(condition: Any) -> frozenset[str | int] | None:
    if isinstance(condition, Mapping) and list(condition) == ["$in"] and isinstance(condition["$in"], (list, tuple)):
        values = condition["$in"]
    else:
        values = (condition,)
    return frozenset(values) if all(type(value) in _PLAIN for value in values) else None


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
