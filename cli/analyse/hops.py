"""`ionloop analyse hops`: who hopped where and how often, from a trajectory in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..console.options import JsonOption
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
    words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from ...analysis.hops.detection import HopAnalysis, HopSummary
    from ...analysis.hops.settings import HopSettings
    from ...analysis.trajectories.reading import Trajectory


def hops(
    file: Annotated[Path, typer.Argument(help=f"A trajectory: {FILE_HELP}.")],
    species: Annotated[str, typer.Option(help="The mobile ions.")] = "Li",
    timestep_fs: TimestepOption = None,
    cell: CellOption = "",
    file_format: FormatOption = "",
    lammps_types: LammpsTypesOption = "",
    every: EveryOption = 1,
    coordinates: CoordinatesOption = Coordinates.AUTO,
    framework: FrameworkOption = "",
    crystal: Annotated[
        Path | None, typer.Option(help="The crystal whose ions are the known sites; else the first frame's.")
    ] = None,
    core: Annotated[
        float, typer.Option(min=0.1, max=5, help="An ion has arrived at a site within this radius (Å).")
    ] = 0.8,
    outer: Annotated[float, typer.Option(min=0.1, max=5, help="... and has left it beyond this one (Å).")] = 1.4,
    residence: Annotated[float, typer.Option(min=0, max=1000, help="Shorter stays do not count (ps).")] = 0.5,
    minimum_distances: Annotated[
        str,
        typer.Option(
            help="Smallest distance of a site from each element of the framework (Å): S:2.2,P:2.6. Needed for ions of "
            "unknown radius."
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Find sites and hops: rate with its 95 % interval, jump lengths, concerted events, occupancies."""
    from ...analysis.hops.detection import concerted_by_chance, summarise

    settings = _settings(core, outer, residence)
    trajectory = TrajectoryOptions(timestep_fs, cell, file_format, lammps_types, every, coordinates).read(file)
    analysis, notes = _analysed(trajectory, _Sites(species, words(framework), crystal, minimum_distances), settings)
    summary, chance = summarise([analysis]), concerted_by_chance(analysis, settings)
    if as_json:
        typer.echo(json.dumps({"concerted_by_chance": chance, **_as_dict(analysis, summary)}, indent=2))
    else:
        _print(analysis, summary, species)
        if summary.concerted_fraction:
            typer.echo(f"Of independent ions {100 * chance:.0f} % of the hops would be in such events by chance.")
    for note in notes:
        typer.echo(note, err=True)


class _Sites(NamedTuple):
    """Who hops through what, and where the sites are, as it is written on the command line."""

    species: str
    framework: list[str]
    crystal: Path | None
    minimum_distances: str


def _settings(core_A: float, outer_A: float, residence_ps: float) -> HopSettings:
    from ...analysis.hops.settings import HopSettings
    from ...core.errors import InputError

    if outer_A < core_A:
        raise InputError(f"--outer ({outer_A:g} Å) must not be smaller than --core ({core_A:g} Å)")
    return HopSettings(
        core_A=core_A,
        outer_A=outer_A,
        minimum_residence_ps=residence_ps,
        return_residence_ps=max(residence_ps, HopSettings().return_residence_ps),
    )


def _analysed(trajectory: Trajectory, sites: _Sites, settings: HopSettings) -> tuple[HopAnalysis, list[str]]:
    """Return the hops, and the lines that say what a reader should know."""
    from ...analysis.conductivity.transport_settings import FEWEST_FRAMES
    from ...analysis.hops.detection import doubts, hops_of_trajectory
    from ...analysis.trajectories.framework import frame_of_reference
    from ...core.errors import InputError
    from ...sampling.structures.sites import UnknownRadius

    species, framework, crystal = sites.species, sites.framework, sites.crystal
    if trajectory.n_frames < FEWEST_FRAMES:
        raise InputError(f"{trajectory.name} has {trajectory.n_frames} frames; {FEWEST_FRAMES} or more are needed")
    distances = _distances(sites.minimum_distances, {*trajectory.symbols} - {species})
    known, lines = (None, []) if crystal is None else _known_sites(crystal, trajectory, species, framework)
    try:
        analysis = hops_of_trajectory(trajectory, species, settings, known, framework, distances)
    except UnknownRadius as error:
        raise InputError(f"{error}; for example --minimum-distances {_example(trajectory.symbols, species)}") from error
    frame = frame_of_reference([trajectory], [species], framework=framework)
    warnings = [*trajectory.notes, *frame.notes, *doubts(analysis)]
    if crystal is not None and not (analysis.sites.known & (analysis.occupancy > 0)).any():
        warnings.append(f"no site of {crystal} is visited: its {species} lie elsewhere, or it is another crystal")
    return analysis, [*lines, *(f"Warning: {one}." for one in warnings)]


