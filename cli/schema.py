"""`ionloop schema`: what a campaign file may hold, for editors that complete and check while one types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console.options import quoted

EDITOR_LINE = "# yaml-language-server: $schema={}"
"""The comment by which a YAML file names its schema to editors."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("schema")(schema)


def schema(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; nothing: to the output.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Write the JSON schema of the campaign file, with every kind that is installed here: editors complete by it."""
    text = campaign_schema_text()
    if file is None:
        typer.echo(text, nl=False)
        return
    from .init import write_new_file

    write_new_file(file, text, force=force)
    typer.echo(f"Wrote {file}. First line of a campaign file beside it, for editors that know YAML:")
    typer.echo(EDITOR_LINE.format(quoted(file.name)))


def campaign_schema_text() -> str:
    """Return the JSON schema of the campaign file."""
    import json

    from ..workflows.campaign.json_schema import campaign_json_schema

    return json.dumps(campaign_json_schema(), indent=1, ensure_ascii=False) + "\n"
