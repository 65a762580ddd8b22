"""`ionloop status`, `failures`, `retry` and `repair`: where a campaign stands, what went wrong, once more."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..states import State
from .options import JsonOption, NameArgument, RootOption, StoreOption, existing_store


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("status")(status)
    app.command("failures")(failures)
    app.command("retry")(retry)
    app.command("repair")(repair)


def status(
    name: NameArgument = None, store: StoreOption = None, root: RootOption = None, as_json: JsonOption = False
) -> None:
    """Show where a campaign stands; all of them where none is named and there are several."""
    from ..workflows.status import campaign_status
    from .run_display import console, dashboard

    opened = existing_store(store, root)
    names = [name] if name else [record.id for record in opened.campaigns.find()]
    found = [campaign_status(opened, each) for each in names]
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    for each in found:
        console.print(dashboard(each))
        console.print(f"{each.state.value}{': ' if each.reason else ''}{each.reason}", markup=False)
    if not found:
        console.print(f"no campaign in {opened.location}; start one with: ionloop run FILE")


def failures(
    name: NameArgument = None, store: StoreOption = None, root: RootOption = None, as_json: JsonOption = False
) -> None:
    """List the labels and jobs that did not succeed, with state and reason."""
    from rich.table import Table
    from rich.text import Text

    from ..workflows.ledger import failures as list_failures
    from .run_display import console

    found = list_failures(existing_store(store, root), name)
    if as_json:
        typer.echo(json.dumps([failure.model_dump(mode="json") for failure in found], indent=2))
        return
    if not found:
        console.print("nothing failed")
        return
    table = Table(box=None, header_style="bold")
    for column in ("generation", "state", "kind", "id", "reason"):
        table.add_column(column, overflow="fold")
    for failure in found:
        row = (str(failure.generation), failure.state.value, failure.kind, failure.id, failure.reason)
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    console.print("Try them again with: ionloop retry [--state STATE] [--id ID], then ionloop run")


def retry(
    name: NameArgument = None,
    state: Annotated[
        list[State] | None, typer.Option("--state", help="Only what ended in this state; may be repeated.")
    ] = None,
    identifier: Annotated[
        list[str] | None, typer.Option("--id", help="Only this one, as `failures` lists it; may be repeated.")
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Put labels and jobs that did not succeed back into the queue."""
    from ..states import UNSUCCESSFUL
    from ..workflows.ledger import retry as retry_failures

    keys = retry_failures(existing_store(store, root), name, states=state or UNSUCCESSFUL, identifiers=identifier or ())
    for key in keys:
        typer.echo(key)
    typer.echo(f"{len(keys)} job(s) back in the queue." + (" Run them: ionloop run FILE" if keys else ""))


def repair(store: StoreOption = None, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Mend what a kill can leave in a store; safe at any time, also while workers run."""
    from ..store.repair import repair as repair_store
    from ..workflows.registry import admit_registered_tasks
    from ..workflows.worker import launch_is_lost

    opened = existing_store(store, root)
    admit_registered_tasks()
    report = repair_store(opened.launchpad, dead_workers=lambda launch: launch_is_lost(opened, launch))
    if as_json:
        typer.echo(json.dumps({"mended": report.total, "findings": report.lines()}, indent=2))
        return
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"{report.total} finding(s) mended." if report.total else "Nothing to mend.")
