"""Positions without periodic images, in one fixed cell.

What is not known to be unwrapped is unwrapped by the minimum image: a step of more than half a cell along any cell
vector is taken for a crossing of the boundary. That is right as long as no atom really moves so far between two
frames, which is checked: steps near half a cell are refused.

Where the cell fluctuates, scaled coordinates are unwrapped and multiplied by the mean cell. Breathing of the cell
then moves no atom, and diffusion keeps its size (the toroidal scheme's reason, von Bülow, Bullerjahn, Hummer,
J. Chem. Phys. 2020, 153, 021101, 10.1063/5.0008316: what must be summed are displacements, not cell lengths).

A cell may be described by other vectors of the same lattice from one frame to the next: LAMMPS flips a box whose tilt
passes half a box length. Such a change is a matrix of integers of determinant one; it is found and taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, get_args

import numpy as np

from ...core.arrays import FloatArray
from .frames import TrajectoryReadError, listed

Coordinates = Literal["auto", "wrapped", "unwrapped"]
COORDINATES: tuple[str, ...] = get_args(Coordinates)

LARGEST_SURE_STEP = 0.35
"""Scaled step (part of a cell vector) above which unwrapping by the minimum image is only likely right."""
LARGEST_STEP = 0.45
"""Scaled step above which it is a guess, and refused."""
LARGEST_CELL_STEP = 0.3
"""Change of a cell vector between two frames, as a part of the vectors, above which the cell cannot be followed."""
CELL_TOLERANCE_A = 1e-6
"""Cells that differ by less are the same (Å)."""
# Unwrapped coordinates that jump by images in one frame only, this many times farther than atoms usually go.
_JUMP = 5.0
# Part of the cell vectors by which an atom that crosses a boundary may move besides.
_CROSSING = 0.1
_CHUNK_BYTES = 16 * 2**20

Place = Callable[[int], str]


def unwrap(
    positions_A: FloatArray,
    cells_A: FloatArray,
    coordinates: Coordinates = "auto",
    place: Place = "frame {}".format,
) -> tuple[float, list[str]]:
    """Unwrap positions in place, into the mean cell.

    Parameters
    ----------
    positions_A
        Shape [n_frames, n_atoms, 3] (Å), in cells whose origin is at zero; overwritten.
    cells_A
        Shape [n_frames, 3, 3] (Å), as `continuous_cells` returns them, or one cell for all frames [1, 3, 3].
    coordinates
        ``unwrapped`` leaves the steps between frames as they are, unless all of a frame's atoms jump by images;
        ``wrapped`` and ``auto`` take the minimum image.
    place
        How messages call the frame of an index.

    Returns
    -------
    tuple
        The largest scaled step among atoms if any of them had to be unwrapped, else 0; and what must be said.

    Raises
    ------
    TrajectoryReadError
        If a step is too close to half a cell to say which image is meant.
    """
    mean = cells_A.mean(axis=0)
    varies = len(cells_A) > 1
    if coordinates == "unwrapped":
        notes = _without_lost_images(positions_A, cells_A, place)
        largest = 0.0
    else:
        notes, largest = [], _minimum_image(positions_A, cells_A, place)
    if varies:
        for chunk in _chunks(positions_A):
            positions_A[chunk] = positions_A[chunk] @ (np.linalg.inv(cells_A[chunk]) @ mean)
    return largest, notes


def _chunks(positions_A: FloatArray) -> Iterator[slice]:
    """Yield slices of frames small enough that a few copies of them do not count."""
    size = max(2, _CHUNK_BYTES // max(1, positions_A[0].nbytes))
    for start in range(0, len(positions_A), size):
        yield slice(start, start + size)


def _scaled(positions_A: FloatArray, cells_A: FloatArray, frames: slice) -> FloatArray:
    cells = cells_A if len(cells_A) == 1 else cells_A[frames]
    return np.asarray(positions_A[frames] @ np.linalg.inv(cells))


def _minimum_image(positions_A: FloatArray, cells_A: FloatArray, place: Place) -> float:
    largest = 0.0
    last: FloatArray | None = None
    shift = np.zeros(positions_A.shape[1:])
    crossed = False
    for chunk in _chunks(positions_A):
        scaled = _scaled(positions_A, cells_A, chunk)
        steps = np.diff(scaled, axis=0, prepend=scaled[:1] if last is None else last[None])
        last = scaled[-1].copy()
        images = np.rint(steps)
        if not (images.any() or crossed):
            continue
        steps -= images
        sizes = np.abs(steps, out=steps)
        if images.any():
            crossed = True
            largest = max(largest, float(sizes.max()))
        if largest > LARGEST_STEP:
            frame, atom, axis = np.unravel_index(sizes.argmax(), sizes.shape)
            at = chunk.start + int(frame)
            raise TrajectoryReadError(
                f"atom {atom + 1} moves by {largest:.2f} of cell vector {'abc'[axis]} between {place(at - 1)} and"
                f" {place(at)}: above {LARGEST_STEP:g} nobody can tell which image is meant. Write frames more"
                " often, use every frame of the file, or a larger cell, or give unwrapped positions and say so"
                " (--coordinates unwrapped)"
            )
        shifts = np.cumsum(images, axis=0, out=images)
        shifts += shift
        shift = shifts[-1].copy()
        positions_A[chunk] -= shifts @ (cells_A if len(cells_A) == 1 else cells_A[chunk])
    return largest


def _without_lost_images(positions_A: FloatArray, cells_A: FloatArray, place: Place) -> list[str]:
    """Take back jumps by whole images of unwrapped positions, as where a restart lost its image flags."""
    suspects, typical = _large_steps(positions_A, cells_A)
    found, single = [], []
    for frame in suspects:
        before, after = (_scaled(positions_A, cells_A, slice(one, one + 1))[0] for one in (frame - 1, frame))
        cell = cells_A[0 if len(cells_A) == 1 else frame]
        images = np.rint(after - before)
        as_it_is, without = (root_mean_square((after - before - shift) @ cell) for shift in (0.0, images))
        whole = _are_crossings(after - before, images, cell)
        if whole and as_it_is > _JUMP * typical >= without > 0:
            for chunk in _chunks(positions_A):
                later = slice(max(frame, chunk.start), chunk.stop)
                if later.start < min(later.stop, len(positions_A)):
                    positions_A[later] -= images @ (cells_A if len(cells_A) == 1 else cells_A[later])
            found.append(frame)
        elif whole:
            single.append(frame)
    notes = []
    if found:
        where = listed([place(frame) for frame in found])
        notes.append(
            f"atoms jump by whole cell vectors before {where}, as where a restart lost its image flags: taken back"
        )
    if single:
        where = listed([place(frame) for frame in single])
        notes.append(
            f"single atoms jump by whole cell vectors before {where}: positions that are taken as unwrapped seem to be"
            " wrapped (--coordinates wrapped)"
        )
    return notes


def _are_crossings(steps: FloatArray, images: FloatArray, cell_A: FloatArray) -> bool:
    """Return whether most of the large scaled steps are whole cell vectors but for what atoms move anyway."""
    crossed = images.any(axis=1)
    rest = np.linalg.norm((steps - images)[crossed] @ cell_A, axis=1)
    return bool(crossed.any() and np.median(rest) < _CROSSING * np.linalg.norm(images[crossed] @ cell_A, axis=1).min())


def _large_steps(positions_A: FloatArray, cells_A: FloatArray) -> tuple[list[int], float]:
    """Return the frames before which an atom moves by more than half a cell, and the median step of all (Å)."""
    suspects: list[int] = []
    sizes = []
    last: FloatArray | None = None
    # Steps in Å are at least as large as the scaled ones times the smallest height of the cell.
    height = float(1.0 / np.linalg.norm(np.linalg.inv(cells_A), axis=1).max())
    for chunk in _chunks(positions_A):
        part = positions_A[chunk]
        steps = np.diff(part, axis=0, prepend=part[:1] if last is None else last[None])
        last = part[-1].copy()
        np.square(steps, out=steps)
        squares = steps.sum(axis=2)
        sizes.append(np.sqrt(squares.mean(axis=1)))
        suspects += (chunk.start + np.flatnonzero(squares.max(axis=1) > (height / 2) ** 2)).tolist()
    return suspects, float(np.median(np.concatenate(sizes)[1:])) if len(positions_A) > 1 else 0.0


def root_mean_square(displacements_A: FloatArray) -> float:
    """Return the root-mean-square length of displacements, shape [n_atoms, 3]."""
    return float(np.sqrt(np.mean(np.sum(displacements_A**2, axis=-1))))


def image_distance_A(first_A: FloatArray, second_A: FloatArray, cell_A: FloatArray) -> float:
    """Return the root-mean-square distance of two sets of positions, shape [n_atoms, 3], by the nearest images."""
    scaled = (second_A - first_A) @ np.linalg.inv(cell_A)
    return root_mean_square((scaled - np.rint(scaled)) @ cell_A)


def image_distances_A(positions_A: FloatArray, other_A: FloatArray, cell_A: FloatArray) -> FloatArray:
    """Return the root-mean-square distances of frames [n_frames, n_atoms, 3] from one other, by the nearest images."""
    inverse = np.linalg.inv(cell_A)
    found = []
    for chunk in _chunks(positions_A):
        scaled = (positions_A[chunk] - other_A) @ inverse
        scaled = (scaled - np.rint(scaled)) @ cell_A
        found.append(np.sqrt(np.square(scaled).sum(axis=2).mean(axis=1)))
    return np.concatenate(found)


def image_steps_A(positions_A: FloatArray, cells_A: FloatArray) -> FloatArray:
    """Return the root-mean-square steps between frames by the nearest images (Å), shape [n_frames - 1]."""
    found = []
    last: FloatArray | None = None
    for chunk in _chunks(positions_A):
        scaled = _scaled(positions_A, cells_A, chunk)
        steps = np.diff(scaled, axis=0, prepend=scaled[:1] if last is None else last[None])
        last = scaled[-1].copy()
        steps -= np.rint(steps)
        steps = steps @ (cells_A if len(cells_A) == 1 else cells_A[chunk])
        found.append(np.sqrt(np.square(steps).sum(axis=2).mean(axis=1)))
    return np.concatenate(found)[1:]


def change_of_vectors(before_A: FloatArray, cell_A: FloatArray) -> FloatArray:
    """Return the integers [3, 3] that take ``cell_A`` to the vectors of its lattice that go on from ``before_A``.

    Raises
    ------
    TrajectoryReadError
        If there are none: the cell changes too much to be followed.
    """
    transform = before_A @ np.linalg.inv(cell_A)
    integers = np.rint(transform)
    if np.abs(transform - integers).max() > LARGEST_CELL_STEP or round(float(np.linalg.det(integers))) != 1:
        raise TrajectoryReadError(
            "the cell changes too much to be followed: neither by a small strain nor by other vectors of the same"
            " lattice"
        )
    return np.asarray(integers)
