"""Records that fulfil filters, as rows, groups and data frames: what `ionloop query` prints, in Python.

>>> from ionloop.store import Results
>>> with Results("ionloop.db") as results:  # doctest: +SKIP
...     results.find("kind=conductivity", "model=es-gap", "temperature_K>600").to_dataframe()
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ...core.errors import InputError
from ..connection import Store, open_store
from ..records import Record, ResultRecord
from .filters import Filter, parse_filters, sort_rows
from .record_kinds import Cell, Column, record_kind, unknown_value
from .rows import Query, QueryResult, run_query

if TYPE_CHECKING:
    import pandas

RESULTS = "results"
ALL_COLUMNS = "all"
MAX_VALUE_COLUMNS = 12
_PREFIX = "values."


def _standard_deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "min": min,
    "max": max,
    "sum": sum,
    "std": _standard_deviation,
}
COUNT = "count"


@dataclass(frozen=True)
class Rows:
    """A table: columns with units and the cells below them, and how many rows there are without the limit."""

    columns: tuple[Column, ...]
    cells: tuple[Sequence[Cell], ...]
    total: int

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the table as a data frame; its columns are called as in the table, units are in ``attrs``."""
        import pandas

        frame = pandas.DataFrame(list(self.cells), columns=[column.name for column in self.columns])
        frame.attrs["units"] = {column.name: column.unit for column in self.columns if column.unit}
        return frame


@dataclass(frozen=True)
class Selection:
    """Records of one kind that fulfil the filters."""

    result: QueryResult

    @property
    def records(self) -> tuple[Record, ...]:
        """The records."""
        return self.result.records

    def column(self, name: str) -> Column:
        """Return the column of that name: one of the kind's, or for results one of their values.

        ``conductivity_mS_cm`` may stand for ``conductivity_mS_cm.value``.

        Raises
        ------
        InputError
            If there is none, with those there are.
        """
        known = {column.name: column for column in (*self.result.kind.columns, *value_columns(self.records))}
        for candidate in (name, f"{name}.value", name.removeprefix(_PREFIX)):
            if candidate in known:
                return known[candidate]
        if not self.records and self.result.kind.name == RESULTS:
            # Nothing to read the names of values from, hence nothing to show either.
            return Column(name, lambda record: None)
        raise unknown_value("column", name, known, of=self.result.kind.name)

    def columns(self, names: Sequence[str] = ()) -> tuple[Column, ...]:
        """Return the columns of these names; without names those that tell most, with `ALL_COLUMNS` every one."""
        if list(names) == [ALL_COLUMNS]:
            return (*self.result.kind.columns, *value_columns(self.records))
        if names:
            return tuple(self.column(name) for name in names)
        shown = self.result.columns()
        if not isinstance_all(self.records, ResultRecord):
            return shown
        filled = [column for column in shown if any(column.cell(record) is not None for record in self.records)]
        taken = {column.name for column in filled}
        # With results of several kinds the values of all of them would fill a screen with holes.
        alike = len({record.kind for record in self.records if isinstance(record, ResultRecord)}) == 1
        values = [column for column in value_columns(self.records) if column.name not in taken] if alike else []
        return (*filled, *values[:MAX_VALUE_COLUMNS])

    def rows(self, names: Sequence[str] = (), *, sort: Sequence[str] = (), limit: int | None = None) -> Rows:
        """Return the table of these columns.

        Parameters
        ----------
        sort
            Columns to sort by; ``-NAME`` is descending.
        """
        columns = self.columns(names)
        keys = [self.column(name.removeprefix("-")) for name in sort]
        wide = [*columns, *keys]
        cells: list[Sequence[Cell]] = [[column.cell(record) for column in wide] for record in self.records]
        order = [(len(columns) + place, name.startswith("-")) for place, name in enumerate(sort)]
        cells = sort_rows(cells, order)
        return Rows(columns, tuple(row[: len(columns)] for row in cells[:limit]), self.result.total)

    def aggregate(self, by: Sequence[str], functions: Sequence[str]) -> Rows:
        """Return one row per group of records that agree in the columns ``by``.

        Parameters
        ----------
        functions
            ``count``, or FUNCTION:COLUMN such as ``mean:conductivity_mS_cm``; missing values do not count.

        Raises
        ------
        InputError
            If a function is unknown or its column holds no numbers.
        """
        keys = [self.column(name) for name in by]
        groups: dict[tuple[Cell, ...], list[Record]] = {}
        for record in self.records:
            groups.setdefault(tuple(column.cell(record) for column in keys), []).append(record)
        wanted = [self._aggregate(text) for text in functions]
        cells: list[Sequence[Cell]] = [
            [*group, *(function(records) for _, function in wanted)] for group, records in groups.items()
        ]
        cells = sort_rows(cells, [(index, False) for index in range(len(keys))])
        return Rows((*keys, *(column for column, _ in wanted)), tuple(cells), len(cells))

    def _aggregate(self, text: str) -> tuple[Column, Callable[[list[Record]], Cell]]:
        if text == COUNT:
            return Column(COUNT, lambda record: None), len
        name, _, field = text.partition(":")
        if name not in AGGREGATES or not field:
            allowed = (COUNT, *(f"{known}:COLUMN" for known in AGGREGATES))
            raise unknown_value("aggregate", text, allowed)
        column = self.column(field)

        def value(records: list[Record]) -> Cell:
            numbers: list[float] = []
            for record in records:
                cell = column.cell(record)
                if isinstance(cell, str):
                    raise InputError(f"{field} holds text ({cell!r}); {name} is for numbers")
                if cell is not None:
                    numbers.append(float(cell))
            return AGGREGATES[name](numbers) if numbers else None

        return Column(f"{name}:{column.name}", lambda record: None, column.unit), value

    def to_dataframe(self, names: Sequence[str] = (), *, sort: Sequence[str] = ()) -> pandas.DataFrame:
        """Return the records as a data frame; units are in its ``attrs``."""
        return self.rows(names, sort=sort).to_dataframe()


