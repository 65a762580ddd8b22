"""What frames are counted into: pairs by distance and products of density modes, in blocks of consecutive frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from .frames import StructureFrames
from .settings import StructureSettings

LEAST_R_MAX_A, LARGEST_R_MAX_A = 8.0, 15.0
"""How far g(r) goes where nobody says, at least and at most: first shells end before the one, and beyond the other
glasses and liquids have nearly no structure."""
_MOST_BLOCKS: Final = 20


@dataclass(frozen=True)
class Grid:
    """Bins of distances and shells of wave vectors.

    Attributes
    ----------
    r_max_A, bins
        Distances go from 0 to ``r_max_A`` in so many bins.
    transformed_bins
        Bins whose transform S(q) is: up to half of the shortest distance of opposite faces of the cell.
    direct_q_max_per_A, shells
        Wave vectors of the direct sum go from 0 to there in so many shells.
    """

    r_max_A: float
    bins: int
    transformed_bins: int
    direct_q_max_per_A: float
    shells: int

    @property
    def edges_A(self) -> FloatArray:
        """Edges of the bins, shape [bins + 1] (Å)."""
        return np.linspace(0.0, self.r_max_A, self.bins + 1)

    @property
    def r_A(self) -> FloatArray:
        """Middles of the bins, shape [bins] (Å)."""
        return np.asarray((self.edges_A[1:] + self.edges_A[:-1]) / 2.0)

    @property
    def shell_volumes_A3(self) -> FloatArray:
        """Volumes of the spherical shells that bins are, shape [bins] (Å³)."""
        return np.asarray(4.0 / 3.0 * np.pi * np.diff(self.edges_A**3))


@dataclass(frozen=True)
class BlockSums:
    """Sums over the frames of a block.

    Attributes
    ----------
    run
        Number of the trajectory that it is of.
    frames
        How many.
    volume_A3
        Their mean volume.
    pairs
        Ordered pairs at each distance, shape [n_species, n_species, bins].
    vectors, lengths_per_A, products
        As in `density_modes.ShellSums`.
    """

    run: int
    frames: int
    volume_A3: float
    pairs: FloatArray
    vectors: IntArray
    lengths_per_A: FloatArray
    products: FloatArray

    def __add__(self, other: BlockSums) -> BlockSums:
        frames = self.frames + other.frames
        return BlockSums(
            self.run,
            frames,
            (self.frames * self.volume_A3 + other.frames * other.volume_A3) / frames,
            self.pairs + other.pairs,
            self.vectors + other.vectors,
            self.lengths_per_A + other.lengths_per_A,
            self.products + other.products,
        )


def grid_of(half_width_A: float, settings: StructureSettings) -> Grid:
    """Return bins and shells for a cell of that half width."""
    r_max = settings.r_max_A or float(np.clip(half_width_A, LEAST_R_MAX_A, LARGEST_R_MAX_A))
    bins = max(1, int(r_max / settings.r_step_A + 1e-9))
    within = max(1, int(half_width_A / settings.r_step_A + 1e-9))
    # Shells beyond the largest wave vector that is asked for are not summed.
    shells = int(min(settings.direct_q_max_per_A, settings.q_max_per_A) / settings.q_step_per_A + 1e-9)
    return Grid(bins * settings.r_step_A, bins, min(bins, within), shells * settings.q_step_per_A, shells)


def block_sums(runs: Sequence[StructureFrames], grid: Grid) -> list[BlockSums]:
    """Return the sums over blocks of consecutive frames, some twenty of all trajectories together.

    Raises
    ------
    InputError
        If runs hold different atoms.
    """
    blocks_of_run = max(1, _MOST_BLOCKS // len(runs))
    found: list[BlockSums] = []
    for number, run in enumerate(runs):
        if run.symbols != runs[0].symbols:
            raise InputError(f"{run.name} holds other atoms, or in another order, than {runs[0].name}")
        for block in np.array_split(np.arange(run.n_frames), min(blocks_of_run, run.n_frames)):
            found.append(_sum(_one_by_one(run, block, number, grid)))
    return found


def _sum(parts: Iterable[BlockSums]) -> BlockSums:
    total: BlockSums | None = None
    for part in parts:
        total = part if total is None else total + part
    assert total is not None
    return total


def total_of(blocks: Sequence[BlockSums]) -> BlockSums:
    """Return the sum of all blocks."""
    return _sum(blocks)


def _one_by_one(run: StructureFrames, frames: IntArray, number: int, grid: Grid) -> Iterable[BlockSums]:
    from .density_modes import shell_sums
    from .pair_counts import pair_counts

    species, n_species = run.species_of_atoms, len(run.species)
    for frame in frames:
        positions, cell = run.positions_A[frame], run.cell_A(int(frame))
        if not np.isfinite(positions).all():
            raise InputError(f"{run.name}: frame {frame + 1} has a position that is no finite number")
        pairs = pair_counts(positions, cell, species, n_species, grid.r_max_A, grid.bins)
        modes = shell_sums(positions, cell, species, n_species, grid.direct_q_max_per_A, grid.shells)
        yield BlockSums(
            number,
            1,
            float(abs(np.linalg.det(cell))),
            pairs.astype(float),
            modes.vectors,
            modes.lengths_per_A,
            modes.products,
        )
