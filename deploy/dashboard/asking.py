"""What a viewer may ask of a table: filters, order and page, from one line of text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from ...core.errors import InputError
from ...store.queries.filters import Filter, parse_filters, sort_rows
from ...store.queries.record_kinds import Cell, Column, unknown_value

Item = TypeVar("Item")

_MISSING: Final = "–"
_DIGITS: Final = 6


@dataclass(frozen=True)
class Found(Generic[Item]):
    """One page of what was asked for.

    Attributes
    ----------
    matching
        All that fulfil the filters, in order; ``items`` are those of this page.
    """

    items: list[Item]
    matching: list[Item]
    page: int
    pages: int
    first: int


def split_filters(text: str, most: int) -> tuple[Filter, ...]:
    """Return the filters in a line; values with blanks stand in quotes.

    Raises
    ------
    InputError
        If a word is no filter, or there are too many.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"filter {text[:80]!r}: {error}; quotes come in pairs") from error
    if len(words) > most:
        raise InputError(f"{len(words)} filters are too many for one page, at most {most} are allowed")
    return parse_filters(words)


def ask(
    items: Sequence[Item],
    columns: Sequence[Column],
    filters: Sequence[Filter],
    *,
    sort: str,
    page: int,
    rows: int,
) -> Found[Item]:
    """Return the items that fulfil all filters, ordered by a column (``-NAME``: descending), cut into pages.

    Raises
    ------
    InputError
        If a filter or ``sort`` names a column that there is not.
    """
    known = {column.name: column for column in columns}
    tests = [(one, _column(known, one.field)) for one in filters]
    matching = [item for item in items if all(one.matches(column.value(item)) for one, column in tests)]
    if sort:
        column = _column(known, sort.removeprefix("-"))
        keyed: list[Sequence[Any]] = [(plain(column.value(item)), item) for item in matching]
        ordered: list[Any] = sort_rows(keyed, [(0, sort.startswith("-"))])
        matching = [item for _, item in ordered]
    pages = max(1, -(-len(matching) // rows))
    page = min(max(page, 1), pages)
    first = (page - 1) * rows
    return Found(matching[first : first + rows], matching, page, pages, first)


def plain(value: Any) -> Cell:
    """Return a value that can be ordered: times as text."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _column(known: Mapping[str, Column], name: str) -> Column:
    if name not in known:
        raise unknown_value("column", name, known)
    return known[name]


def text_of(cell: Any) -> str:
    """Return a cell as a table shows it."""
    if cell is None:
        return _MISSING
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.{_DIGITS}g}"
    return str(cell)
