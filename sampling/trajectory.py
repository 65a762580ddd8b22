"""Trajectories on disk: ASE's ``.traj`` format, appended frame by frame, each frame sealed by a checksum.

A kill leaves a file that every ASE tool reads up to the last whole frame: the format's count of frames is the
last thing that an append writes. A power cut or a full disk may also leave a frame whose bytes never arrived;
the checksum finds it, and `TrajectoryFile` then keeps what comes before.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from ase import Atoms

from ..core.errors import Busy, IonloopError
from ..core.files import flush, replacement, write_whole

if TYPE_CHECKING:
    from ase.io.trajectory import TrajectoryWriter


__all__ = [
    "Frame",
    "TrajectoryBusy",
    "TrajectoryError",
    "TrajectoryFile",
    "each_frame",
    "exclusive",
    "read_frames",
    "write_record",
]

# A kill of the process loses nothing that was written; only a power cut can take what was not yet synced.
SECONDS_BETWEEN_SYNCS = 5.0
# What a damaged file makes ASE's reader raise: short reads, wrong magic, broken JSON, senseless shapes.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    AttributeError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
)


class TrajectoryError(IonloopError):
    """The trajectory cannot be written or read."""


class TrajectoryBusy(TrajectoryError, Busy):
    """Another process is writing the trajectory."""


class Frame(NamedTuple):
    """One frame: unwrapped positions (Å), momenta (ASE units) and cell in ``atoms``; forces [n_atoms, 3] (eV/Å).

    ``stress`` (eV/Å³, ASE's sign and order [6], without the kinetic part) is None where it was not computed.
    """

    atoms: Atoms
    energy_eV: float
    forces: np.ndarray
    step: int
    time_fs: float
    heat_eV: float
    stress: np.ndarray | None = None

    def checksum(self) -> int:
        """Return the CRC-32 of everything that a restart needs."""
        arrays = [self.atoms.positions, self.atoms.get_momenta(), self.forces, self.atoms.cell[:]]
        if self.stress is not None:
            arrays.append(self.stress)
        checksum = zlib.crc32(json.dumps([self.energy_eV, self.step, self.time_fs, self.heat_eV]).encode())
        for array in arrays:
            checksum = zlib.crc32(np.ascontiguousarray(array, dtype=np.float64).tobytes(), checksum)
        return checksum

    def write_to(self, writer: TrajectoryWriter) -> None:
        """Append the atoms with their results; step, time, heat and checksum are in ``info``."""
        atoms = self.atoms.copy()
        atoms.info = {
            "step": self.step,
            "time_fs": self.time_fs,
            "heat_eV": self.heat_eV,
            "checksum": self.checksum(),
        }
        stress = {} if self.stress is None else {"stress": self.stress}
        writer.write(atoms, energy=self.energy_eV, forces=self.forces, **stress)

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> Frame:
        """Return the frame that `write_to` wrote.

        Raises
        ------
        ValueError
            If the checksum does not fit: the frame did not reach the disk as it was written.
        """
        frame = cls(
            atoms=atoms,
            energy_eV=atoms.calc.results["energy"],
            forces=atoms.calc.results["forces"],
            step=atoms.info["step"],
            time_fs=atoms.info["time_fs"],
            heat_eV=atoms.info["heat_eV"],
            stress=atoms.calc.results.get("stress"),
        )
        if frame.checksum() != atoms.info["checksum"]:
            raise ValueError(f"frame at step {frame.step} does not fit its checksum")
        return frame


def _whole_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of ``path`` from the first on, until the file ends or a frame is damaged."""

    from ase.io.trajectory import TrajectoryReader

    try:
        with TrajectoryReader(path) as reader:
            for index in range(len(reader)):
                yield Frame.from_atoms(reader[index])
    except _UNREADABLE as error:
        _pass_on_disk_errors(error)


def _stored_count(path: Path) -> int:
    """Return how many frames the file says it holds; -1 where not even that can be read."""

    from ase.io.trajectory import TrajectoryReader

    try:
        with TrajectoryReader(path) as reader:
            return len(reader)
    except _UNREADABLE as error:
        _pass_on_disk_errors(error)
        return -1


def _pass_on_disk_errors(error: Exception) -> None:
    """Raise what the operating system reports: a disk that cannot be read now says nothing of the file."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _writer(path: Path, mode: str) -> TrajectoryWriter:
    from ase.io.trajectory import TrajectoryWriter

    # Told of no property, ASE writes those it is handed and does not compare atoms to look for others.
    return TrajectoryWriter(str(path), mode=mode, properties=[])


class TrajectoryFile:
    """An append-only trajectory; opening it repairs what a kill, a power cut or a full disk left.

    Parameters
    ----------
    path
        The ``.traj`` file; made, empty, if it is not there.

    Raises
    ------
    TrajectoryError
        If the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first: Frame | None = None
        self.last: Frame | None = None
        self.kinetic_energies_eV: list[float] = []
        with _explained(path):
            self._repair()
            self._writer = _writer(path, "a")
        self._synced_at = time.monotonic()

    def _repair(self) -> None:
        if not self.path.exists():
            return
        for frame in _whole_frames(self.path):
            self._take_in(frame)
        if len(self.kinetic_energies_eV) == _stored_count(self.path):
            return
        with replacement(self.path, alone=True) as temporary, _writer(temporary, "w") as writer:
            for frame in _whole_frames(self.path):
                frame.write_to(writer)

    def append(self, frame: Frame) -> None:
        """Write one frame; after this call no kill of the process can take it back.

        Raises
        ------
        TrajectoryError
            If the disk is full or the file cannot be written; the frames before are kept.
        """
        with _explained(self.path):
            frame.write_to(self._writer)
            if time.monotonic() - self._synced_at > SECONDS_BETWEEN_SYNCS:
                os.fsync(self._file().fileno())
                self._synced_at = time.monotonic()
        self._take_in(frame)

    def _take_in(self, frame: Frame) -> None:
        self.first = self.first or frame
        self.last = frame
        self.kinetic_energies_eV.append(float(frame.atoms.get_kinetic_energy()))

    def _file(self) -> io.BufferedRandom:
        file: io.BufferedRandom = self._writer.backend.fd
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is None:
            with _explained(self.path):
                self._writer.close()
                flush(self.path)
        else:
            # The writer's own close would seal a frame that is only half there.
            with suppress(OSError):
                self._file().close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrajectoryError(
            f"the trajectory {path} cannot be written: {error.strerror or error}. The frames before are kept;"
            " free some space or choose another folder, then start again"
        ) from error


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock beside ``path``, so that two processes never write one trajectory.

    Raises
    ------
    TrajectoryBusy
        If another process holds it.
    TrajectoryError
        If the folder cannot be written.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrajectoryBusy(f"another process is writing the trajectory {path}") from None
        except OSError:
            # Some network file systems know no locks; the store hands each job to one process anyway.
            pass
        yield


def write_record(path: Path, document: dict[str, Any]) -> None:
    """Replace what is written beside a trajectory, whose lock the caller holds.

    Raises
    ------
    TrajectoryError
        If the file cannot be written.
    """
    with _explained(path):
        write_whole(path, json.dumps(document, indent=2, sort_keys=True) + "\n", alone=True)


def read_frames(path: Path, start: int = 0, stride: int = 1) -> list[Atoms]:
    """Return every ``stride``-th whole frame from index ``start`` on, results attached.

    Positions are unwrapped (Å) and exact; ``info`` carries ``step``, ``time_fs`` and ``heat_eV``. A torn or
    damaged end is left out. A trajectory that is still being written can be read.

    Raises
    ------
    TrajectoryError
        If there is no such file.
    ValueError
        If ``start`` is negative or ``stride`` not positive.
    """
    if start < 0 or stride < 1:
        raise ValueError(f"start must be 0 or more and stride 1 or more, not {start} and {stride}")
    if not path.exists():
        raise TrajectoryError(f"there is no trajectory {path}")
    return [
        frame.atoms
        for index, frame in enumerate(_whole_frames(path))
        if index >= start and (index - start) % stride == 0
    ]


def each_frame(path: Path) -> Iterator[Atoms]:
    """Yield the whole frames one by one, as `read_frames` returns them: of a long trajectory of many atoms.

    Raises
    ------
    TrajectoryError
        If there is no such file.
    """
    if not path.exists():
        raise TrajectoryError(f"there is no trajectory {path}")
    for frame in _whole_frames(path):
        yield frame.atoms
