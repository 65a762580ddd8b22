"""Trajectories for analyses: read from files, unwrapped, in a fixed cell, without drift.

What this project's own dynamics writes is unwrapped. Of a foreign file it is known only where the format says so
(LAMMPS columns ``xu`` or ``ix``). Everything else is unwrapped by the minimum image: a step of more than half a
cell along any cell vector is taken for a crossing of the boundary. That is right as long as no atom really moves so
far between two frames, which is checked: steps near half a cell are refused.

Where the cell fluctuates, scaled coordinates are unwrapped and multiplied by the mean cell. Breathing of the cell
then moves no atom, and diffusion keeps its size (the toroidal scheme's reason, von Bülow, Bullerjahn, Hummer,
J. Chem. Phys. 2020, 153, 021101, 10.1063/5.0008316: what must be summed are displacements, not cell lengths).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.io import iread
from ase.io.formats import UnknownFileTypeError
from ase.io.trajectory import TrajectoryReader
from numpy.typing import NDArray

from ..errors import InputError
from .lammps_dump import read_lammps_dump

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Coordinates = Literal["auto", "wrapped", "unwrapped"]
COORDINATES: tuple[str, ...] = get_args(Coordinates)
DriftReference = Literal["framework", "all", "none"]

LARGEST_SURE_STEP = 0.35
"""Scaled step (part of a cell vector) above which unwrapping by the minimum image is only likely right."""
LARGEST_STEP = 0.45
"""Scaled step above which it is a guess, and refused."""
# Two times are equal if they differ by less than this part of the interval between frames.
_TIME_TOLERANCE = 1e-3
_CELL_TOLERANCE_A = 1e-6


class TrajectoryReadError(InputError):
    """The file holds no trajectory that can be analysed."""


class RawFrame(NamedTuple):
    """One frame as a file has it.

    Attributes
    ----------
    positions_A
        Shape [n_atoms, 3] (Å).
    cell_A
        Cell vectors as rows, shape [3, 3] (Å).
    time_fs
        Time of the frame where the file says it (fs).
    unwrapped
        Whether the file says that positions are unwrapped.
    """

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray
    time_fs: float | None
    unwrapped: bool


@dataclass(frozen=True)
class Trajectory:
    """Unwrapped positions at equal intervals in a fixed cell.

    Attributes
    ----------
    symbols
        Chemical symbols, length n_atoms.
    positions_A
        Shape [n_frames, n_atoms, 3] (Å), unwrapped.
    cell_A
        Cell vectors as rows, shape [3, 3] (Å); the mean where the cell fluctuated.
    frame_interval_fs
        Time between two frames (fs).
    notes
        What a reader of the results should know.
    """

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray
    frame_interval_fs: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_frames, n_atoms, _ = self.positions_A.shape
        if n_frames < 2:
            raise TrajectoryReadError(f"a trajectory needs two frames or more, not {n_frames}")
        if n_atoms != len(self.symbols):
            raise TrajectoryReadError(f"{n_atoms} atoms have {len(self.symbols)} symbols")
        if not (np.isfinite(self.frame_interval_fs) and self.frame_interval_fs > 0):
            raise TrajectoryReadError(f"the time between frames must be above 0 fs, not {self.frame_interval_fs:g}")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.positions_A)

    @property
    def length_ps(self) -> float:
        """Time from the first frame to the last (ps)."""
        return (self.n_frames - 1) * self.frame_interval_fs / 1000.0

    @property
    def volume_A3(self) -> float:
        """Volume of the cell (Å³)."""
        return float(abs(np.linalg.det(self.cell_A)))

    def indices_of(self, species: str) -> IntArray:
        """Return the indices of the atoms of ``species``.

        Raises
        ------
        InputError
            If there are none.
        """
        found = np.flatnonzero(np.array(self.symbols) == species)
        if not len(found):
            present = ", ".join(sorted(set(self.symbols)))
            raise InputError(f"the trajectory has no {species}; it has {present}")
        return found

    def part(self, start: int = 0, stop: int | None = None) -> Trajectory:
        """Return the frames from ``start`` to before ``stop`` (a view, nothing is copied)."""
        return replace(self, positions_A=self.positions_A[start:stop])


def drift(trajectory: Trajectory, mobile: Iterable[str], reference: DriftReference = "framework") -> FloatArray:
    """Return the displacement of the frame of reference since the first frame, shape [n_frames, 3] (Å).

    Parameters
    ----------
    mobile
        Species that move through the framework.
    reference
        ``framework``: the centre of mass of all atoms that are not mobile, in whose frame ionic conduction is
        defined (nothing drifts where all atoms are mobile); ``all``: the centre of mass; ``none``: no drift.
    """
    symbols = np.array(trajectory.symbols)
    chosen = np.full(len(symbols), reference != "none")
    if reference == "framework":
        chosen &= ~np.isin(symbols, sorted(set(mobile)))
    if not chosen.any():
        return np.zeros((trajectory.n_frames, 3))
    masses = np.where(chosen, [atomic_masses[atomic_numbers[symbol]] for symbol in symbols], 0.0)
    centre = np.tensordot(trajectory.positions_A, masses / masses.sum(), axes=([1], [0]))
    return np.asarray(centre - centre[0])


def unwrap(positions_A: FloatArray, cells_A: FloatArray, coordinates: Coordinates = "auto") -> FloatArray:
    """Return unwrapped positions in the mean cell, shape [n_frames, n_atoms, 3] (Å).

    Parameters
    ----------
    positions_A
        Shape [n_frames, n_atoms, 3] (Å), in cells whose origin is at zero.
    cells_A
        Shape [n_frames, 3, 3] (Å).
    coordinates
        ``unwrapped`` leaves the steps between frames as they are; ``wrapped`` and ``auto`` take the minimum image.

    Raises
    ------
    TrajectoryReadError
        If a step is too close to half a cell to say which image is meant.
    """
    return unwrap_with_largest_step(positions_A, cells_A, coordinates)[0]


def unwrap_with_largest_step(
    positions_A: FloatArray, cells_A: FloatArray, coordinates: Coordinates
) -> tuple[FloatArray, float]:
    """Return what `unwrap` does, and the largest scaled step among atoms if any of them had to be unwrapped, else 0."""
    varies = bool(np.ptp(cells_A, axis=0).max(initial=0.0) > _CELL_TOLERANCE_A)
    if coordinates == "unwrapped" and not varies:
        return positions_A, 0.0
    scaled = np.einsum("tnc,tcd->tnd", positions_A, np.linalg.inv(cells_A))
    largest = 0.0
    if coordinates != "unwrapped":
        steps = np.diff(scaled, axis=0)
        images = np.rint(steps)
        if not images.any() and not varies:
            return positions_A, 0.0
        if images.any():
            steps -= images
            largest = float(np.abs(steps).max())
            if largest > LARGEST_STEP:
                frame, atom, axis = np.unravel_index(np.abs(steps).argmax(), steps.shape)
                raise TrajectoryReadError(
                    f"atom {atom} moves by {largest:.2f} of cell vector {'abc'[axis]} between frames {frame} and"
                    f" {frame + 1}: above {LARGEST_STEP:g} nobody can tell which image is meant. Write frames more"
                    " often, use a larger cell, or give unwrapped positions and say so (coordinates: unwrapped)"
                )
            scaled[1:] -= np.cumsum(images, axis=0)
    return np.asarray(scaled @ cells_A.mean(axis=0)), largest


def from_frames(
    frames: Iterable[RawFrame],
    frame_interval_fs: float | None = None,
    coordinates: Coordinates = "auto",
    name: str = "the trajectory",
) -> Trajectory:
    """Return the trajectory of ``frames``, unwrapped.

    Parameters
    ----------
    frame_interval_fs
        Time between frames (fs); None takes it from the frames.
    coordinates
        What positions are; ``auto`` asks the file, and where it does not say, takes the minimum image.
    name
        What messages call the trajectory.

    Raises
    ------
    TrajectoryReadError
        If there are fewer than two frames, atoms change, times are unequal, or positions cannot be unwrapped.
    """
    kept = list(frames)
    if len(kept) < 2:
        raise TrajectoryReadError(f"{name} holds {len(kept)} frames; two or more are needed")
    symbols = kept[0].symbols
    for index, frame in enumerate(kept):
        if frame.symbols != symbols:
            raise TrajectoryReadError(
                f"{name}: frame {index} has other atoms, or another order, than the first; only a fixed list of"
                " atoms can be followed"
            )
        if abs(np.linalg.det(frame.cell_A)) < _CELL_TOLERANCE_A:
            raise TrajectoryReadError(f"{name}: frame {index} has no cell with a volume; a conductor needs one")
    interval_fs, notes = _interval(kept, frame_interval_fs, name)
    if coordinates == "auto" and kept[0].unwrapped:
        coordinates = "unwrapped"
    positions, cells = np.stack([frame.positions_A for frame in kept]), np.stack([frame.cell_A for frame in kept])
    try:
        positions, largest = unwrap_with_largest_step(positions, cells, coordinates)
    except TrajectoryReadError as error:
        raise TrajectoryReadError(f"{name}: {error}") from error
    if largest > LARGEST_SURE_STEP:
        notes.append(
            f"{name} was unwrapped by the minimum image although an atom moves by {largest:.2f} of a cell vector"
            " between two frames; write frames more often to be sure"
        )
    return Trajectory(symbols, positions, cells.mean(axis=0), interval_fs, tuple(notes))


def _interval(frames: Sequence[RawFrame], given_fs: float | None, name: str) -> tuple[float, list[str]]:
    times = np.array([np.nan if frame.time_fs is None else frame.time_fs for frame in frames])
    if np.isnan(times).any():
        if given_fs is None:
            raise TrajectoryReadError(f"{name} does not say the time between its frames; give it (fs)")
        return given_fs, []
    steps = np.diff(times)
    found = float(steps[0])
    if found <= 0 or np.abs(steps - found).max() > _TIME_TOLERANCE * abs(found):
        raise TrajectoryReadError(
            f"{name}: its frames are not equally spaced in time ({steps.min():g} to {steps.max():g} fs apart)"
        )
    if given_fs is not None and abs(found - given_fs) > _TIME_TOLERANCE * found:
        raise TrajectoryReadError(
            f"{name} says that its frames are {found:g} fs apart, not {given_fs:g} fs: the time between frames is"
            " the time step times the number of steps between them"
        )
    return found, []


def read_trajectory(
    path: Path,
    frame_interval_fs: float | None = None,
    *,
    coordinates: Coordinates = "auto",
    lammps_types: Sequence[str] = (),
    every: int = 1,
) -> Trajectory:
    """Read a trajectory: ours or any other ASE ``.traj``, a LAMMPS text dump, extended XYZ or what else ASE reads.

    Parameters
    ----------
    frame_interval_fs
        Time between two frames of the file (fs); None where the file says it (our own do).
    coordinates
        What positions are; ``auto`` asks the file, and where it does not say, takes the minimum image.
    lammps_types
        Chemical symbols of LAMMPS types 1, 2, ...; not needed where the dump has a column ``element``.
    every
        Keep every n-th frame only.

    Raises
    ------
    TrajectoryReadError
        If the file cannot be read as a trajectory.
    """
    if every < 1:
        raise InputError(f"every must be 1 or more, not {every}")
    if not path.is_file():
        raise TrajectoryReadError(f"there is no file {path}")
    frames = _raw_frames(path, lammps_types)
    interval_fs = None if frame_interval_fs is None else frame_interval_fs * every
    chosen = (frame for index, frame in enumerate(frames) if index % every == 0)
    try:
        return from_frames(chosen, interval_fs, coordinates, name=str(path))
    except (UnknownFileTypeError, OSError, ValueError, KeyError, IndexError) as error:
        # What ASE's many readers raise where a file is not what its name says.
        raise TrajectoryReadError(
            f"{path} cannot be read as a trajectory: {str(error) or type(error).__name__}"
        ) from error


def _raw_frames(path: Path, lammps_types: Sequence[str]) -> Iterator[RawFrame]:
    with path.open("rb") as stream:
        start = stream.read(64)
    if start.startswith(b"ITEM:"):
        for frame in read_lammps_dump(path, lammps_types):
            # A dump counts steps, not time: it says nothing of the interval, only that it must be constant.
            yield RawFrame(frame.symbols, frame.positions_A, frame.cell_A, None, frame.unwrapped)
    elif start.startswith(b"- of Ulm"):
        with TrajectoryReader(path) as reader:
            for index in range(len(reader)):
                yield raw_frame(reader[index])
    else:
        for atoms in iread(path, index=":"):
            yield raw_frame(atoms)


def raw_frame(atoms: Atoms) -> RawFrame:
    """Return a frame of ``atoms``; those of our own dynamics know their time and are unwrapped."""
    own = {"time_fs", "heat_eV", "checksum"} <= atoms.info.keys()
    return RawFrame(
        symbols=tuple(atoms.get_chemical_symbols()),
        positions_A=np.array(atoms.positions),
        cell_A=np.array(atoms.cell.array),
        time_fs=float(atoms.info["time_fs"]) if own else None,
        unwrapped=own,
    )
