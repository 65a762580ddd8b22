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
    """Return a quick test for filters that ask whether fields are there, or are texts or whole numbers; else None.

    One of many such values, and none of them, may be asked for too: mongomock compares a document with each in turn.
    The test says None where it cannot tell, as of fields that hold lists.
    """
    if not isinstance(conditions, Mapping):
        return None
    wanted = [(str(path).split("."), _answer_of(value)) for path, value in conditions.items()]
    if any(not name or name.startswith("$") for path, _ in wanted for name in path):
        return None
    tests = [(path, answer) for path, answer in wanted if answer is not None]
    if len(tests) < len(wanted):
        return None

    if len(tests) == 1 and len(tests[0][0]) == 1:
        ((name,), answer_of_only) = tests[0]
        return lambda document: answer_of_only(document.get(name, _MISSING))

    def test(document: Mapping[str, Any]) -> bool | None:
        for path, answer in tests:
            found: Any = document
            for name in path:
                if not isinstance(found, dict):
                    return None
                found = found.get(name, _MISSING)
            said = answer(found)
            if not said:
                return said
        return True

    return test


_PLAIN = (str, int)
_MISSING = object()


def _answer_of(condition: Any) -> Callable[[Any], bool | None] | None:
    """Return what tells whether a value passes a plain condition, None where that cannot be told from it."""
    operator, wanted = "$in", (condition,)
    if isinstance(condition, Mapping):
        if len(condition) != 1:
            return None
        operator, operand = next(iter(condition.items()))
        if operator == "$exists":
            return (lambda found: (found is not _MISSING) is operand) if isinstance(operand, bool) else None
        if operator == "$ne":
            wanted = (operand,)
        elif operator in ("$in", "$nin") and isinstance(operand, (list, tuple)):
            wanted = tuple(operand)
        else:
            return None
    if any(type(value) not in _PLAIN for value in wanted):
        return None
    values, is_in = frozenset(wanted), operator == "$in"

    def answer(found: Any) -> bool | None:
        kind = type(found)
        if kind is str or kind is int or found is None or found is _MISSING:
            return (found in values) is is_in
        return None

    return answer


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
