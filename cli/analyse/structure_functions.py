"""`ionloop analyse structure-functions`: g(r), S(q), bond angles, rings and chains of a structure or a trajectory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...analysis.structure_functions.quantities import Quantity, Unit
from ..console.options import JsonOption
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
    from ...analysis.structure_functions.measured import Agreement, MeasuredCurve
    from ...analysis.structure_functions.structure import Structure
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
    from ...analysis.structure_functions.structure import analyse_structure
    from ...workflows.analyses.structure_functions.blocks import Shown, remarks

    chosen = _settings(radiation, isotope or [], cutoffs, words(angles), words(network), settings or [])
    curve = None if measured is None else _measured(measured, quantity, unit, column, error_column)
    options = TrajectoryOptions(timestep_fs, cell, file_format, lammps_types, every, coordinates)
    runs, notes = _runs(files, options)
    found = analyse_structure(runs, chosen, mobile)
    shown = Shown(runs[0].name if len(runs) == 1 else f"{len(runs)} trajectories", found.result, found.arrays())
    agreements = {} if curve is None else _agreements(found, curve, scale, offset, window)
    if csv is not None:
        _write_tables(csv, shown, agreements)
    if html is not None:
        _write_page(html, shown, curve, agreements)
    if as_json:
        typer.echo(json.dumps(_as_dict(shown, curve, agreements), indent=2))
    else:
        _print(shown, curve, agreements)
    for line in [*(f"Warning: {note}." for note in notes), *remarks(shown)]:
        typer.echo(line, err=True)


def _settings(
    radiation: str, isotope: list[str], cutoffs: str, angles: list[str], network: list[str], others: list[str]
) -> Any:
    from pydantic import ValidationError
    from ruamel.yaml import YAML

    from ...analysis.structure_functions.scattering import isotopes_of
    from ...analysis.structure_functions.settings import StructureSettings
    from ...core.errors import InputError
    from ...store.queries.record_kinds import unknown_value

    values: dict[str, Any] = {
        "radiation": tuple(words(radiation)),
        "isotopes": isotopes_of(isotope, "--isotope"),
        "cutoffs_A": _distances(cutoffs),
        "angles": tuple(angles),
        "network": tuple(network),
    }
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


def _distances(text: str) -> dict[str, float]:
    from ...core.errors import InputError

    found = {}
    for word in words(text):
        pair, _, number = word.partition(":")
        try:
            found[pair] = float(number)
        except ValueError as error:
            raise InputError(f"--cutoffs: {word!r} must be a pair and a distance, such as P-S:2.6") from error
    return found


def _number(option: str, text: str) -> float | None:
    """Return a number, None for ``fit``."""
    from ...core.errors import InputError

    if text == FIT:
        return None
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
    """Read a trajectory; where that is none, one structure or several without times."""
    from dataclasses import replace

    from ...analysis.structure_functions.frames import of_structures, of_trajectory
    from ...analysis.trajectories.frames import TrajectoryReadError
    from ...core.errors import InputError
    from ...sampling.structures.crystals import CRYSTALS, load_frames

    path = Path(file)
    if not path.exists() or file.lower() in CRYSTALS:
        return of_structures(load_frames(file), file), []
    try:
        trajectory = options.read(path)
    except TrajectoryReadError as refused:
        # Structure needs no times: frames without them, or unequally far apart, are as good.
        try:
            frames = load_frames(path)[:: options.every]
        except InputError:
            frames = []
        if frames:
            return of_structures(frames, str(path)), []
        if options.timestep_fs is not None:
            raise
        try:
            trajectory = replace(options, timestep_fs=1.0).read(path)
        except TrajectoryReadError:
            raise refused from None
    return of_trajectory(trajectory), list(trajectory.notes)


def _measured(
    path: Path, quantity: Quantity, unit: Unit | None, column: int | None, error_column: int | None
) -> MeasuredCurve:
    from ...analysis.structure_functions.measured import read_measured

    return read_measured(path, quantity, unit, column, error_column)


def _agreements(found: Structure, curve: MeasuredCurve, scale: str, offset: str, window: str) -> dict[str, Agreement]:
    """Return how far every radiation's curve is from the measured one."""
    from ...analysis.structure_functions.measured import compare

    options = {"scale": _number("--scale", scale), "offset": _number("--offset", offset)}
    agreements = {}
    for said in found.result.diffraction:
        x, y = found.total_curve(said.radiation, curve.quantity)  # type: ignore[arg-type]
        agreements[said.radiation] = compare(curve, x, y, found.result.density_per_A3, window=_range(window), **options)
    return agreements


def _as_dict(shown: Shown, curve: MeasuredCurve | None, agreements: dict[str, Agreement]) -> dict[str, Any]:
    return {
        **shown.result.model_dump(mode="json"),
        "curves": {name: array.tolist() for name, array in shown.arrays.items()},
        "measured": None
        if curve is None
        else {
            "name": curve.name,
            "quantity": str(curve.quantity),
            "agreement": {
                radiation: {
                    "points": len(one.x),
                    "scale": one.scale,
                    "offset": one.offset,
                    "r_chi": one.r_chi,
                    "control": one.control,
                    "chi_square_per_point": one.chi_square_per_point,
                    "control_chi_square_per_point": one.control_chi_square_per_point,
                }
                for radiation, one in agreements.items()
            },
        },
    }


def _write_tables(folder: Path, shown: Shown, agreements: dict[str, Agreement]) -> None:
    from ...analysis.structure_functions.tables import tables_of
    from ...core.files import OPEN, atomic_file

    for name, text in tables_of(shown.result, shown.arrays, agreements).items():
        with atomic_file(folder / name, rights=OPEN) as temporary:
            temporary.write_text(text, encoding="utf-8")
    typer.echo(f"Tables are in {folder}.", err=True)


def _write_page(path: Path, shown: Shown, curve: MeasuredCurve | None, agreements: dict[str, Agreement]) -> None:
    from ...core.files import OPEN, atomic_file
    from ...workflows.analyses.sections import ReportSection, TextBlock
    from ...workflows.analyses.structure_functions.blocks import figures, measured_blocks, remarks, summary, tables
    from ...workflows.studies.results import study_page

    blocks = [
        *([] if curve is None else measured_blocks(curve, agreements)),
        *figures([shown]),
        *tables([shown]),
        *(TextBlock(text) for text in remarks(shown)),
    ]
    section = ReportSection("structure-functions", f"Structure of {shown.name}", summary([shown]), tuple(blocks))
    with atomic_file(path, rights=OPEN) as temporary:
        temporary.write_text(study_page(section), encoding="utf-8")
    typer.echo(f"The page is {path}.", err=True)


def _print(shown: Shown, curve: MeasuredCurve | None, agreements: dict[str, Agreement]) -> None:
    from rich.table import Table

    from ...workflows.analyses.structure_functions.blocks import agreement_table, tables
    from ..console.terminal import make_console

    console, result = make_console(), shown.result
    typer.echo(
        f"{shown.name}: {result.frames} frames of {result.atoms} atoms, {result.density_per_A3:.7f} 1/Å³, "
        f"{result.density_g_per_cm3:.4f} g/cm³"
    )
    blocks = [*([] if curve is None else [agreement_table(curve, agreements)]), *tables([shown])]
    for block in blocks:
        own = block.columns[0] == "potential"
        table = Table(box=None, pad_edge=False)
        for column in block.columns[own:]:
            table.add_column(column)
        for row in block.rows:
            table.add_row(*row[own:])
        console.print(table)
        typer.echo()
