"""`ionloop init`: a commented campaign file, or survey file, to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import InputError
from ..core.files import write_whole
from .console.options import quoted

FILE_NAME = "campaign.yaml"
SURVEY_FILE_NAME = "survey.yaml"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("init")(init)


def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write campaign.yaml (or survey.yaml) into; made if missing.")
    ] = Path(),
    template: Annotated[
        str,
        typer.Option(
            "--template",
            "-t",
            help="What to start from: demo, li7p3s11, minimal, systems; survey for a survey of many crystals.",
        ),
    ] = "demo",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a campaign file that is there.")] = False,
) -> None:
    """Write a commented campaign file: every key with its meaning, unit and default."""
    from ..sampling.structures.crystals import unconfirmed
    from ..workflows.campaign.starter import starter_text
    from ..workflows.survey.starter import TEMPLATE, survey_starter

    if template == TEMPLATE:
        path = folder / SURVEY_FILE_NAME
        write_new_file(path, survey_starter(), force=force)
        typer.echo(f"Wrote {path}. Next: ionloop survey {quoted(path)} --check")
        typer.echo(unconfirmed())
        return
    text = starter_text(template, others=(TEMPLATE,))
    path = folder / FILE_NAME
    write_new_file(path, text, force=force)
    typer.echo(f"Wrote {path}. Next: ionloop check {quoted(path)}")
    typer.echo(unconfirmed())


def write_new_file(path: Path, text: str, *, force: bool) -> None:
    """Write a text file whole or not at all; refuse to replace one unless forced.

    Raises
    ------
    InputError
        If the file exists or cannot be written.
    """
    if path.exists() and not force:
        raise InputError(f"{path} exists already; use --force to overwrite it, or name another folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
