"""`ionloop report`: a campaign as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console.options import NameArgument, RootOption, StoreOption, existing_store


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(report)


def report(
    name: NameArgument = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file. Default: NAME-report.html here.")
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Write one self-contained HTML file: learning curves, accuracy, labels, models, settings, versions."""
    from ..store.campaigns import find_campaign
    from ..workflows.report.page import write_report

    opened = existing_store(store, root, read_only=True)
    try:
        record = find_campaign(opened, name)
        path = write_report(opened, record.id, (output or Path(f"{record.id}-report.html")).absolute())
    finally:
        opened.close()
    typer.echo(f"Wrote {path}")
