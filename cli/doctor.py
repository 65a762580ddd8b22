"""`ionloop doctor`: what is installed and reachable, and what to do about the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from rich.table import Table

    from .console.environment import Check


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor")(doctor)


def doctor(
    store: StoreOption = None,
    smoke: Annotated[
        list[str] | None,
        typer.Option(help="Also compute two atoms of silicon with this engine (name); may be given several times."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what is installed and reachable, and what to do about the rest. Exit status 2 if something is missing."""
    from .console.environment import Status, check_smoke_run, worst

    checks = [*all_checks(store), *(check_smoke_run(engine) for engine in smoke or ())]
    healthy = worst(checks) is not Status.FAILED
    if as_json:
        typer.echo(json.dumps({"ok": healthy, "checks": [check.as_dict() for check in checks]}, indent=2))
    else:
        from .console.terminal import make_console

        console = make_console()
        console.print(checks_table(checks))
        console.print("Everything needed is there." if healthy else "Something needed is missing: see the advice.")
    raise typer.Exit(0 if healthy else 2)


def all_checks(store: str | None) -> list[Check]:
    """Run every check, in the order of the report."""
    from ..store.connection import default_location
    from .console import environment

    location = store or default_location()
    return [
        environment.check_python(),
        *environment.check_packages(),
        environment.check_gap_fit(),
        *environment.check_engines(),
        *environment.check_plug_ins(),
        *environment.check_machine(Path.cwd()),
        environment.check_store(location),
        *environment.check_server_safety(location),
    ]


def checks_table(checks: list[Check]) -> Table:
    """Return the checks as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from .console.environment import Status

    styles = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red"}
    table = Table(box=None, pad_edge=False)
    # A long path must not leave the advice without room.
    for title, width in (
        ("", 2),
        ("what", 8),
        ("found", 20),
        ("what to do", 30 if any(c.advice for c in checks) else 0),
    ):
        table.add_column(title, overflow="fold", min_width=width)
    for check in checks:
        status = Text(check.status.value, style=styles[check.status])
        table.add_row(status, Text(check.name), Text(check.found), Text(check.advice))
    return table