def _known_sites(crystal: Path, trajectory: Trajectory, species: str, framework: list[str]) -> tuple[Atoms, list[str]]:
    """Return a crystal's sites in the trajectory's cell, and a line that says how it was put there."""
    from ...analysis.hops.known_crystal import crystal_on_trajectory
    from ...core.errors import InputError
    from ...sampling.structures.crystals import load_structure

    try:
        known, notes = crystal_on_trajectory(load_structure(crystal, sites_of=species), trajectory, species, framework)
    except InputError as error:
        raise InputError(f"--crystal {crystal}: {error}") from error
    return known, [f"{crystal}: {', '.join(notes)}."] if notes else []


def _distances(text: str, framework: set[str]) -> dict[str, float]:
    """Return distances (Å) by element, as they are written on the command line."""
    from ...core.errors import InputError
    from ...store.queries.record_kinds import unknown_value

    found: dict[str, float] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        element, _, number = word.partition(":")
        if element not in framework:
            raise unknown_value("element", element, sorted(framework), of="--minimum-distances")
        try:
            distance = float(number)
        except ValueError:
            distance = 0.0
        if not 0 < distance <= _LARGEST_MINIMUM_DISTANCE_A:
            raise InputError(
                f"--minimum-distances: {word!r} must be an element and a distance above 0 and up to "
                f"{_LARGEST_MINIMUM_DISTANCE_A:g} Å, such as S:2.2"
            )
        if found.setdefault(element, distance) != distance:
            raise InputError(f"--minimum-distances: {element} is given twice, {found[element]:g} and {distance:g} Å")
    return found


def _example(symbols: Sequence[str], species: str) -> str:
    return ",".join(f"{one}:2.2" for one in dict.fromkeys(symbols) if one != species)


_LARGEST_MINIMUM_DISTANCE_A = 10.0


def _as_dict(analysis: HopAnalysis, summary: HopSummary) -> dict[str, Any]:
    from dataclasses import asdict

    found = analysis.hops
    return {
        "ions": analysis.n_ions,
        "duration_ps": analysis.duration_ps,
        **asdict(summary),
        "list": [
            {
                "ion": int(found.ion[i]),
                "from": int(found.from_site[i]),
                "to": int(found.to_site[i]),
                "time_ps": float((found.leave[i] + found.arrive[i]) / 2 * analysis.frame_ps),
                "residence_before_ps": float(found.residence_before_ps[i]),
                "residence_after_ps": float(found.residence_after_ps[i]),
                "jump_A": found.jump_A[i].tolist(),
                "event": int(found.event[i]),
            }
            for i in range(len(found))
        ],
        "sites": [
            {"position_A": place, "known": known, "occupancy": occupancy, "stays": stays}
            for place, known, occupancy, stays in zip(
                analysis.sites.positions.tolist(),
                analysis.sites.known.tolist(),
                analysis.occupancy.tolist(),
                analysis.stays.tolist(),
                strict=True,
            )
        ],
    }


def _print(analysis: HopAnalysis, summary: HopSummary, species: str) -> None:
    from rich.table import Table

    from ..console.terminal import make_console

    title = f"{analysis.n_ions} {species} in {analysis.duration_ps:.1f} ps"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    low, high = summary.rate_interval_per_ion_per_ps
    table.add_row("hops", str(summary.hops))
    table.add_row(
        "hops per ion and ns (95 % interval)",
        f"{1000 * summary.rate_per_ion_per_ps:.1f} ({1000 * low:.1f} to {1000 * high:.1f})",
    )
    visited = int((analysis.occupancy > 0).sum())
    table.add_row("sites visited", f"{visited}, {int((analysis.sites.known & (analysis.occupancy > 0)).sum())} known")
    if summary.mean_jump_A is not None:
        table.add_row("mean length of a jump, Å", f"{summary.mean_jump_A:.2f}")
        table.add_row("in events of several ions, %", f"{100 * summary.concerted_fraction:.0f}")
        for axis, displacement in zip("abc", summary.net_displacement_A, strict=True):
            table.add_row(f"net displacement along {axis}, Å", f"{displacement:.2f}")
    if summary.mean_residence_ps is not None:
        table.add_row("mean stay, ps", f"{summary.mean_residence_ps:.2f}")
    make_console().print(table)
