"""`ionloop query`: the records of a store as a table, JSON, CSV or extended XYZ."""

from __future__ import annotations

import csv
import io
import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .options import RootOption, StoreOption, existing_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ..store.queries import QueryResult
    from ..store.record_kinds import Cell, Column

DEFAULT_TABLE_ROWS = 50
_NUMBER_DIGITS = 6


class Format(StrEnum):
    """How records are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    EXTXYZ = "extxyz"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("query")(query)


def query(
    kind: Annotated[
        str,
        typer.Argument(help="configurations, labels, models, trajectories, results, campaigns or data-sets."),
    ],
    campaign: Annotated[str | None, typer.Option("--campaign", "-c", help="Only of this campaign.")] = None,
    generation: Annotated[
        int | None, typer.Option("--generation", "-g", min=0, help="Only of this generation.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Only of this kind of model (gap, es-gap) or model.")
    ] = None,
    state: Annotated[str | None, typer.Option("--state", "-s", help="Only in this state.")] = None,
    output_format: Annotated[Format, typer.Option("--format", "-f", help="How to print the records.")] = Format.TABLE,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help=f"Most records. Default: all; in a table {DEFAULT_TABLE_ROWS}."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Columns, with commas between them; 'all' for all.")
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Show records of a store; filters combine."""
    from ..store.queries import Query, as_json, run_query
    from ..store.record_kinds import record_kind

    names = _column_names(columns, [column.name for column in record_kind(kind).columns])
    is_table = output_format is Format.TABLE
    most = limit or (DEFAULT_TABLE_ROWS if is_table else None)
    opened = existing_store(store, root)
    try:
        result = run_query(opened, Query(kind, campaign, generation, model, state, most))
        chosen = result.columns(names)
        if output_format is Format.JSON:
            data = as_json(result, chosen if names else ())
            typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
        elif output_format is Format.CSV:
            typer.echo(csv_text(chosen, result.rows(chosen)), nl=False)
        elif output_format is Format.EXTXYZ:
            from ..store.queries import frames

            for frame in frames(opened, result):
                sys.stdout.write(frame_text(frame))
        else:
            _print_table(result, chosen)
    finally:
        opened.close()


def _column_names(given: str | None, available: list[str]) -> list[str]:
    if given is None:
        return []
    if given.strip() == "all":
        return available
    return [name.strip() for name in given.split(",") if name.strip()]


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


def records_table(result: QueryResult, columns: Sequence[Column]) -> Table:
    """Return records as a table for the terminal, numbers to the right, units below the names."""
    from rich.table import Table
    from rich.text import Text

    rows = result.rows(columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        is_number = all(isinstance(row[index], int | float | None) for row in rows)
        title = column.name.replace("_", " ") + (f"\n{column.unit}" if column.unit else "")
        table.add_column(
            title,
            justify="right" if is_number and rows else "left",
            overflow="fold",
            no_wrap=column.name in ("id", "state", "kind"),
        )
    for row in rows:
        table.add_row(*(Text(_shown(cell)) for cell in row))
    return table


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.{_NUMBER_DIGITS}g}"
    # What engines report may hold line breaks and control characters: a table row is one line of plain text.
    return "".join(character if character.isprintable() else " " for character in str(cell))


def _print_table(result: QueryResult, columns: Sequence[Column]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not result.records:
        console.print(f"no {result.kind.name} match")
        return
    if not console.is_terminal:
        # Piped into a file or a pager nothing is cut to a width that nobody chose.
        console = Console(highlight=False, width=10_000)
    console.print(records_table(result, columns))
    if result.total > len(result.records):
        console.print(f"{len(result.records)} of {result.total} shown; more with --limit {result.total}", style="dim")
