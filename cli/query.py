"""`ionloop query`: the records of a store as a table, JSON, CSV, Markdown or extended XYZ."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console.options import RootOption, StoreOption, existing_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ..store.connection import Store
    from ..store.queries.record_kinds import Cell, Column
    from ..store.queries.record_tables import Rows, Selection

DEFAULT_TABLE_ROWS = 50
_NUMBER_DIGITS = 6


class Format(StrEnum):
    """How records are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    EXTXYZ = "extxyz"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("query")(query)


def query(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] [FILTER]...",
            help="KIND: configurations, labels, models, trajectories, results (default), campaigns, data-sets or "
            "surveys. FILTER: FIELD=VALUE, also with != < <= > >= ~ (pattern) !~, such as 'temperature_K>600'.",
        ),
    ],
    campaign: Annotated[str | None, typer.Option("--campaign", "-c", help="Only of this campaign.")] = None,
    generation: Annotated[
        int | None, typer.Option("--generation", "-g", min=0, help="Only of this generation.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Only of models of this name (gap, ...) or this one."),
    ] = None,
    state: Annotated[str | None, typer.Option("--state", "-s", help="Only in this state.")] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Columns, with commas between them; 'all' for all.")
    ] = None,
    sort: Annotated[str | None, typer.Option("--sort", help="Columns to sort by; -COLUMN is descending.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Columns whose values make the groups of --aggregate.")] = None,
    aggregate: Annotated[
        str | None,
        typer.Option("--aggregate", help="count, mean:COLUMN, min:, max:, sum: or std:COLUMN, with commas."),
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", "-f", help="How to print the records.")] = Format.TABLE,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help=f"Most records. Default: all; in a table {DEFAULT_TABLE_ROWS}."),
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Show records of a store; filters combine."""
    from ..store.queries.filters import parse_filters
    from ..store.queries.record_tables import RESULTS, select_records, split_kind
    from ..store.queries.rows import Query

    kind, texts = split_kind(words)
    filters = parse_filters(texts)
    opened = existing_store(store, root, read_only=True)
    most = limit or (DEFAULT_TABLE_ROWS if output_format is Format.TABLE else None)
    # Which come first is known without reading all, unless their values decide. Values of results make columns.
    is_plain = not filters and sort is None and aggregate is None and by is None and kind != RESULTS
    try:
        wanted = Query(kind, campaign, generation, model, state, most if is_plain else None)
        selection = select_records(opened, wanted, filters)
        if output_format is Format.EXTXYZ:
            _print_structures(opened, selection, limit)
            return
        if aggregate is not None or by is not None:
            rows = selection.aggregate(_names(by), _names(aggregate) or ["count"])
        else:
            rows = selection.rows(_names(columns), sort=_names(sort), limit=most)
        if output_format is Format.JSON and columns is None and aggregate is None and by is None and sort is None:
            typer.echo(json_text(as_whole_records(selection, most)))
        else:
            _print_rows(rows, kind, output_format)
    finally:
        opened.close()


def _names(given: str | None) -> list[str]:
    return [name.strip() for name in (given or "").split(",") if name.strip()]


def as_whole_records(selection: Selection, limit: int | None) -> dict[str, Any]:
    """Return the selection with every field of its records."""
    from ..store.queries.rows import as_json

    result = selection.result
    return as_json(replace(result, records=result.records[:limit]))


def json_text(data: dict[str, Any]) -> str:
    """Return plain data as JSON; no value is infinite."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)


def _print_structures(opened: Store, selection: Selection, limit: int | None) -> None:
    from ..store.queries.labelled import frames

    result = selection.result
    for frame in frames(opened, replace(result, records=result.records[:limit])):
        sys.stdout.write(frame_text(frame))


def _print_rows(rows: Rows, kind: str, output_format: Format) -> None:
    match output_format:
        case Format.JSON:
            names = [column.name for column in rows.columns]
            units = {column.name: column.unit for column in rows.columns if column.unit}
            records = [dict(zip(names, row, strict=True)) for row in rows.cells]
            typer.echo(json_text({"kind": kind, "total": rows.total, "units": units, "records": records}))
        case Format.CSV:
            typer.echo(csv_text(rows.columns, rows.cells), nl=False)
        case Format.MARKDOWN:
            typer.echo(markdown_text(rows.columns, rows.cells), nl=False)
        case _:
            _print_table(rows, kind)


def markdown_text(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """Return rows as a table of Markdown, numbers to the right."""
    marks = ["---:" if _is_numeric(rows, index) else "---" for index in range(len(columns))]
    lines = [[column.header for column in columns], marks, *([_shown(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _is_numeric(rows: Sequence[Sequence[Cell]], index: int) -> bool:
    return bool(rows) and all(isinstance(row[index], int | float | None) for row in rows)


def csv_text(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """Return rows as CSV with units in the header; a missing value is an empty field."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.header for column in columns])
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return stream.getvalue()


def frame_text(frame: object) -> str:
    """Return one structure as an extended-XYZ frame, with labels where it has them."""
    from ase import Atoms
    from ase.io import write

    from ..fitting.data_sets import LabelledConfiguration, format_extxyz

    if isinstance(frame, LabelledConfiguration):
        return format_extxyz(frame)
    if not isinstance(frame, Atoms):
        raise TypeError(f"{type(frame).__name__} is no structure")
    stream = io.StringIO()
    write(stream, frame, format="extxyz")
    return stream.getvalue()


def records_table(rows: Rows) -> Table:
    """Return rows as a table for the terminal, numbers to the right, units below the names."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(rows.columns):
        title = column.name.replace("_", " ") + (f"\n{column.unit}" if column.unit else "")
        table.add_column(
            title,
            justify="right" if _is_numeric(rows.cells, index) else "left",
            overflow="fold",
            no_wrap=column.name in ("id", "state", "kind"),
        )
    for row in rows.cells:
        table.add_row(*(Text(_shown(cell)) for cell in row))
    return table


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.{_NUMBER_DIGITS}g}"
    # What engines report may hold line breaks and control characters: a table row is one line of plain text.
    return "".join(character if character.isprintable() else " " for character in str(cell))


def _print_table(rows: Rows, kind: str) -> None:
    from .console.terminal import make_console

    console = make_console()
    if not rows.cells:
        console.print(f"no {kind} match")
        return
    console.print(records_table(rows))
    if rows.total > len(rows.cells):
        console.print(f"{len(rows.cells)} of {rows.total} shown; more with --limit {rows.total}", style="dim")
