"""`ionloop import`: labelled data of other programs into the store, keys and units checked."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console.label_options import with_label_options
from .console.options import JsonOption, RootOption, StoreOption
from .console.progress import progress

if TYPE_CHECKING:
    from ..fitting.reading import LabelRequest
    from ..labelling.registry import EngineSettings
    from ..workflows.exchange.import_labels import ImportSummary

DEFAULT_CAMPAIGN_PREFIX = "imported-"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("import")(import_file)


@with_label_options
def import_file(
    file: Annotated[Path, typer.Argument(help="Labelled configurations, an extended-XYZ file.")],
    engine: Annotated[
        str | None, typer.Option(help="Code that computed the labels, in one word, for example vasp.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="What tells these labels from others of that code: functional, basis, k-points.")
    ] = "",
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Campaign file whose `reference` computed these labels: they then count as labels of that engine."
        ),
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="Campaign of the data; made if new.")] = None,
    skip_unusable: Annotated[bool, typer.Option(help="Leave unusable labels out instead of stopping.")] = False,
    store: StoreOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    *,
    reading: LabelRequest,
) -> None:
    """Import labelled configurations into the store; importing a file twice changes nothing."""
    from ..store.connection import open_store
    from ..workflows.exchange.import_labels import ImportRequest, import_labels, read_importable

    request = ImportRequest(
        path=file,
        engine=_engine(engine, method, reference),
        campaign=campaign or _campaign_name(file),
        keys=reading.keys,
        units=reading.units,
        skip_unusable=skip_unusable,
        check_units=reading.check_units,
    )
    # What cannot be imported makes no store.
    importable = read_importable(request)
    opened = open_store(store, root=root)
    try:
        with progress("import") as tell:
            summary = import_labels(opened, importable, tell)
    finally:
        opened.close()
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2, ensure_ascii=False))
    else:
        _tell(summary)


def _engine(engine: str | None, method: str, reference: Path | None) -> EngineSettings:
    """Return the settings that the labels are recorded under.

    Raises
    ------
    InputError
        If neither or both ways to name them are used, or the name is no word.
    """
    from pydantic import ValidationError

    from ..core.errors import InputError
    from ..labelling.engines.imported import ImportedSettings
    from ..workflows.submission.campaign_file import read_hyperparameters

    if (engine is None) == (reference is None):
        raise InputError(
            "say what computed the labels: --engine NAME (vasp, aims, cp2k ...), or --reference with a campaign file "
            "whose `reference` has their exact settings; one of the two"
        )
    if reference is not None:
        return read_hyperparameters(reference).reference
    try:
        return ImportedSettings(source=str(engine), method=method)
    except ValidationError as error:
        raise InputError(
            f"--engine {engine!r} is not one word of letters, digits, '.', '+', '-' and '_'; write for example vasp, "
            "and the functional into --method"
        ) from error


def _campaign_name(file: Path) -> str:
    word = "".join(character if character.isalnum() or character in "-_" else "-" for character in file.stem)
    return f"{DEFAULT_CAMPAIGN_PREFIX}{word}"[:64].strip("-_")


def _tell(summary: ImportSummary) -> None:
    for line in summary.file:
        typer.echo(line, err=True)
    typer.echo(
        f"{summary.new_labels} new labels of {summary.reference} in campaign {summary.campaign} "
        f"({summary.known_labels} were there already, {summary.repeated} frames repeat others, "
        f"{len(summary.skipped)} left out); {summary.with_stress} with stress."
    )
    for line in summary.skipped:
        typer.echo(f"left out: {line}", err=True)
    missing = [element for element in summary.elements if element not in summary.isolated_atoms]
    if missing:
        typer.echo(f"The file has no isolated atom of {', '.join(missing)}.", err=True)
    typer.echo(
        f"Next: ionloop query labels --campaign {summary.campaign} --format extxyz > labels.xyz; "
        "ionloop fit labels.xyz --out model"
    )
