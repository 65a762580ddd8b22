"""Which keys a document may have: to a query a dot in them means a path, a dollar sign at their begin an operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

RULE = "must hold no dot and begin with no dollar sign"


def unstorable_keys(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where keys stand that no document may have, wherever in plain data: the keys and places that lead there."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if "." in str(key) or str(key).startswith("$"):
                yield (*above, str(key))
            yield from unstorable_keys(one, (*above, str(key)))
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            # Most lists are long and hold numbers.
            if isinstance(one, list | tuple | Mapping):
                yield from unstorable_keys(one, (*above, place))
