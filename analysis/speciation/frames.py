"""Frames whose species are looked at: of a trajectory, or structures that have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...core.arrays import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from ..trajectories.reading import Trajectory


class NetworkFrame(NamedTuple):
    """A structure: symbols, positions [n_atoms, 3] (Å), cell [3, 3] (Å), and which directions are periodic."""

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray
    pbc: tuple[bool, ...]


@dataclass(frozen=True)
class NetworkRun:
    """Frames in the order of time, or structures without times.

    Attributes
    ----------
    structures
        What there is, one after the other.
    interval_fs
        Time from one to the next (fs); None where they are structures of their own, which remember no bond.
    name
        What messages call them.
    """

    structures: Sequence[Atoms] | Trajectory
    interval_fs: float | None
    name: str

    @classmethod
    def of_trajectory(cls, trajectory: Trajectory) -> NetworkRun:
        """Return the frames of a trajectory."""
        return cls(trajectory, trajectory.frame_interval_fs, trajectory.name or "the trajectory")

    @classmethod
    def of_structures(cls, structures: Sequence[Atoms], name: str) -> NetworkRun:
        """Return structures that need not have the same atoms."""
        return cls(tuple(structures), None, name)

    def __len__(self) -> int:
        found = self.structures
        return len(found) if isinstance(found, Sequence) else len(found.positions_A)

    @property
    def length_ps(self) -> float:
        """Time from the first frame to the last (ps)."""
        return 0.0 if self.interval_fs is None else (len(self) - 1) * self.interval_fs / 1000.0

    def frames(self, stride: int = 1) -> Iterator[NetworkFrame]:
        """Yield every ``stride``-th frame."""
        found = self.structures
        if isinstance(found, Sequence):
            for atoms in found[::stride]:
                symbols = tuple(atoms.get_chemical_symbols())
                yield NetworkFrame(symbols, atoms.positions, atoms.cell.array, tuple(atoms.pbc.tolist()))
            return
        for positions_A in found.positions_A[::stride]:
            yield NetworkFrame(found.symbols, np.asarray(positions_A), found.cell_A, (True, True, True))
