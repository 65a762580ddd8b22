"""What analyses that need no times share: structures or trajectories, whichever a file holds, and bond lengths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .trajectory_options import words

if TYPE_CHECKING:
    from ase import Atoms

    from ...analysis.trajectories.reading import Trajectory
    from .trajectory_options import TrajectoryOptions


def structures_or_trajectory(file: str, options: TrajectoryOptions) -> list[Atoms] | Trajectory:
    """Read a trajectory; where that is none, one structure or several without times.

    Raises
    ------
    InputError
        If there is neither.
    """
    from ...analysis.trajectories.frames import TrajectoryReadError
    from ...core.errors import InputError
    from ...sampling.structures.crystals import CRYSTALS, load_frames

    path = Path(file)
    if not path.exists() or file.lower() in CRYSTALS:
        return load_frames(file)
    try:
        return options.read(path)
    except TrajectoryReadError as refused:
        # Frames without times, or unequally far apart, are as good.
        try:
            frames = load_frames(path)[:: options.every]
        except InputError:
            frames = []
        if frames:
            return frames
        if options.timestep_fs is not None:
            raise
        try:
            return replace(options, timestep_fs=1.0).read(path)
        except TrajectoryReadError:
            raise refused from None


def pair_distances(text: str) -> dict[str, float]:
    """Return distances by pair of elements (Å), as ``--cutoffs P-S:2.6,P-P:2.5`` gives them.

    Raises
    ------
    InputError
        If it gives something else.
    """
    from ...core.errors import InputError

    found = {}
    for word in words(text):
        pair, _, number = word.partition(":")
        try:
            found[pair] = float(number)
        except ValueError as error:
            raise InputError(f"--cutoffs: {word!r} must be a pair and a distance, such as P-S:2.6") from error
    return found
