"""`ionloop analyse speciation`: which polyanions a structure or a trajectory holds, and how many of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    without_start,
    words,
)

if TYPE_CHECKING:
    from ...analysis.speciation.figures import SpeciesSeries
    from ...analysis.speciation.frames import NetworkRun
    from ...analysis.speciation.settings import SpeciesSettings


def speciation(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help=f"Structures by name or in files, or trajectories: {FILE_HELP}."),
    ],
    centres: Annotated[str, typer.Option(help="Elements in the middle of polyanions: P, or Ge,P.")] = "P",
    ligands: Annotated[str, typer.Option(help="Elements around them: S, or O,S.")] = "S",
    cutoffs: Annotated[
        str, typer.Option(help="Longest bonds (Å): P-S:2.6,P-P:2.5. Default: known ones, else from covalent radii.")
    ] = "",
    patience_fs: Annotated[
        float, typer.Option(min=0.0, help="How long a bond is too long before it counts as broken (fs).")
    ] = 50.0,
    equilibration_ps: Annotated[float, typer.Option(min=0, help="Time left out at the start of each file (ps).")] = 0.0,
    timestep_fs: TimestepOption = None,
    cell: CellOption = "",
    file_format: FormatOption = "",
    lammps_types: LammpsTypesOption = "",
    every: EveryOption = 1,
    coordinates: CoordinatesOption = Coordinates.AUTO,
    html: Annotated[Path | None, typer.Option(help="File for a page with figures.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count polyanions: percent of the centres in each, bridging ligands, free ligands, changes, charge balance."""
    from ...analysis.speciation.figures import SpeciesSeries
    from ...analysis.speciation.speciation import analyse_speciation
    from ...workflows.analyses.speciation.report import remarks

    chosen = _settings(
        {
            "network": {"centres": words(centres), "ligands": words(ligands), "cutoffs_A": pair_distances(cutoffs)},
            "patience_fs": patience_fs,
        }
    )
    options = TrajectoryOptions(timestep_fs, cell, file_format, lammps_types, every, coordinates)
    runs, notes = _runs(files, options, equilibration_ps)
    found = analyse_speciation(runs, chosen)
    name = Path(runs[0].name).name if len(runs) == 1 else f"{len(runs)} files"
    shown = SpeciesSeries("", name, found.result, found.times_ps, found.family_percent)
    if html is not None:
        _write_page(html, shown)
    if as_json:
        curves = {key: array.tolist() for key, array in found.arrays().items()}
        typer.echo(json.dumps({**found.result.model_dump(mode="json"), "curves": curves}, indent=2))
    else:
        _print(shown)
    for line in [*notes, *remarks(shown)]:
        typer.echo(f"Warning: {line}.", err=True)


def _settings(values: dict[str, Any]) -> SpeciesSettings:
    from pydantic import ValidationError

    from ...analysis.speciation.settings import SpeciesSettings
    from ...core.errors import InputError

    try:
        return SpeciesSettings.model_validate(values)
    except ValidationError as error:
        told = "; ".join(
            f"--{str((*one['loc'], 'network')[min(1, len(one['loc']) - 1)]).replace('_A', '')}: "
            f"{one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        )
        raise InputError(told.replace("--network", "--centres, --ligands, --cutoffs")) from error


def _runs(files: list[str], options: TrajectoryOptions, equilibration_ps: float) -> tuple[list[NetworkRun], list[str]]:
    from ...analysis.speciation.frames import NetworkRun
    from ...core.errors import InputError

    runs: list[NetworkRun] = []
    notes: list[str] = []
    for file in files:
        read = structures_or_trajectory(file, options)
        if isinstance(read, list):
            if equilibration_ps:
                raise InputError(f"--equilibration-ps: {file} has no times that say where equilibration ends")
            runs.append(NetworkRun.of_structures(read, file))
            continue
        runs.append(NetworkRun.of_trajectory(without_start(read, equilibration_ps)))
        notes += read.notes
    return runs, notes


def _write_page(path: Path, shown: SpeciesSeries) -> None:
    from ...analysis.speciation.figures import SHARES_CAPTION, TIME_CAPTION, shares_figure, time_figure
    from ...core.files import OPEN, atomic_file
    from ...workflows.analyses.sections import Block, FigureBlock, ReportSection, TextBlock
    from ...workflows.analyses.speciation.report import remarks, summary, tables
    from ...workflows.studies.results import study_page

    blocks: list[Block] = [FigureBlock("shares", shares_figure([shown]), SHARES_CAPTION), *tables([shown])]
    if len(shown.times_ps) > 1:
        blocks.append(FigureBlock("time", time_figure(shown), TIME_CAPTION))
    blocks += [TextBlock(f"{text}.") for text in remarks(shown)]
    section = ReportSection(
        "speciation", f"Species of {shown.result.network} in {shown.name}", summary([shown]), tuple(blocks)
    )
    with atomic_file(path, rights=OPEN) as temporary:
        temporary.write_text(study_page(section), encoding="utf-8")
    typer.echo(f"The page is {path}.", err=True)


def _print(shown: SpeciesSeries) -> None:
    from rich.table import Table

    from ...workflows.analyses.speciation.report import tables
    from ..console.terminal import make_console

    console = make_console()
    typer.echo(f"{shown.name}: species of {shown.result.network}, {shown.result.frames} frames")
    for block in tables([shown]):
        if not block.rows:
            continue
        # The first column is the file's name.
        table = Table(box=None, pad_edge=False)
        for column in block.columns[1:]:
            table.add_column(column)
        for row in block.rows:
            table.add_row(*row[1:])
        console.print(table)
        typer.echo()
