"""What positions tell of a file that its counters do not: frames that stand still, jumps, and atoms that change places.

Files without identifiers are read as they are, so that the same line must be the same atom in every frame. LAMMPS
writes ``dump xyz`` in whatever order its processors hold the atoms unless it is told to sort them; then atoms exchange
their lines from frame to frame, and what seems to move is the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...core.arrays import BoolArray, FloatArray, IntArray
from .frame_spacing import FrameRecord
from .frames import TrajectoryReadError, listed

SEAM = 3.0
"""A run goes on where atoms move no farther than this many times their usual step."""
_JUMP = 5.0
# Part of the frames that may be dropped because they are the same as those before.
_MOST_STANDING = 0.01
_LARGEST_STRAIN = 0.05
# Pairs of frames that are looked at, and of those the ones with the largest steps in which places are compared.
_PAIRS_LOOKED_AT = 200
_PAIRS_COMPARED = 4
# Atoms that come as near as this to where another one was, but moved farther than that themselves (Å).
_SAME_PLACE_A = 1.0
_OTHER_PLACE_A = 1.5
_MOST_ATOMS_COMPARED = 2000
# So many atoms have no room in a cube of 1 Å.
_FEWEST_IN_A_CUBE = 4
_SMALLEST_CELL_A = 2.0


class _Exchange(NamedTuple):
    pair: int
    atoms: IntArray


def say_jumps(steps_A: FloatArray, records: Sequence[FrameRecord], name: str, notes: list[str]) -> None:
    """Say where atoms move much farther than usual from one frame to the next, [n_frames - 1] (Å)."""
    usual = float(np.median(steps_A))
    jumps = np.flatnonzero((steps_A > _JUMP * usual) & (steps_A > SEAM * np.quantile(steps_A, 0.95))) + 1
    if usual > 0 and len(jumps):
        where = listed([records[index].place for index in jumps.tolist()])
        notes.append(
            f"{name}: atoms jump farther than usual (by {steps_A.max():.1f} Å instead of {usual:.2f} Å) before"
            f" {where}: frames may be missing there, or another run begins"
        )


def moving(steps_A: FloatArray, records: Sequence[FrameRecord], name: str, notes: list[str]) -> BoolArray | None:
    """Return which frames are not the same as those before, of a file without counter; None where all are to stay."""
    same = np.flatnonzero(steps_A == 0) + 1
    if not len(same) or len(same) > max(1, _MOST_STANDING * len(records)):
        return None
    where = listed([records[index].place for index in same.tolist()])
    notes.append(f"{name}: frames that are the same as those before are dropped: {where}")
    mask = np.ones(len(records), dtype=bool)
    mask[same] = False
    return mask


def check_scale(positions_A: FloatArray, cells_A: FloatArray, name: str) -> None:
    """Refuse positions that all lie between 0 and 1 Å of a larger cell: they are scaled, and called Å.

    Raises
    ------
    TrajectoryReadError
        If they do.
    """
    some = positions_A[[0, len(positions_A) // 2, -1]]
    smallest = float(np.linalg.norm(cells_A[0], axis=1).min())
    if some.shape[1] >= _FEWEST_IN_A_CUBE and some.min() >= 0 and some.max() <= 1 and smallest > _SMALLEST_CELL_A:
        raise TrajectoryReadError(
            f"{name}: all positions lie between 0 and 1 Å of a cell of {smallest:.1f} Å and more: they are scaled (xs"
            " ys zs of a LAMMPS dump), not in Å as the file says"
        )


def say_strain(cells_A: FloatArray, name: str, notes: list[str]) -> None:
    """Say where the cell, [n_frames, 3, 3] or [1, 3, 3] (Å), deviates much from its mean."""
    if len(cells_A) == 1:
        return
    strain = float(np.abs(cells_A @ np.linalg.inv(cells_A.mean(axis=0)) - np.eye(3)).max())
    if strain > _LARGEST_STRAIN:
        notes.append(
            f"{name}: the cell deviates by up to {100 * strain:.0f} % from its mean, in which displacements"
            " are measured: it is not equilibrated, or deformed"
        )


def check_order(
    positions_A: FloatArray,
    cells_A: FloatArray,
    symbols: Sequence[str],
    records: Sequence[FrameRecord],
    name: str,
    notes: list[str],
) -> None:
    """Refuse a file without identifiers in which atoms exchange their lines; say so where only a few seem to.

    Several atoms, of several species where there are, that all lie where another one of their species was: that is
    no motion. Atoms of one species only may have exchanged their places.

    Raises
    ------
    TrajectoryReadError
        If atoms exchange their lines.
    """
    if len(symbols) > _MOST_ATOMS_COMPARED:
        return
    found = [
        one
        for pair in _largest_steps(positions_A, cells_A)
        if len((one := _exchanged(positions_A, cells_A, symbols, pair)).atoms)
    ]
    if not found:
        return
    most = max(found, key=lambda one: len(one.atoms))
    several = len(set(symbols)) == 1 or len({symbols[atom] for atom in most.atoms}) > 1
    where = f"{records[most.pair].place} and {records[most.pair + 1].place}"
    if several and len(most.atoms) > 2:
        raise TrajectoryReadError(
            f"{name}: between {where} {len(most.atoms)} atoms exchange their lines (atom"
            f" {int(most.atoms[0]) + 1} and others lie where others of their species were): the file is not sorted."
            " Write it sorted (LAMMPS: dump_modify sort id), or with identifiers"
        )
    of = sorted({symbols[atom] for atom in most.atoms})
    notes.append(
        f"{name}: between {where} {len(most.atoms)} {', '.join(of)} exchange their places: either they do, or lines of"
        " the file are in another order"
    )


def _largest_steps(positions_A: FloatArray, cells_A: FloatArray) -> list[int]:
    """Return the indices of frames after which atoms move farthest, of a sample of them."""
    sampled = np.unique(np.linspace(0, len(positions_A) - 2, _PAIRS_LOOKED_AT).astype(int))
    sizes = np.array([np.linalg.norm(_step(positions_A, cells_A, pair), axis=1).max() for pair in sampled])
    largest = sampled[np.argsort(-sizes)][:_PAIRS_COMPARED]
    return [int(pair) for pair, size in zip(largest, -np.sort(-sizes), strict=False) if size > _OTHER_PLACE_A]


def _step(positions_A: FloatArray, cells_A: FloatArray, pair: int) -> FloatArray:
    return _nearest(positions_A[pair + 1] - positions_A[pair], cells_A[0 if len(cells_A) == 1 else pair])


def _nearest(vectors_A: FloatArray, cell_A: FloatArray) -> FloatArray:
    scaled = vectors_A @ np.linalg.inv(cell_A)
    return np.asarray((scaled - np.rint(scaled)) @ cell_A)


def _exchanged(positions_A: FloatArray, cells_A: FloatArray, symbols: Sequence[str], pair: int) -> _Exchange:
    """Return the atoms that lie where another of their species was a frame before."""

    from scipy.optimize import linear_sum_assignment

    before, after = positions_A[pair], positions_A[pair + 1]
    cell = cells_A[0 if len(cells_A) == 1 else pair]
    moved = np.linalg.norm(_step(positions_A, cells_A, pair), axis=1)
    far = moved > _OTHER_PLACE_A
    species = np.array(symbols)
    exchanged: list[int] = []
    for one in dict.fromkeys(species[far].tolist()):
        atoms = np.flatnonzero(far & (species == one))
        if len(atoms) < 2:
            continue
        apart = np.linalg.norm(_nearest(after[atoms][:, None] - before[atoms][None], cell), axis=2)
        rows, columns = linear_sum_assignment(apart**2)
        exchanged += atoms[rows[apart[rows, columns] < _SAME_PLACE_A]].tolist()
    return _Exchange(pair, np.array(sorted(exchanged), dtype=np.int64))
