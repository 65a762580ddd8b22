"""Trajectories for analyses: read from files of every origin, unwrapped, in a fixed cell, at equal intervals.

What is known of a file is obeyed (units, time, steps, unwrapped coordinates), what is given beside it must agree, and
what is missing must be given. How frames are put in order is told in `.frame_sequence`, how positions are
unwrapped in `.unwrapping`.
"""

from __future__ import annotations

import difflib
import mmap
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ...sampling.trajectory import Frame
from .frame_sequence import FrameSequence, OrderedFrames
from .frame_spacing import TIME_TOLERANCE
from .frame_times import frame_time
from .frames import (
    BYTE_ORDER_MARK,
    DAMAGED,
    Lines,
    RawFrame,
    TornFrame,
    TrajectoryReadError,
    is_compressed,
    open_binary,
    place,
)
from .given_cells import GivenCells, cells_beside
from .lammps_dump import read_lammps_dump
from .unwrapping import LARGEST_SURE_STEP, Coordinates, unwrap
from .vasp_times import ASE_FORMATS, interval_beside, is_cut_short, step_of
from .xdatcar_frames import is_xdatcar, read_xdatcar
from .xyz_frames import read_xyz

FORMATS: dict[str, tuple[str, ...]] = {
    "lammps-dump": ("lammps-dump-text",),
    "xyz": ("extxyz",),
    "xdatcar": ("vasp-xdatcar",),
    "traj": (),
}
"""Formats that are read here, with what ASE calls them; all others are read by ASE under its names."""
# How much of a file is looked at to tell its format: XDATCAR names itself in the eighth line.
_START_BYTES = 4096
_PART_BYTES = 64
_ULM_TRAJECTORY = b"- of UlmASE-Trajectory"


