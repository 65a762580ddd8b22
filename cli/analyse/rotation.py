"""`ionloop analyse rotation`: how polyanions turn, and whether ions hop with them, from trajectories in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    without_start,
)

if TYPE_CHECKING:
    from ...analysis.rotation.decay import DecayTime
    from ...analysis.rotation.rotation import Rate, RotationAnalysis, RotationResult
    from ...analysis.rotation.settings import RotationSettings


def rotation(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help=f"Trajectories ({FILE_HELP}); several are independent replicas."),
    ],
    centre: Annotated[str, typer.Option(help="Element in the middle of the polyanion.")] = "P",
    ligand: Annotated[str, typer.Option(help="Element around it.")] = "S",
    ligands: Annotated[int, typer.Option(min=3, max=12, help="Ligands of a whole polyanion.")] = 4,
    made: Annotated[
        float | None, typer.Option(help="A bond is made below this distance (Å). Default: from covalent radii.")
    ] = None,
    broken: Annotated[
        float | None, typer.Option(help="... and broken above this one (Å). Default: from covalent radii.")
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Follow polyanions that share ligands with others as well.")
    ] = False,
    species: Annotated[str, typer.Option(help="The mobile ions, whose hops are compared.")] = "Li",
    turned: Annotated[float, typer.Option(help="A rotation exceeds this angle (degrees).")] = 60.0,
    settled: Annotated[float, typer.Option(help="... and settles within this one (degrees).")] = 30.0,
    hop: Annotated[float, typer.Option(help="An ion hops where its mean position moves this far (Å).")] = 2.0,
    distance: Annotated[float, typer.Option(help="Hops count up to this distance from the centre (Å).")] = 4.0,
    timestep_fs: TimestepOption = None,
    cell: CellOption = "",
    file_format: FormatOption = "",
    lammps_types: LammpsTypesOption = "",
    equilibration_ps: Annotated[float, typer.Option(min=0, help="Time left out at the start of each file (ps).")] = 0.0,
    every: EveryOption = 1,
    coordinates: CoordinatesOption = Coordinates.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Follow polyanions: rotations per anion and ns, decay times of their orientation, hops that go with rotations."""
    from ...analysis.rotation.rotation import analyse_rotation
    from ...store.result_kinds import units_of

    settings = _settings(
        {
            "anion": {
                "centre": centre,
                "ligand": ligand,
                "ligands": ligands,
                "made_A": made,
                "broken_A": broken,
                "alone": not shared,
            },
            "jumps": {"turned_degree": turned, "settled_degree": settled},
            "coupling": {"hop_A": hop, "distance_A": distance},
        }
    )
    options = TrajectoryOptions(timestep_fs, cell, file_format, lammps_types, every, coordinates)
    trajectories = [without_start(options.read(file), equilibration_ps) for file in files]
    found = analyse_rotation(trajectories, species, settings)
    if as_json:
        document = found.result.model_dump(mode="json")
        typer.echo(json.dumps({**document, "events": _events(found), "units": units_of(type(found.result))}, indent=2))
    else:
        _print(found.result)
    for note in dict.fromkeys((*(note for one in trajectories for note in one.notes), *found.result.warnings)):
        typer.echo(f"Warning: {note}.", err=True)


def _settings(values: dict[str, Any]) -> RotationSettings:
    from pydantic import ValidationError

    from ...analysis.rotation.settings import RotationSettings
    from ...core.errors import InputError

    try:
        return RotationSettings.model_validate(values)
    except ValidationError as error:
        told = "; ".join(
            f"{_OPTIONS.get(str(one['loc'][-1]), ' '.join(map(str, one['loc'])))}: "
            f"{one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        )
        raise InputError(told) from error


_OPTIONS = {
    "centre": "--centre",
    "ligand": "--ligand",
    "ligands": "--ligands",
    "made_A": "--made",
    "broken_A": "--broken",
    "anion": "--centre, --ligand, --made, --broken",
    "turned_degree": "--turned",
    "settled_degree": "--settled",
    "jumps": "--turned, --settled",
    "hop_A": "--hop",
    "distance_A": "--distance",
}


def _events(found: RotationAnalysis) -> list[dict[str, Any]]:
    return [
        {
            "trajectory": place,
            "anion": int(rotations.anion[one]),
            "time_ps": float(rotations.frame[one] * seen.frame_ps),
            "place_A": seen.places_A[one].tolist(),
            "angle_degree": float(rotations.angle_degree[one]),
            "axis": rotations.axis[one].tolist(),
            "exchange_only": bool(rotations.permutes[one]),
        }
        for place, (rotations, seen) in enumerate(zip(found.rotations, found.seen, strict=True))
        for one in range(len(rotations))
    ]


def _print(result: RotationResult) -> None:
    from rich.table import Table

    from ..console.terminal import make_console

    title = f"{result.anions} {result.formula}, up to {result.length_ps:.1f} ps"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("whole, % of the time", f"{100 * result.whole_fraction:.1f}")
    table.add_row("broken, per anion and ns", _rate(result.breaks_per_anion_per_ns, result.breaks))
    table.add_row("rotations", str(result.rotations))
    table.add_row(
        "rotations per anion and ns (95 % interval)", _rate(result.rotations_per_anion_per_ns, result.rotations)
    )
    if result.rotations:
        table.add_row("exchange ligands only, %", f"{100 * result.permuting / result.rotations:.0f}")
        table.add_row("mean angle, degrees", f"{result.mean_angle_degree:.0f}")
    for name, decay in (("C1", result.c1), ("C2", result.c2), ("C_T", result.ct)):
        table.add_row(f"decay time of {name}, ps", _decay(decay))
    console = make_console()
    console.print(table)
    if result.coupling is not None:
        _print_coupling(result, console)


def _print_coupling(result: RotationResult, console: Any) -> None:
    from rich.table import Table

    assert result.coupling is not None
    table = Table(box=None, pad_edge=False, title=f"{result.mobile} hops near rotations", title_justify="left")
    for name in ("± ps", "P(hop | rotation)", "by chance (95 %)", "ratio", "p"):
        table.add_column(name, justify="right")
    for one in result.coupling.windows:
        table.add_row(
            f"{one.window_ps:g}",
            f"{one.given_rotation:.2f}",
            f"{one.by_chance:.2f} ({one.chance_low:.2f} to {one.chance_high:.2f})",
            "–" if one.ratio is None else f"{one.ratio:.2f}",
            f"{one.p_value:.3f}",
        )
    console.print(table)
    console.print(f"p of all windows together: {result.coupling.p_value:.3f}")


def _rate(rate: Rate, count: int) -> str:
    if not count:
        return f"below {rate.high:.3g}"
    return f"{rate.value:.3g} ({rate.low:.3g} to {rate.high:.3g})"


def _decay(decay: DecayTime | None) -> str:
    if decay is None:
        return "–"
    if decay.time_ps is None:
        return f"not decayed in {decay.longest_ps:.3g}: above {decay.low_ps or 0.0:.3g}"
    low, high = ("?" if one is None else f"{one:.3g}" for one in (decay.low_ps, decay.high_ps))
    return f"{decay.time_ps:.3g} ({low} to {high})"
