"""Polyanions of a trajectory: which ligands a centre holds, from when to when.

A bond is made below one distance and broken above a larger one; between, it is what it was. So a bond that trembles is
not broken again and again. A polyanion is whole while its centre holds the right number of ligands, none of which is
bound to a second centre. From frame to frame atoms keep their numbers, so that ligands are told apart as long as they
are held: what is followed is one *stretch* of time with the same centre and the same ligands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...core.arrays import BoolArray, FloatArray, IntArray
from ...core.errors import InputError
from ..trajectories.reading import Trajectory
from .settings import PolyanionSettings

_CHUNK = 64
"""Frames in which pairs are looked for at once: only those that can come near enough within them."""


@dataclass(frozen=True)
class Stretch:
    """One polyanion for as long as it is whole.

    Attributes
    ----------
    centre
        Index of the atom in the middle.
    ligands
        Indices of the atoms around it, [n_ligands].
    first, stop
        Its first frame, and the one after its last.
    """

    centre: int
    ligands: IntArray
    first: int
    stop: int

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.stop - self.first


@dataclass(frozen=True)
class Polyanions:
    """The polyanions of a trajectory.

    Attributes
    ----------
    stretches
        In order of centre and time.
    centres
        Indices of the atoms that are the centre of one at any time, [n_anions].
    n_centres
        Atoms that could be one: all of that element.
    n_frames
        Frames of the trajectory.
    """

    stretches: tuple[Stretch, ...]
    centres: IntArray
    n_centres: int
    n_frames: int

    @property
    def anion_frames(self) -> int:
        """Frames in which they are whole, summed over all."""
        return sum(len(one) for one in self.stretches)

    @property
    def whole_fraction(self) -> float:
        """Part of the time in which they are whole, of those that ever are."""
        return self.anion_frames / (len(self.centres) * self.n_frames) if len(self.centres) else 0.0

    @property
    def breaks(self) -> int:
        """How often one ceased to be whole."""
        return sum(one.stop < self.n_frames for one in self.stretches)


def find_polyanions(trajectory: Trajectory, settings: PolyanionSettings) -> Polyanions:
    """Return the polyanions of a trajectory.

    Raises
    ------
    InputError
        If it lacks one of the elements, or its cell is so small that an atom is as near to an image of another.
    """
    made_A, broken_A = settings.bond_A
    heights_A = 1.0 / np.linalg.norm(np.linalg.inv(trajectory.cell_A), axis=0)
    if heights_A.min() < 2 * broken_A:
        raise InputError(
            f"the cell is too small for the ligands of {settings.formula} to be told from their images: "
            f"{heights_A.min():.1f} Å between opposite faces (at least {2 * broken_A:.1f})"
        )
    centres, ligands = trajectory.indices_of(settings.centre), trajectory.indices_of(settings.ligand)
    pairs = _pairs(trajectory, centres, ligands, broken_A)
    if not len(pairs):
        return Polyanions((), np.zeros(0, dtype=np.int64), len(centres), trajectory.n_frames)
    bonded = _bonded(trajectory, pairs, made_A, broken_A, settings.broken_fs / trajectory.frame_interval_fs)
    stretches = tuple(_stretches(pairs, bonded, settings))
    found = np.array(sorted({one.centre for one in stretches}), dtype=np.int64)
    return Polyanions(stretches, found, len(centres), trajectory.n_frames)


def bond_directions(trajectory: Trajectory, stretch: Stretch) -> FloatArray:
    """Return the unit vectors from the centre to the ligands, [n_frames, n_ligands, 3]."""
    frames = slice(stretch.first, stretch.stop)
    positions = trajectory.positions_A[frames]
    bonds = positions[:, stretch.ligands] - positions[:, stretch.centre, None]
    bonds = nearest_images(bonds, trajectory.cell_A)
    return np.asarray(bonds / np.linalg.norm(bonds, axis=2, keepdims=True))


def nearest_images(vectors_A: FloatArray, cell_A: FloatArray) -> FloatArray:
    """Return vectors by the nearest image: right where they are shorter than half of the cell's heights."""
    images = np.rint(vectors_A @ np.linalg.inv(cell_A))
    return np.asarray(vectors_A - images @ cell_A)