# What stands at the beginning of files that people have, but neither we nor ASE read, and what to do with them.
_WRITE_TEXT = "write dump custom, or extended XYZ"
_CONVERT = "convert it to extended XYZ or a LAMMPS text dump (MDAnalysis, OVITO, VMD), or let the program write that"
_UNPACK = "unpack it, and give the file inside"
_NOT_READ_BY_WORDS = {
    b"creator: LAMMPS": ("a LAMMPS dump yaml", _WRITE_TEXT),
    b"DUMPATOM": ("a binary LAMMPS dump", _WRITE_TEXT),
    b"DUMPCUSTOM": ("a binary LAMMPS dump", _WRITE_TEXT),
    b"CORD": ("a DCD file", _CONVERT),
}
_WORDS_WITHIN_BYTES = 64
_NOT_READ = {
    b"\x00\x00\x07\xcb": ("an XTC file", _CONVERT),
    b"\x00\x00\x07\xc9": ("a TRR file", _CONVERT),
    b"CDF\x01": ("a netCDF file", _CONVERT),
    b"CDF\x02": ("a netCDF file", _CONVERT),
    b"CDF\x05": ("a netCDF file", _CONVERT),
    b"\x89HDF": ("an HDF5 file (netCDF 4, H5MD)", _CONVERT),
    b"\x65\xdf\x65\xdf": ("a GSD file", _CONVERT),
    b"PK\x03\x04": ("a zip archive (or arrays of numpy)", _UNPACK),
    b"\x93NUMPY": ("an array of numpy", "write extended XYZ"),
    b"7z\xbc\xaf": ("a 7z archive", _UNPACK),
    b"\x1f\x9d": ("compressed by compress", _UNPACK),
    b"\x04\x22\x4d\x18": ("compressed by lz4", _UNPACK),
    b"LAMMPS (": ("a log of LAMMPS", "give the dump that the run wrote"),
    b"LAMMPS data file": ("a data file of LAMMPS, one structure", "give the dump that the run wrote"),
}
# A tar archive names itself behind the first file's name, owner and time.
_TAR_AT = 257


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
    name
        What messages call the trajectory.
    counters
        Step, or time (fs), of each frame, shape [n_frames]; None where its file has neither.
    """

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray
    frame_interval_fs: float
    notes: tuple[str, ...] = ()
    name: str = ""
    counters: FloatArray | None = None

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
            present = sorted(set(self.symbols))
            meant = f" (did you mean {species.capitalize()}?)" if species.capitalize() in present else ""
            raise InputError(
                f"the trajectory has no {species or 'species without name'}{meant}; it has {', '.join(present)}"
            )
        return found

    def part(self, start: int = 0, stop: int | None = None) -> Trajectory:
        """Return the frames from ``start`` to before ``stop`` (a view, nothing is copied)."""
        counters = None if self.counters is None else self.counters[start:stop]
        return replace(self, positions_A=self.positions_A[start:stop], counters=counters)


def from_frames(
    frames: Iterable[RawFrame | TornFrame],
    frame_interval_fs: float | None = None,
    coordinates: Coordinates = "auto",
    name: str = "the trajectory",
    *,
    every: int = 1,
    cell_A: FloatArray | GivenCells | None = None,
    notes: list[str] | None = None,
    counts_timesteps: bool = False,
    hints: Mapping[str, str] | None = None,
) -> Trajectory:
    """Return the trajectory of ``frames``, in order and unwrapped.

    Parameters
    ----------
    frame_interval_fs
        Time between frames (fs); None takes it from the frames.
    coordinates
        What positions are; ``auto`` asks the file, and where it does not say, takes the minimum image.
    name
        What messages call the trajectory.
    every
        Keep every n-th frame only.
    cell_A
        The cell of frames that have none, shape [3, 3] (Å), or one for each.
    notes
        What the reader of the file has to say, also while frames are taken from it.
    counts_timesteps
        Whether the frames' steps are those of an integrator.
    hints
        Where else ``time`` and ``cell`` may be found, for the messages where nobody says them.

    Raises
    ------
    TrajectoryReadError
        If there are fewer than two frames, atoms change, times are unequal, or positions cannot be unwrapped.
    """
    said = [] if notes is None else notes
    cells = GivenCells(cell_A[None]) if isinstance(cell_A, np.ndarray) else cell_A
    sequence = FrameSequence(name, said, every, cells, counts_timesteps, hints or {})
    for frame in frames:
        sequence.add(frame)
    return _unwrapped(sequence.finish(frame_interval_fs), coordinates, name, said)


def _unwrapped(frames: OrderedFrames, coordinates: Coordinates, name: str, notes: list[str]) -> Trajectory:
    if coordinates == "auto" and frames.unwrapped:
        coordinates = "unwrapped"
    positions, cells = frames.positions_A, frames.cells_A
    try:
        largest, said = unwrap(positions, cells, coordinates, lambda index: place(*map(int, frames.places[index])))
    except TrajectoryReadError as error:
        raise TrajectoryReadError(f"{name}: {error}") from error
    notes += [f"{name}: {one}" for one in said]
    if largest > LARGEST_SURE_STEP:
        notes.append(
            f"{name} was unwrapped by the minimum image although an atom moves by {largest:.2f} of a cell vector"
            " between two frames; write frames more often to be sure"
        )
    return Trajectory(
        frames.symbols, positions, cells.mean(axis=0), frames.interval_fs, tuple(notes), name, frames.counters
    )


def read_trajectory(
    path: Path,
    frame_interval_fs: float | None = None,
    *,
    coordinates: Coordinates = "auto",
    lammps_types: Sequence[str] = (),
    every: int = 1,
    cell_A: FloatArray | GivenCells | None = None,
    file_format: str | None = None,
) -> Trajectory:
    """Read a trajectory: ours or any other ASE ``.traj``, LAMMPS dump, XYZ of any kind, XDATCAR, or others of ASE's.

    Files may be compressed by gzip, bzip2, xz or (where Python can) zstd.

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
    cell_A
        The cell of a file that has none, shape [3, 3] (Å), or one for each frame.
    file_format
        One of `FORMATS` or of ASE's; None asks the file.

    Raises
    ------
    TrajectoryReadError
        If the file cannot be read as a trajectory.
    """
    if every < 1:
        raise InputError(f"every must be 1 or more, not {every}")
    if frame_interval_fs is not None and not (np.isfinite(frame_interval_fs) and frame_interval_fs > 0):
        raise InputError(f"the time between frames must be above 0 fs, not {frame_interval_fs:g}")
    if path.is_dir():
        raise TrajectoryReadError(f"{path} is a folder, not a file")
    if not path.is_file():
        raise TrajectoryReadError(f"there is no file {path}")
    chosen = _format_of(path) if file_format is None else known_format(file_format)
    notes: list[str] = []
    if lammps_types and chosen not in {"lammps-dump", "xyz"}:
        notes.append(f"{path} names its elements; the symbols given for LAMMPS types are not used")
    hints = _hints(path, chosen, frame_interval_fs, notes)
    return from_frames(
        _frames(path, chosen, lammps_types, notes),
        frame_interval_fs,
        coordinates,
        name=str(path),
        every=every,
        cell_A=cell_A,
        notes=notes,
        counts_timesteps=chosen in {"lammps-dump", "xyz", "xdatcar"},
        hints=hints,
    )


def _hints(path: Path, chosen: str, given_fs: float | None, notes: list[str]) -> dict[str, str]:
    """Return where what a file does not say may be found; note where that contradicts what is given."""
    hints = {}
    beside = interval_beside(path) if chosen == "xdatcar" else None
    if beside is not None:
        interval_fs, words = beside
        hints["time"] = f": {words}, so --timestep-fs {interval_fs:g} if this is its run"
        if given_fs is not None and abs(given_fs - interval_fs) > TIME_TOLERANCE * interval_fs:
            notes.append(f"--timestep-fs is {given_fs:g}, but {words}, a frame every {interval_fs:g} fs")
    if (cells := cells_beside(path)) is not None:
        hints["cell"] = f"; beside it lies {cells}: --cell {cells}"
    return hints


def known_format(name: str) -> str:
    """Return the format of that name, ours or ASE's.

    Raises
    ------
    InputError
        If there is none.
    """

    from ase.io.formats import ioformats

    for ours, others in FORMATS.items():
        if name.lower() in {ours, *others}:
            return ours
    if name in ioformats:
        return name
    close = difflib.get_close_matches(name.lower(), [*FORMATS, *ioformats], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(f"there is no format {name!r}{hint}; known are {', '.join(FORMATS)}, and those of ASE")


def _format_of(path: Path) -> str:
    """Return the format by the beginning of the file; for what is none of ours, ``ase``."""
    start = b""
    with open_binary(path) as stream, suppress(*DAMAGED, OSError):
        # Little by little: what comes before the place where compressed data end early is still read.
        while len(start) < _START_BYTES and (part := stream.read(_PART_BYTES)):
            start += part
    start = start.removeprefix(BYTE_ORDER_MARK)
    if not start.strip() and not is_compressed(path):
        raise TrajectoryReadError(f"{path} is empty")
    if start[_TAR_AT:].startswith(b"ustar"):
        raise TrajectoryReadError(f"{path} is a tar archive, which is not read: {_UNPACK}")
    lines = start.split(b"\n")
    if start.lstrip().startswith(b"ITEM:"):
        return "lammps-dump"
    if start.startswith(b"- of Ulm"):
        return "traj"
    if is_xdatcar(lines):
        return "xdatcar"
    known = [what for mark, what in _NOT_READ.items() if start.startswith(mark)]
    known += [what for words, what in _NOT_READ_BY_WORDS.items() if words in start[:_WORDS_WITHIN_BYTES]]
    for kind, advice in known:
        raise TrajectoryReadError(f"{path} is {kind}, which is not read: {advice}")
    first = next((line.strip() for line in lines if line.strip()), b"")
    return "xyz" if first.isdigit() else "ase"


def _frames(
    path: Path, file_format: str, lammps_types: Sequence[str], notes: list[str]
) -> Iterator[RawFrame | TornFrame]:
    if file_format == "traj":
        with _plain(path) as plain:
            yield from _traj_frames(path, plain)
    elif file_format in FORMATS:
        with Lines(path) as lines:
            if file_format == "lammps-dump":
                yield from read_lammps_dump(lines, lammps_types, notes)
            elif file_format == "xyz":
                yield from read_xyz(lines, lammps_types, notes)
            else:
                yield from read_xdatcar(lines, notes)
    else:
        with _plain(path) as plain:
            yield from _ase_frames(path, plain, None if file_format == "ase" else file_format, notes)


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """Give a file that is not compressed, of the same name without the suffix of the compression."""
    if not is_compressed(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ionloop-") as folder:
        plain = Path(folder) / path.stem
        try:
            with open_binary(path) as packed, plain.open("wb") as target:
                shutil.copyfileobj(packed, target)
        except (*DAMAGED, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise TrajectoryReadError(f"{path} cannot be decompressed: {error.strerror}") from error
            raise TrajectoryReadError(f"{path} cannot be decompressed: its data end early or are damaged") from error
        yield plain


def _traj_frames(path: Path, plain: Path) -> Iterator[RawFrame | TornFrame]:
    from ase.io.trajectory import TrajectoryReader

    if _is_joined(plain):
        raise TrajectoryReadError(
            f"{path} is several ASE trajectories behind each other, of which only the first would be read: join them by"
            " ase convert one.traj two.traj whole.traj"
        )
    try:
        reader = TrajectoryReader(plain)
    except Exception as error:  # what a file that ends early makes of its own index
        raise TrajectoryReadError(f"{path} is no whole ASE trajectory: its beginning cannot be read") from error
    with reader:
        for index in range(len(reader)):
            try:
                frame = raw_frame(reader[index], index + 1)
            except Exception:  # the reader trusts its file and raises whatever comes
                yield TornFrame(index + 1, 0, "its data are damaged or end early")
            else:
                yield frame


def _is_joined(plain: Path) -> bool:
    """Return whether an ASE trajectory begins again within the file."""
    with plain.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_ULM_TRAJECTORY, len(_ULM_TRAJECTORY)) >= 0


def _ase_frames(path: Path, plain: Path, file_format: str | None, notes: list[str]) -> Iterator[RawFrame | TornFrame]:
    from ase.io import iread

    shown = "as a trajectory of any known kind (name it by --format)" if file_format is None else f"as {file_format}"
    number = 0
    known = _ase_format(plain, file_format)
    step_fs = step_of(plain, str(path)) if known in ASE_FORMATS else None
    if known == "vasp-xml" and is_cut_short(plain):
        notes.append(f"{path} ends before its end, as that of a run that was killed; its whole steps are used")
    try:
        for atoms in iread(plain, index=":", format=file_format):
            number += 1
            frame = raw_frame(atoms, number)
            yield frame if step_fs is None else frame._replace(time_fs=(number - 1) * step_fs)
    except Exception as error:  # ASE's many readers raise whatever comes
        if isinstance(error, InputError):
            raise
        if not number:
            raise TrajectoryReadError(f"{path} cannot be read {shown}") from error
        yield TornFrame(number + 1, 0, f"it cannot be read {shown}")


def _ase_format(plain: Path, file_format: str | None) -> str | None:
    from ase.io.formats import filetype

    if file_format is not None:
        return file_format
    try:
        found: str = filetype(plain)
    except Exception:  # what it cannot tell, the reader will say
        return None
    return found


def raw_frame(atoms: Atoms, number: int = 0) -> RawFrame:
    """Return a frame of ``atoms``; those of our own dynamics know their time and are unwrapped.

    Raises
    ------
    ValueError
        If it is one of ours and does not fit its checksum.
    """
    own = {"time_fs", "heat_eV", "checksum"} <= atoms.info.keys()
    if own:
        Frame.from_atoms(atoms)
    cell = np.array(atoms.cell.array)
    step, time_fs, unknown = frame_time(atoms.info)
    return RawFrame(
        symbols=tuple(atoms.get_chemical_symbols()),
        positions_A=np.array(atoms.positions),
        cell_A=cell if cell.any() else None,
        time_fs=time_fs,
        unwrapped=own,
        step=step,
        number=number,
        unit_unknown=unknown,
    )