class Results:
    """The records of a store, to be asked.

    Parameters
    ----------
    store
        An open store, or where one lies: a path or a URI.
    """

    def __init__(self, store: Store | str | Path) -> None:
        self._own = not isinstance(store, Store)
        self.store = store if isinstance(store, Store) else open_store(str(store), must_exist=True)

    def find(self, *filters: str, kind: str = RESULTS) -> Selection:
        """Return the records of ``kind`` (results, models, labels ...) that fulfil all filters.

        Raises
        ------
        InputError
            If a filter cannot be read or names a field that there is not.
        """
        return select_records(self.store, Query(kind), parse_filters(filters))

    def close(self) -> None:
        """Close the store, if it was opened here."""
        if self._own:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def select_records(store: Store, query: Query, filters: Sequence[Filter]) -> Selection:
    """Return the records that match the query and fulfil the filters.

    ``campaign=NAME`` is answered as the query's own campaign is: with the labels that the campaign took over.

    Raises
    ------
    InputError
        If a filter names a field that there is not.
    """
    kind = record_kind(query.kind)
    remaining = []
    for one in filters:
        exact = one.operator == "=" and one.field == "campaign" and query.campaign is None and "," not in one.value
        if exact and store.campaigns.get(one.value) is not None and kind.name != "campaigns":
            query = replace(query, campaign=one.value)
        else:
            remaining.append(one)
    found = run_query(store, query)
    selection = Selection(found)
    for one in remaining:
        tests = _tests(selection, one)
        kept = tuple(record for record in selection.records if any(one.matches(test(record)) for test in tests))
        if one.operator in ("!=", "!~"):
            kept = tuple(record for record in selection.records if all(one.matches(test(record)) for test in tests))
        selection = Selection(replace(found, records=kept, total=len(kept)))
    return selection


def _tests(selection: Selection, one: Filter) -> list[Callable[[Record], Cell]]:
    """Return what a filter is compared with; ``model`` is a kind of model or an identifier."""
    kind = selection.result.kind
    if one.field == "model" and kind.model_kind_field:
        names = dict.fromkeys(filter(None, (kind.model_kind_field, kind.model_id_field.replace("_id", "id"))))
        known = {column.name: column for column in kind.columns}
        return [known[name].cell for name in names if name in known]
    return [selection.column(one.field).cell]


def isinstance_all(records: Sequence[Record], record_type: type[Record]) -> bool:
    """Return whether there are records, all of that type."""
    return bool(records) and all(isinstance(record, record_type) for record in records)


def value_columns(records: Sequence[Record]) -> list[Column]:
    """Return a column for every number, text or truth value in the values of results, by dotted name."""
    columns: dict[str, Column] = {}
    for record in records:
        if isinstance(record, ResultRecord):
            for path in _leaves(record.values):
                name = ".".join(path)
                columns.setdefault(name, Column(name, _at(path), record.unit(*path)))
    return list(columns.values())


def _leaves(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(values, dict):
        return [leaf for key, value in values.items() for leaf in _leaves(value, (*path, str(key)))]
    return [path] if isinstance(values, str | int | float | bool) else []


def _at(path: tuple[str, ...]) -> Callable[[Any], Any]:
    def value(record: ResultRecord) -> Any:
        found: Any = record.values
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        return found if isinstance(found, str | int | float | bool) else None

    return value


def split_kind(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the kind of record and the filters that the words of a command line name; results by default."""
    if words and not any(symbol in words[0] for symbol in "=<>~"):
        return record_kind(words[0]).name, list(words[1:])
    return RESULTS, list(words)
