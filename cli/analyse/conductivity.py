"""`ionloop analyse conductivity`: diffusivity, conductivity and Haven ratio from trajectories in files."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console.options import JsonOption
from ..console.progress import progress
from .trajectory_options import (
    FILE_HELP,
    CellOption,
    Coordinates,
    CoordinatesOption,
    EveryOption,
    FormatOption,
    FrameworkOption,
    LammpsTypesOption,
    TimestepOption,
    TrajectoryOptions,
    without_start,
    words,
)

if TYPE_CHECKING:
    from ...analysis.conductivity.diffusion import Estimate
    from ...analysis.conductivity.transport import Carrier, ConductivityResult
    from ...analysis.trajectories.reading import Trajectory


class Drift(StrEnum):
    """What rests."""

    FRAMEWORK = "framework"
    ALL = "all"
    NONE = "none"


def conductivity(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help=f"Trajectories ({FILE_HELP}); several are independent replicas."),
    ],
    temperature_K: Annotated[float, typer.Option("--temperature-K", help="Temperature of the trajectories (K).")],
    species: Annotated[
        list[str] | None,
        typer.Option(
            help="The mobile ions; several, with commas or given again, carry current together. Default: Li.",
            show_default=False,
        ),
    ] = None,
    charge: Annotated[
        list[float] | None,
        typer.Option(help="Formal charge of each of the mobile ions (e). Default: that of the common ion."),
    ] = None,
    timestep_fs: TimestepOption = None,
    cell: CellOption = "",
    file_format: FormatOption = "",
    lammps_types: LammpsTypesOption = "",
    equilibration_ps: Annotated[float, typer.Option(min=0, help="Time left out at the start of each file (ps).")] = 0.0,
    every: EveryOption = 1,
    coordinates: CoordinatesOption = Coordinates.AUTO,
    drift: Annotated[
        Drift, typer.Option(help="What is held at rest: the immobile atoms, all atoms, or nothing.")
    ] = Drift.FRAMEWORK,
    framework: FrameworkOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take the diffusivity (Å²/ps), tracer and collective conductivity (mS/cm) and Haven ratio from trajectories."""
    from ...analysis.conductivity.transport import ConductivityResult, analyse_conductivity
    from ...store.result_kinds import units_of

    mobile = [one for text in species or ["Li"] for one in words(text)]
    carrier = _carrier(mobile, charge or [], temperature_K, drift, words(framework))
    _refuse_the_same_file(files)
    options = TrajectoryOptions(timestep_fs, cell, file_format, lammps_types, every, coordinates)
    trajectories = []
    with progress("trajectories") as tell:
        for number, file in enumerate(files):
            tell(number, len(files), f"reading {file}")
            trajectories.append(without_start(options.read(file), equilibration_ps))
        if timestep_fs is not None:
            _refuse_other_spacings(trajectories)
        tell(stage="displacements")
        result = analyse_conductivity(trajectories, carrier).result
    if as_json:
        typer.echo(json.dumps({**result.model_dump(mode="json"), "units": units_of(ConductivityResult)}, indent=2))
    else:
        _print(result)


def _carrier(
    mobile: list[str], charges: list[float], temperature_K: float, drift: Drift, framework: list[str]
) -> Carrier:
    from ...analysis.conductivity.transport import Carrier
    from ...core.errors import InputError

    if not mobile:
        raise InputError("--species names no mobile ions")
    if charges and len(charges) != len(mobile):
        raise InputError(
            f"--charge is given {len(charges)} times for {len(mobile)} mobile species ({', '.join(mobile)}): give one"
            " for each, in their order, or none"
        )
    given: list[float | None] = [*charges] if charges else [None] * len(mobile)
    others = tuple(zip(mobile[1:], given[1:], strict=True))
    return Carrier(mobile[0], temperature_K, given[0], drift.value, tuple(framework), others)


def _refuse_other_spacings(trajectories: list[Trajectory]) -> None:
    """Refuse one time between frames for files whose counters say that these are not equally far apart."""
    import numpy as np

    from ...core.errors import InputError

    found = [(one.name, float(np.median(np.diff(one.counters)))) for one in trajectories if one.counters is not None]
    for name, spacing in found[1:]:
        if not np.isclose(spacing, found[0][1], rtol=1e-3):
            raise InputError(
                f"--timestep-fs is one for all files, but {found[0][0]} counts {found[0][1]:g} from frame to frame and"
                f" {name} {spacing:g}: take every n-th frame of one of them, or write the time into the files"
            )


def _refuse_the_same_file(files: list[Path]) -> None:
    from ...core.errors import InputError

    seen: dict[Path, Path] = {}
    for file in files:
        earlier = seen.setdefault(file.resolve(), file)
        if earlier is not file:
            raise InputError(f"{file} is the same file as {earlier}: one trajectory is not two replicas; leave it out")


def _print(result: ConductivityResult) -> None:
    from rich.table import Table

    from ..console.terminal import make_console

    replicas = f"{result.replicas} × " if result.replicas > 1 else ""
    title = f"{result.ions} {result.species} at {result.temperature_K:g} K, {replicas}{result.length_ps:g} ps"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for name in ("", "value", "95 % interval", "unit"):
        table.add_column(name, justify="left" if name in {"", "unit"} else "right")
    table.add_row("diffusivity", *_numbers(result.diffusivity_A2_per_ps), "Å²/ps")
    for axis, estimate in result.diffusivity_by_axis_A2_per_ps.items():
        table.add_row(f"  along {axis}", *_numbers(estimate), "Å²/ps")
    for other, estimate in result.diffusivity_by_species_A2_per_ps.items():
        if other != result.species:
            table.add_row(f"  of {other}", *_numbers(estimate), "Å²/ps")
    table.add_row("collective diffusivity", *_numbers(result.collective_diffusivity_A2_per_ps), "Å²/ps")
    table.add_row("tracer conductivity", *_numbers(result.tracer_conductivity_mS_per_cm), "mS/cm")
    table.add_row("collective conductivity", *_numbers(result.collective_conductivity_mS_per_cm), "mS/cm")
    table.add_row("Haven ratio", *(("–", "–") if result.haven_ratio is None else _numbers(result.haven_ratio)), "")
    make_console().print(table)
    typer.echo(f"Fitted from {result.window_start_ps:g} to {result.window_end_ps:g} ps.")
    for warning in result.warnings:
        typer.echo(f"Warning: {warning}.", err=True)


def _numbers(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:.4g}", f"{estimate.low:.4g} to {estimate.high:.4g}"
