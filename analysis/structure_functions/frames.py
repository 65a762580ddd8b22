"""Frames whose structure is looked at: the same atoms in each, in cells that may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.units import kg

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from ..trajectories.reading import Trajectory

G_PER_CM3 = 1e3 / kg * 1e24
"""One atomic mass unit per Å³ in g/cm³."""


@dataclass(frozen=True)
class StructureFrames:
    """Positions in periodic cells, in the order of time.

    Attributes
    ----------
    symbols
        Chemical symbols, length n_atoms.
    positions_A
        Shape [n_frames, n_atoms, 3] (Å), in the cell or outside of it.
    cells_A
        Cell vectors as rows, shape [n_frames, 3, 3], or [1, 3, 3] where all frames have the same (Å).
    name
        What messages call them.
    """

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cells_A: FloatArray
    name: str = "the structure"

    def __post_init__(self) -> None:
        n_frames, n_atoms, _ = self.positions_A.shape
        if not n_frames or not n_atoms:
            raise InputError(f"{self.name} has no frame with atoms")
        if n_atoms != len(self.symbols) or len(self.cells_A) not in (1, n_frames):
            raise ValueError(
                f"{n_frames} frames of {n_atoms} atoms: {len(self.symbols)} symbols, {len(self.cells_A)} cells"
            )
        if (self.volumes_A3 < 1e-3).any():
            raise InputError(f"{self.name} has a frame without a cell that has a volume: densities need one")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.positions_A)

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols that occur, in the order of the alphabet."""
        return tuple(sorted(set(self.symbols)))

    @property
    def species_of_atoms(self) -> IntArray:
        """Place of each atom's symbol among `species`, shape [n_atoms]."""
        return np.asarray(np.unique(np.array(self.symbols), return_inverse=True)[1], dtype=np.int64)

    @property
    def counts(self) -> IntArray:
        """Number of atoms of each species."""
        return np.bincount(self.species_of_atoms, minlength=len(self.species))

    @property
    def volumes_A3(self) -> FloatArray:
        """Volume of each cell (Å³)."""
        return np.abs(np.linalg.det(self.cells_A))

    @property
    def density_per_A3(self) -> float:
        """Atoms per volume (1/Å³)."""
        return float(len(self.symbols) / self.volumes_A3.mean())

    @property
    def density_g_per_cm3(self) -> float:
        """Mass per volume, of natural isotopes (g/cm³)."""
        mass = sum(float(atomic_masses[atomic_numbers[symbol]]) for symbol in self.symbols)
        return mass / float(self.volumes_A3.mean()) * G_PER_CM3

    @property
    def half_width_A(self) -> float:
        """Half of the shortest distance of opposite faces of any of the cells (Å)."""
        return float(min(widths_A(cell).min() for cell in self.cells_A)) / 2.0

    def cell_A(self, frame: int) -> FloatArray:
        """Return the cell of a frame, shape [3, 3] (Å)."""
        return np.asarray(self.cells_A[frame if len(self.cells_A) > 1 else 0])

    def thinned(self, most: int) -> StructureFrames:
        """Return ``most`` frames at most, evenly spaced, without holding on to the others."""
        if self.n_frames <= most:
            return self
        kept = np.linspace(0, self.n_frames - 1, most).round().astype(np.int64)
        cells = self.cells_A[kept] if len(self.cells_A) > 1 else self.cells_A
        return replace(self, positions_A=self.positions_A[kept], cells_A=cells)


def widths_A(cell_A: FloatArray) -> FloatArray:
    """Return the distances of opposite faces of a cell, shape [3] (Å)."""
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cell_A), axis=0))


def of_trajectory(trajectory: Trajectory) -> StructureFrames:
    """Return the frames of a trajectory; a cell that fluctuated is its mean."""
    return StructureFrames(
        trajectory.symbols, trajectory.positions_A, trajectory.cell_A[None], trajectory.name or "the trajectory"
    )


def of_structures(structures: Sequence[Atoms], name: str = "the structure") -> StructureFrames:
    """Return structures as frames.

    Raises
    ------
    InputError
        If they differ in their atoms or have no cell.
    """
    if not structures:
        raise InputError(f"{name} has no frame")
    symbols = tuple(structures[0].symbols)
    for number, one in enumerate(structures, start=1):
        if tuple(one.symbols) != symbols:
            raise InputError(
                f"{name}: frame {number} has other atoms, or another order, than the first; split the file"
            )
    cells = np.array([one.cell.array for one in structures])
    if (cells == cells[0]).all():
        cells = cells[:1]
    return StructureFrames(symbols, np.array([one.positions for one in structures]), cells, name)