def _pairs(trajectory: Trajectory, centres: IntArray, ligands: IntArray, within_A: float) -> IntArray:
    """Return the pairs of atoms that are nearer than a distance in any frame, sorted by centre, [n_pairs, 2]."""
    near = np.zeros((len(centres), len(ligands)), dtype=bool)
    for start in range(0, trajectory.n_frames, _CHUNK):
        frames = trajectory.positions_A[start : start + _CHUNK]
        reach_A = within_A + _farthest(frames[:, centres]) + _farthest(frames[:, ligands])
        apart = nearest_images(frames[0, ligands][None] - frames[0, centres][:, None], trajectory.cell_A)
        first, second = np.nonzero((np.einsum("clx,clx->cl", apart, apart) < reach_A**2) & ~near)
        bonds = nearest_images(frames[:, ligands[second]] - frames[:, centres[first]], trajectory.cell_A)
        squares = np.einsum("fpx,fpx->fp", bonds, bonds).min(axis=0)
        near[first, second] = squares < within_A**2
    first, second = np.nonzero(near)
    return np.column_stack([centres[first], ligands[second]])


def _farthest(positions_A: FloatArray) -> float:
    """Return how far an atom goes from where it is in the first of the frames (Å)."""
    moved = positions_A - positions_A[:1]
    return float(np.sqrt(np.einsum("fax,fax->fa", moved, moved).max()))


def _bonded(trajectory: Trajectory, pairs: IntArray, made_A: float, broken_A: float, fewest_frames: float) -> BoolArray:
    """Return which pairs are bonded in which frame, [n_frames, n_pairs]."""
    n_frames = trajectory.n_frames
    made = np.empty((n_frames, len(pairs)), dtype=bool)
    broken = np.empty_like(made)
    for start in range(0, n_frames, _CHUNK):
        frames = trajectory.positions_A[start : start + _CHUNK]
        bonds = nearest_images(frames[:, pairs[:, 1]] - frames[:, pairs[:, 0]], trajectory.cell_A)
        squares = np.einsum("fpx,fpx->fp", bonds, bonds)
        made[start : start + _CHUNK], broken[start : start + _CHUNK] = squares < made_A**2, squares > broken_A**2
        if start == 0:
            # Nobody knows what it was before: the first frame is decided halfway.
            made[0] = squares[0] < (0.5 * (made_A + broken_A)) ** 2
            broken[0] = ~made[0]
    decided = np.where(made | broken, np.arange(n_frames)[:, None], 0)
    last = np.maximum.accumulate(decided, axis=0)
    bonded = np.take_along_axis(made, last, axis=0)
    if fewest_frames > 1:
        for pair in np.flatnonzero(~bonded.all(axis=0)):
            _close_short_gaps(bonded[:, pair], fewest_frames)
    return bonded


def _close_short_gaps(bonded: BoolArray, fewest_frames: float) -> None:
    """Let a bond, [n_frames], be there where it is broken for fewer frames between two of its times."""
    changes = np.flatnonzero(np.diff(bonded)) + 1
    for start, stop in pairwise(changes.tolist()):
        if not bonded[start] and stop - start < fewest_frames:
            bonded[start:stop] = True


def _stretches(pairs: IntArray, bonded: BoolArray, settings: PolyanionSettings) -> Iterator[Stretch]:
    """Yield the stretches in which a centre holds the right ligands and no bond of it changes."""
    if settings.alone:
        _, place = np.unique(pairs[:, 1], return_inverse=True)
        held = np.zeros((len(bonded), place.max() + 1), dtype=np.int16)
        for pair, ligand in enumerate(place):
            held[:, ligand] += bonded[:, pair]
        shared = held > 1
    for centre in np.unique(pairs[:, 0]):
        own = np.flatnonzero(pairs[:, 0] == centre)
        bonds = bonded[:, own]
        whole = bonds.sum(axis=1) == settings.ligands
        if settings.alone:
            whole &= ~(bonds & shared[:, place[own]]).any(axis=1)
        if not whole.any():
            continue
        changed = (np.diff(bonds, axis=0)).any(axis=1) | np.diff(whole)
        edges = np.concatenate([[0], np.flatnonzero(changed) + 1, [len(bonds)]])
        for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if whole[first]:
                yield Stretch(int(centre), pairs[own[bonds[first]], 1], first, stop)
