"""`ionloop analyse structure-functions`: g(r), S(q), bond angles, rings and chains of a structure or a trajectory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...analysis.structure_functions.quantities import Quantity, Unit
from ..console.options import JsonOption
from .structures import pair_distances, structures_or_trajectory
from .trajectory_options import (
    FILE_HELP,
    CellOption,
    Coordinates,
    CoordinatesOption,
    EveryOption,
    FormatOption,
    LammpsTypesOption,
    TimestepOption,
    TrajectoryOptions,
    words,
)

if TYPE_CHECKING:
    from ...analysis.structure_functions.frames import StructureFrames
    from ...analysis.structure_functions.settings import MeasuredSettings, StructureSettings
    from ...workflows.analyses.structure_functions.blocks import Shown

FIT = "fit"


def structure_functions(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help=f"A structure by name or in a file, or trajectories of the same atoms: {FILE_HELP}.",
        ),
    ],
    radiation: Annotated[str, typer.Option(help="neutrons, x-rays, or both with a comma.")] = "neutrons",
    isotope: Annotated[
        list[str] | None, typer.Option(help="An enriched element: Li=7; may be given again.", show_default=False)
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(help="A measured curve in a file of two columns, to compare with.")
    ] = None,
    quantity: Annotated[
        Quantity, typer.Option("--measured-quantity", help="What it is: a function of q, or of r (G, D, T).")
    ] = Quantity.S,
    unit: Annotated[
        Unit | None, typer.Option("--measured-unit", help="Unit of its first column. Default: 1/A, or A.")
    ] = None,
    column: Annotated[
        int | None,
        typer.Option("--measured-column", min=2, help="Number of the column with the quantity. Default: the second."),
    ] = None,
    error_column: Annotated[
        int | None, typer.Option("--measured-errors", min=2, help="Number of the column with standard deviations.")
    ] = None,
    scale: Annotated[str, typer.Option(help="What the computed curve is multiplied by: a number, or fit.")] = "1",
    offset: Annotated[str, typer.Option(help="What is added to it: a number, or fit.")] = "0",
    window: Annotated[str, typer.Option(help="Range that is compared, such as 0.7,15 (1/Å or Å).")] = "",
    cutoffs: Annotated[
        str, typer.Option(help="Distances up to which two atoms are neighbours (Å): P-S:2.6,Li-S:3. Default: found.")
    ] = "",
    angles: Annotated[str, typer.Option(help="Bond angles, the centre between: S-P-S,P-S-P. Default: found.")] = "",
    network: Annotated[
        str, typer.Option(help="Bonds whose rings and chains are counted, centre first: P-S,P-P. Default: found.")
    ] = "",
    mobile: Annotated[str, typer.Option(help="Ions that are no part of that. Default: alkali metals, silver.")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another setting: q_max_per_A=25, r_max_A=12, most_frames=50.", show_default=False),
    ] = None,
    timestep_fs: TimestepOption = None,
    cell: CellOption = "",
    file_format: FormatOption = "",
    lammps_types: LammpsTypesOption = "",
    every: EveryOption = 1,
    coordinates: CoordinatesOption = Coordinates.AUTO,
    csv: Annotated[Path | None, typer.Option(help="Folder for all curves as tables.")] = None,
    html: Annotated[Path | None, typer.Option(help="File for a page with figures.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Pair functions, structure factors, coordination, angles, rings and chains: the structure that experiments see."""
    from ...analysis.structure_functions.scattering import isotopes_of
    from ...analysis.structure_functions.structure import analyse_structure
    from ...core.errors import InputError
    from ...workflows.analyses.structure_functions.blocks import Shown, remarks

    curves = (
        []
        if measured is None
        else _measured(
            measured,
            words(radiation),
            {
                "quantity": quantity,
                "unit": unit,
                "column": column,
                "error_column": error_column,
                "scale": _number("--scale", scale),
                "offset": _number("--offset", offset),
                "window": _range(window),
            },
        )
    )
    chosen = _settings(
        {
            "radiation": words(radiation),
            "isotopes": isotopes_of(isotope or [], "--isotope"),
            "cutoffs_A": pair_distances(cutoffs),
            "angles": words(angles),
            "network": words(network),
            "measured": curves,
        },
        settings or [],
    )
    options = TrajectoryOptions(timestep_fs, cell, file_format, lammps_types, every, coordinates)
    runs, notes = _runs(files, options)
    found = analyse_structure(runs, chosen, mobile)
    shown = Shown(runs[0].name if len(runs) == 1 else f"{len(runs)} trajectories", found.result, found.arrays())
    for said in found.result.agreements:
        if said.reason:
            raise InputError(f"--measured {measured}: {said.reason}")
    if csv is not None:
        _write_tables(csv, shown)
    if html is not None:
        _write_page(html, shown)
    if as_json:
        curves_as_lists = {name: array.tolist() for name, array in shown.arrays.items()}
        typer.echo(json.dumps({**shown.result.model_dump(mode="json"), "curves": curves_as_lists}, indent=2))
    else:
        _print(shown)
    for line in [*(f"Warning: {note}." for note in notes), *remarks(shown)]:
        typer.echo(line, err=True)


