"""`ionloop export`: potentials and labels for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console.options import NameArgument, RootOption, StoreOption, existing_store


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def export(
    name: NameArgument = None,
    to: Annotated[str, typer.Option("--to", help="What for: lammps, quip, extxyz, ase-db or structures.")] = "lammps",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new or empty folder. Default: NAME-TARGET here.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Name (gap, es-gap, ...) or identifier of a model. Default: es-gap, or the highest rank.",
        ),
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Write a folder that LAMMPS or QUIP runs as it is, or all finished labels, or structures of results."""
    from ..store.queries.record_kinds import unknown_value
    from ..workflows.exchange.export import Target
    from ..workflows.exchange.export import export as export_campaign

    targets = [target.value for target in Target]
    if to not in targets:
        raise unknown_value("target", to, targets)
    opened = existing_store(store, root, read_only=True)
    try:
        folder = export_campaign(opened, name, Target(to), output, model)
    finally:
        opened.close()
    typer.echo(f"Wrote {folder}; start with {folder / 'README.md'}")
