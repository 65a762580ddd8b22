"""The filter language of queries: ``kind=conductivity temperature_K>600 campaign~li7*``.

A filter is FIELD OPERATOR VALUE in one word; filters combine by "and". They are parsed into plain values and
compared with the cells of records in Python: nothing that is typed becomes part of a database query.

=========  ===========================================================================
``=``      equal; several values with commas between them mean any of them
``!=``     not equal
``< <= > >=``  numbers as numbers, texts (and times, in ISO form) by alphabet
``~``      like a pattern with ``*`` and ``?``, upper and lower case alike
``!~``     not like it
=========  ===========================================================================

A missing value equals ``none`` and nothing else; it is neither smaller nor larger than anything.
"""

from __future__ import annotations

import fnmatch
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import InputError
from .record_kinds import Cell

OPERATORS = ("!=", "<=", ">=", "!~", "=", "<", ">", "~")
NONE = "none"
RELATIVE_TOLERANCE = 1e-9
"""Numbers that print alike count as equal."""
_FILTER = re.compile(r"\s*([A-Za-z_][\w.\-]*)\s*(!=|<=|>=|!~|=|<|>|~)(.*)", re.DOTALL)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MAX_LENGTH = 500


@dataclass(frozen=True)
class Filter:
    """One condition on one field."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{self.value}"

    def matches(self, cell: Cell) -> bool:
        """Return whether the cell of a record fulfils the condition.

        Raises
        ------
        InputError
            If the cell is a number and the value is none.
        """
        match self.operator:
            case "=":
                return any(self._equals(cell, value) for value in self.value.split(","))
            case "!=":
                return not any(self._equals(cell, value) for value in self.value.split(","))
            case "~":
                return cell is not None and _like(cell, self.value)
            case "!~":
                return cell is None or not _like(cell, self.value)
        return self._is_ordered(cell)

    def _equals(self, cell: Cell, value: str) -> bool:
        value = value.strip()
        if cell is None or value.lower() == NONE:
            return cell is None and value.lower() == NONE
        if isinstance(cell, bool):
            return value.lower() in (("true", "yes") if cell else ("false", "no"))
        if isinstance(cell, int | float):
            return math.isclose(cell, self._number(value), rel_tol=RELATIVE_TOLERANCE)
        return cell == value

    def _is_ordered(self, cell: Cell) -> bool:
        if cell is None or isinstance(cell, bool):
            return False
        if isinstance(cell, int | float):
            return _ORDER[self.operator](cell, self._number(self.value))
        return _ORDER[self.operator](cell, self.value.strip())

    def _number(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise InputError(f"filter {str(self)!r}: {self.field} is a number, {text!r} is none") from None


def _like(cell: Cell, pattern: str) -> bool:
    return fnmatch.fnmatchcase(str(cell).lower(), pattern.strip().lower())


def is_filter(text: str) -> bool:
    """Return whether a word of a command line has the form of a filter."""
    return _FILTER.fullmatch(text) is not None


def parse_filter(text: str) -> Filter:
    """Return the filter that ``text`` says.

    Raises
    ------
    InputError
        If it has no field, operator or value.
    """
    found = _FILTER.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        raise InputError(
            f"filter {text[:80]!r} is not FIELD OPERATOR VALUE in one word, such as generation=2, 'temperature_K>600' "
            f"or 'campaign~li7*' (operators: {' '.join(OPERATORS)}; quote < and > for the shell)"
        )
    field, symbol, value = found.groups()
    if not value.strip():
        raise InputError(f"filter {text!r} has no value after {symbol!r}; a missing value is called {NONE}")
    return Filter(field, symbol, value)


def parse_filters(texts: Iterable[str]) -> tuple[Filter, ...]:
    """Return the filters of all words."""
    return tuple(map(parse_filter, texts))


def sort_rows(rows: Sequence[Sequence[Cell]], keys: Sequence[tuple[int, bool]]) -> list[Sequence[Cell]]:
    """Return rows sorted by columns (index, descending?), the first key first; missing values come last."""
    ordered = list(rows)
    for index, descending in reversed(keys):
        present = [row for row in ordered if row[index] is not None]
        missing = [row for row in ordered if row[index] is None]
        present.sort(key=lambda row: _sort_key(row[index]), reverse=descending)
        ordered = [*present, *missing]
    return ordered


def _sort_key(cell: Cell) -> tuple[int, float, str]:
    """Return a key that compares numbers with numbers and texts with texts, numbers first."""
    if isinstance(cell, int | float):
        return (0, float(cell), "")
    return (1, 0.0, str(cell))
