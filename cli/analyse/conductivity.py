"""`ionloop analyse conductivity`: diffusivity, conductivity and Haven ratio from trajectories in files."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import JsonOption

if TYPE_CHECKING:
    from ...analysis.conductivity import ConductivityResult
    from ...analysis.diffusion import Estimate
    from ...analysis.trajectories import Trajectory


class Coordinates(StrEnum):
    """What positions in a file are."""

    AUTO = "auto"
    WRAPPED = "wrapped"
    UNWRAPPED = "unwrapped"


class Drift(StrEnum):
    """What rests."""

    FRAMEWORK = "framework"
    ALL = "all"
    NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command("conductivity")(conductivity)


def conductivity(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Trajectories (ASE .traj, LAMMPS text dump, extended XYZ or what else ASE reads); several are"
            " independent replicas.",
        ),
    ],
    temperature_K: Annotated[float, typer.Option("--temperature-K", help="Temperature of the trajectories (K).")],
    species: Annotated[str, typer.Option(help="The mobile ions.")] = "Li",
    timestep_fs: Annotated[
        float | None,
        typer.Option(
            "--timestep-fs",
            help="Time between two frames of the file, not the integrator's step (fs); not needed for trajectories"
            " of this project, which know it.",
        ),
    ] = None,
    charge: Annotated[
        float | None, typer.Option(help="Formal charge of the mobile ions (e). Default: that of the common ion.")
    ] = None,
    equilibration_ps: Annotated[float, typer.Option(min=0, help="Time left out at the start of each file (ps).")] = 0.0,
    every: Annotated[int, typer.Option(min=1, help="Keep every n-th frame only.")] = 1,
    coordinates: Annotated[
        Coordinates, typer.Option(help="What positions are; auto asks the file, then takes the minimum image.")
    ] = Coordinates.AUTO,
    drift: Annotated[
        Drift, typer.Option(help="What is held at rest: the immobile atoms, all atoms, or nothing.")
    ] = Drift.FRAMEWORK,
    lammps_types: Annotated[str, typer.Option(help="Symbols of LAMMPS types 1, 2, ..., with commas: Li,P,S.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Take the diffusivity (Å²/ps), tracer and collective conductivity (mS/cm) and Haven ratio from trajectories."""
    from ...analysis.conductivity import UNITS, Carrier, analyse_conductivity
    from ...analysis.trajectories import read_trajectory

    carrier = Carrier(species, temperature_K, charge, drift.value)
    types = [symbol.strip() for symbol in lammps_types.split(",") if symbol.strip()]
    trajectories = [
        _without_start(
            read_trajectory(file, timestep_fs, coordinates=coordinates.value, lammps_types=types, every=every),
            equilibration_ps,
        )
        for file in files
    ]
    result = analyse_conductivity(trajectories, carrier).result
    if as_json:
        typer.echo(json.dumps({**result.model_dump(mode="json"), "units": UNITS}, indent=2))
    else:
        _print(result)


def _without_start(trajectory: Trajectory, equilibration_ps: float) -> Trajectory:
    from ...errors import InputError

    if equilibration_ps >= trajectory.length_ps:
        raise InputError(
            f"--equilibration-ps {equilibration_ps:g} leaves nothing of a trajectory of {trajectory.length_ps:g} ps"
        )
    return trajectory.part(start=round(equilibration_ps * 1000.0 / trajectory.frame_interval_fs))


def _print(result: ConductivityResult) -> None:
    from rich.console import Console
    from rich.table import Table

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
    Console(highlight=False).print(table)
    typer.echo(f"Fitted from {result.window_start_ps:g} to {result.window_end_ps:g} ps.")
    for warning in result.warnings:
        typer.echo(f"Warning: {warning}.", err=True)


def _numbers(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:.4g}", f"{estimate.low:.4g} to {estimate.high:.4g}"