def _settings(values: dict[str, Any], others: list[str]) -> StructureSettings:
    from pydantic import ValidationError
    from ruamel.yaml import YAML

    from ...analysis.structure_functions.settings import StructureSettings
    from ...core.errors import InputError
    from ...store.queries.record_kinds import unknown_value

    for text in others:
        key, separator, value = text.partition("=")
        if not separator or key not in StructureSettings.model_fields:
            raise unknown_value("setting", key, sorted(StructureSettings.model_fields), of="--set")
        values[key] = YAML(typ="safe").load(value)
    try:
        return StructureSettings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InputError(f"these options do not fit together: {problems}") from error


def _number(option: str, text: str) -> float | str:
    """Return a number, or ``fit``."""
    from ...core.errors import InputError

    if text == FIT:
        return FIT
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option} {text!r} must be a number, or {FIT}") from error


def _range(text: str) -> tuple[float, float] | None:
    from ...core.errors import InputError

    if not text:
        return None
    try:
        low, high = (float(word) for word in words(text))
    except ValueError as error:
        raise InputError(f"--window {text!r} must be two numbers, such as 0.7,15") from error
    if low >= high:
        raise InputError(f"--window {text!r} must go from a smaller number to a larger one")
    return low, high


def _runs(files: list[str], options: TrajectoryOptions) -> tuple[list[StructureFrames], list[str]]:
    """Return the frames of every file, and what their readers say."""
    runs, notes = [], []
    for file in files:
        run, said = _read(file, options)
        runs.append(run)
        notes += said
    return runs, notes


def _read(file: str, options: TrajectoryOptions) -> tuple[StructureFrames, list[str]]:
    from ...analysis.structure_functions.frames import of_structures, of_trajectory

    found = structures_or_trajectory(file, options)
    if isinstance(found, list):
        return of_structures(found, file), []
    return of_trajectory(found), list(found.notes)


def _measured(path: Path, radiation: list[str], options: dict[str, Any]) -> list[MeasuredSettings]:
    """Return the curve of a file, once for each radiation."""
    from ...analysis.structure_functions.measured import with_points
    from ...analysis.structure_functions.settings import MeasuredSettings

    first = with_points(MeasuredSettings(file=str(path), **options), Path())
    return [first.model_copy(update={"radiation": one}) for one in radiation]


def _write_tables(folder: Path, shown: Shown) -> None:
    from ...analysis.structure_functions.tables import tables_of
    from ...core.files import OPEN, atomic_file

    for name, text in tables_of(shown.result, shown.arrays).items():
        with atomic_file(folder / name, rights=OPEN) as temporary:
            temporary.write_text(text, encoding="utf-8")
    typer.echo(f"Tables are in {folder}.", err=True)


def _write_page(path: Path, shown: Shown) -> None:
    from ...core.files import OPEN, atomic_file
    from ...workflows.analyses.sections import Block, ReportSection, TextBlock
    from ...workflows.analyses.structure_functions.blocks import figures, measured_blocks, remarks, summary, tables
    from ...workflows.studies.results import study_page

    blocks: list[Block] = [*measured_blocks([shown]), *figures([shown]), *tables([shown])]
    blocks += [TextBlock(text) for text in remarks(shown)]
    section = ReportSection("structure-functions", f"Structure of {shown.name}", summary([shown]), tuple(blocks))
    with atomic_file(path, rights=OPEN) as temporary:
        temporary.write_text(study_page(section), encoding="utf-8")
    typer.echo(f"The page is {path}.", err=True)


def _print(shown: Shown) -> None:
    from rich.table import Table

    from ...workflows.analyses.structure_functions.blocks import agreement_tables, tables
    from ..console.terminal import make_console

    console, result = make_console(), shown.result
    typer.echo(
        f"{shown.name}: {result.frames} frames of {result.atoms} atoms, {result.density_per_A3:.7f} 1/Å³, "
        f"{result.density_g_per_cm3:.4f} g/cm³"
    )
    for block in [*agreement_tables([shown]), *tables([shown])]:
        # The first column is the file's name.
        table = Table(box=None, pad_edge=False)
        for column in block.columns[1:]:
            table.add_column(column)
        for row in block.rows:
            table.add_row(*row[1:])
        console.print(table)
        typer.echo()
