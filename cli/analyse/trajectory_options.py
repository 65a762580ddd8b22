"""Options of all commands that read trajectories from files, defined once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...analysis.trajectories.reading import Trajectory

FILE_HELP = (
    "ASE .traj, LAMMPS dump, XYZ (extended, GPUMD, CP2K, LAMMPS), XDATCAR or what else ASE reads, compressed or not"
)


class Coordinates(StrEnum):
    """What positions in a file are."""

    AUTO = "auto"
    WRAPPED = "wrapped"
    UNWRAPPED = "unwrapped"


TimestepOption = Annotated[
    float | None,
    typer.Option(
        "--timestep-fs",
        help="Time between two frames of the file, not the integrator's step (fs); not needed where the file says it.",
    ),
]
CellOption = Annotated[
    str,
    typer.Option(
        help='Cell of a file that has none: "a b c", "a b c alpha beta gamma", three vectors (Å, degrees), or a file: '
        "CP2K's .cell, a structure."
    ),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format", help="lammps-dump, xyz, xdatcar, traj or one of ASE's formats. Default: what the file looks like."
    ),
]
LammpsTypesOption = Annotated[
    str,
    typer.Option(help="Symbols of LAMMPS types 1, 2, ..., with commas: Li,P,S; they go before the file's elements."),
]
EveryOption = Annotated[int, typer.Option(min=1, help="Keep every n-th frame only.")]
CoordinatesOption = Annotated[
    Coordinates, typer.Option(help="What positions are; auto asks the file, then takes the minimum image.")
]

FrameworkOption = Annotated[
    str,
    typer.Option(
        help="Species that hold the frame of reference, with commas: P,S. Default: those that do not diffuse."
    ),
]


def words(text: str) -> list[str]:
    """Return what commas separate."""
    return [word.strip() for word in text.split(",") if word.strip()]


@dataclass(frozen=True)
class TrajectoryOptions:
    """What was given beside a trajectory."""

    timestep_fs: float | None = None
    cell: str = ""
    file_format: str = ""
    lammps_types: str = ""
    every: int = 1
    coordinates: Coordinates = Coordinates.AUTO

    def read(self, file: Path) -> Trajectory:
        """Read a trajectory.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        from ...analysis.trajectories.given_cells import given_cells
        from ...analysis.trajectories.reading import read_trajectory

        return read_trajectory(
            file,
            self.timestep_fs,
            coordinates=self.coordinates.value,
            lammps_types=words(self.lammps_types),
            every=self.every,
            cell_A=given_cells(self.cell) if self.cell else None,
            file_format=self.file_format or None,
        )


def without_start(trajectory: Trajectory, equilibration_ps: float) -> Trajectory:
    """Return a trajectory without the time in which it equilibrated.

    Raises
    ------
    InputError
        If nothing is left.
    """
    from ...core.errors import InputError

    if not equilibration_ps:
        return trajectory
    if equilibration_ps >= trajectory.length_ps:
        raise InputError(
            f"--equilibration-ps ({equilibration_ps:g}) leaves nothing of {trajectory.name or 'the trajectory'}, which "
            f"is {trajectory.length_ps:g} ps long"
        )
    return trajectory.part(start=round(1000.0 * equilibration_ps / trajectory.frame_interval_fs))
