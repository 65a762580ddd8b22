"""`ionloop init` and `schema`: a campaign file, or survey file, to start from, and what editors complete it by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import InputError
from .console.new_file import write_new_file
from .console.options import quoted

FILE_NAME = "campaign.yaml"
SCHEMA_FILE_NAME = ".campaign-schema.json"
"""Beside the campaign file, for editors; nothing of ionloop reads it."""
SURVEY_FILE_NAME = "survey.yaml"
SURVEY = "survey"
"""The template of another kind of file."""
EDITOR_LINE = "# yaml-language-server: $schema={}"
"""The comment by which a YAML file names its schema to editors."""


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("init")(init)
    app.command("schema")(schema)


def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write campaign.yaml (or survey.yaml) into; made if missing.")
    ] = Path(),
    template: Annotated[
        str,
        typer.Option(
            "--template",
            "-t",
            help="What to start from: demo, li7p3s11, lps, minimal, systems; survey for a survey of many crystals.",
        ),
    ] = "demo",
    structure: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A structure (CIF, or any file that ASE reads) instead of a template: mobile ion, cell, engine and "
            "sizes are chosen for it.",
        ),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--for", help="With --from: laptop or cluster. Default: cluster where jobs can be submitted."),
    ] = None,
    mobile: Annotated[
        str | None, typer.Option("--mobile", help="With --from: the ion that moves. Default: the likeliest.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Every key with its meaning, unit and default.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a campaign file that is there.")] = False,
) -> None:
    """Write a commented campaign file that fits on a screen: what everybody sets, and where the rest is."""
    if structure is None and (machine is not None or mobile is not None):
        raise InputError("--for and --mobile are for --from STRUCTURE")
    if structure is not None and template != "demo":
        raise InputError("--from and --template: name one of them")
    if template == SURVEY:
        path = folder / SURVEY_FILE_NAME
        write_new_file(path, _survey(full), force=force)
        typer.echo(f"Wrote {path}. Next: ionloop survey {quoted(path)} --check")
    else:
        path = folder / FILE_NAME
        text = (
            _of_template(template, full)
            if structure is None
            else _of_structure(structure, folder, machine, mobile, full)
        )
        write_new_file(path, f"{EDITOR_LINE.format(SCHEMA_FILE_NAME)}\n{text}", force=force)
        # Of this version and the kinds that are installed: what an earlier one wrote is of no more use.
        write_new_file(folder / SCHEMA_FILE_NAME, campaign_schema_text(), force=True)
        typer.echo(f"Wrote {path}. Next: ionloop check {quoted(path)}")
    if structure is None:
        from ..sampling.structures.crystals import unconfirmed

        typer.echo(unconfirmed())


def _survey(full: bool) -> str:
    from ..workflows.survey.starter import survey_starter

    if full:
        raise InputError("--full is for campaign files: docs/survey-file.md lists the keys of a survey's")
    return survey_starter()


def _of_template(template: str, full: bool) -> str:
    from ..workflows.campaign.starter import short_text, starter_text

    return (starter_text if full else short_text)(template, others=(SURVEY,))


def _of_structure(structure: Path, folder: Path, machine: str | None, mobile: str | None, full: bool) -> str:
    from ..workflows.campaign.starter import full_text
    from ..workflows.submission.first_file import Machine, first_file

    choices = {one.value: one for one in Machine}
    if machine is not None and machine not in choices:
        raise InputError(f"--for {machine}: allowed are {' and '.join(choices)}")
    text = first_file(structure, folder, None if machine is None else choices[machine], mobile)
    return full_text(text) if full else text


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
    write_new_file(file, text, force=force)
    typer.echo(f"Wrote {file}. First line of a campaign file beside it, for editors that know YAML:")
    typer.echo(EDITOR_LINE.format(quoted(file.name)))


def campaign_schema_text() -> str:
    """Return the JSON schema of the campaign file."""
    import json

    from ..workflows.campaign.json_schema import campaign_json_schema

    return json.dumps(campaign_json_schema(), indent=1, ensure_ascii=False) + "\n"
