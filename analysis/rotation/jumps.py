"""Rotations of polyanions as events: from one settled orientation to another.

An orientation is settled while it stays within an angle of its mean for some time. It is left for good once another
settled orientation, farther away than a larger angle, is found; what comes back has not turned. In between lies the
time of the event: from the last frame that is near the old orientation to the first that is near the new one. A
polyanion that does not settle, a rotor, has turned whenever it is that far from where it was last counted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import BoolArray, FloatArray, IntArray
from .correlations import tensor_product, tetrahedral_order
from .orientations import angles_degree, best_rotations, mean_rotation, proper_parts
from .settings import JumpSettings

_SCAN = 512
_LONGEST_WAY = 2
"""Times the settling time within which an orientation has to settle, or is taken as it is."""
_SAME_ORDER = 0.5
"""Part of T:T that two orientations share above which one is the other with its ligands exchanged."""


@dataclass(frozen=True)
class Rotations:
    """Rotations as columns, in order of time; all arrays have one row per event.

    Attributes
    ----------
    anion
        Index of the centre's atom.
    leave, arrive
        Last frame near the old orientation, first frame near the new one.
    angle_degree
        Between the two (degrees).
    axis
        Unit vector about which it turned, [n, 3].
    permutes
        Whether ligands changed places and the polyanion lies as before.
    settled
        Whether it came to rest; a rotor does not.
    """

    anion: IntArray
    leave: IntArray
    arrive: IntArray
    angle_degree: FloatArray
    axis: FloatArray
    permutes: BoolArray
    settled: BoolArray

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.anion)

    @property
    def frame(self) -> FloatArray:
        """When, between leaving and arriving (frames), [n]."""
        return np.asarray(0.5 * (self.leave + self.arrive), dtype=np.float64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, as they are written to files."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class _Turn:
    """One event of one stretch, frames counted from its start."""

    leave: int
    arrive: int
    before: FloatArray
    after: FloatArray
    settled: bool


def rotations_of(
    vectors: FloatArray, settings: JumpSettings, frame_ps: float, anion: int = 0, first: int = 0
) -> Rotations:
    """Return the rotations of one polyanion in one stretch of time.

    Parameters
    ----------
    vectors
        Unit vectors along its bonds, ligands always in the same order, [n_frames, n_ligands, 3].
    frame_ps
        Time between frames (ps).
    anion, first
        Index of its centre, and the first frame's number.
    """
    orientations = best_rotations(vectors, vectors[0])
    width = max(1, min(round(settings.settled_ps / frame_ps), len(vectors)))
    turns = _turns(orientations, width, settings)
    # In the frame of the mean shape what is left of libration in the first frame's cancels.
    shape = np.einsum("fji,fkj->ki", orientations, vectors) / len(vectors)
    return _columns(turns, shape, anion, first)


def joined(parts: list[Rotations]) -> Rotations:
    """Return the events of several stretches in order of time."""
    if not parts:
        nothing = np.zeros(0)
        whole, yes = nothing.astype(np.int64), nothing.astype(bool)
        return Rotations(whole, whole, whole, nothing, np.zeros((0, 3)), yes, yes)
    columns = {name: np.concatenate([one.arrays()[name] for one in parts]) for name in parts[0].arrays()}
    order = np.lexsort((columns["anion"], columns["leave"] + columns["arrive"]))
    return Rotations(**{name: values[order] for name, values in columns.items()})


def _turns(orientations: FloatArray, width: int, settings: JumpSettings) -> list[_Turn]:
    found: list[_Turn] = []
    reference = mean_rotation(orientations[:width])
    since = 0
    at = 0
    while (beyond := _first_beyond(orientations, reference, at, settings.turned_degree)) is not None:
        place, settled = _next_settled(orientations, beyond, width, settings.settled_degree)
        if place is None:
            break
        new = (
            _rest(orientations[place : place + 2 * width], settings.settled_degree) if settled else orientations[place]
        )
        if angles_degree(new[None], reference)[0] < settings.turned_degree:
            at = place + width
            continue
        leave, arrive = _when(orientations, (since, beyond, place), (reference, new), settings.settled_degree)
        found.append(_Turn(leave, arrive, reference, new, settled))
        reference, since, at = new, arrive, place + 1
    return found


def _rest(orientations: FloatArray, degree: float) -> FloatArray:
    """Return where an orientation came to rest: the mean of the later half of what is near its last frames."""
    half = orientations[len(orientations) // 2 :]
    near = angles_degree(half, mean_rotation(half)) <= degree
    return mean_rotation(half[near]) if near.any() else mean_rotation(orientations[: len(orientations) - len(half)])


def _first_beyond(orientations: FloatArray, reference: FloatArray, start: int, degree: float) -> int | None:
    """Return the first frame from ``start`` on that is farther from a reference than an angle."""
    for begin in range(start, len(orientations), _SCAN):
        beyond = np.flatnonzero(angles_degree(orientations[begin : begin + _SCAN], reference) > degree)
        if len(beyond):
            return begin + int(beyond[0])
    return None


def _next_settled(orientations: FloatArray, start: int, width: int, degree: float) -> tuple[int | None, bool]:
    """Return the frame from which on an orientation is settled, or the last that is waited for, and which it is."""
    within = orientations[start : start + (_LONGEST_WAY + 1) * width]
    count = len(within) - width + 1
    if count > 0:
        windows = np.arange(count)[:, None] + np.arange(width)
        means = proper_parts(within[windows].sum(axis=1))
        # The widest angle of a window has the smallest trace of R meanᵀ.
        traces = np.einsum("pwij,pij->pw", within[windows], means).min(axis=1)
        settled = np.flatnonzero(traces >= 1.0 + 2.0 * np.cos(np.radians(degree)))
        if len(settled):
            return start + int(settled[0]), True
    if count <= _LONGEST_WAY * width:
        return None, False  # the trajectory ends on the way
    return start + _LONGEST_WAY * width, False


def _when(
    orientations: FloatArray, places: tuple[int, int, int], ends: tuple[FloatArray, FloatArray], degree: float
) -> tuple[int, int]:
    """Return the last frame near the old orientation before the turn and the first near the new one after it."""
    since, beyond, place = places
    before, after = ends
    near = np.flatnonzero(angles_degree(orientations[since:beyond], before) < degree)
    leave = since + int(near[-1]) if len(near) else beyond - 1
    there = np.flatnonzero(angles_degree(orientations[leave : place + 1], after) < degree)
    arrive = leave + int(there[0]) if len(there) else place
    return leave, max(arrive, leave)


def _columns(turns: list[_Turn], shape: FloatArray, anion: int, first: int) -> Rotations:
    before = np.array([one.before for one in turns]).reshape(-1, 3, 3)
    after = np.array([one.after for one in turns]).reshape(-1, 3, 3)
    old, new = (tetrahedral_order(np.einsum("nij,kj->nki", one, shape)) for one in (before, after))
    size = np.sqrt(tensor_product(old, old) * tensor_product(new, new))
    between = np.einsum("nij,nkj->nik", after, before)
    return Rotations(
        anion=np.full(len(turns), anion, dtype=np.int64),
        leave=first + np.array([one.leave for one in turns], dtype=np.int64),
        arrive=first + np.array([one.arrive for one in turns], dtype=np.int64),
        angle_degree=np.degrees(np.arccos(np.clip(0.5 * (np.einsum("nii->n", between) - 1.0), -1.0, 1.0))),
        axis=_axes(between),
        permutes=tensor_product(old, new) > _SAME_ORDER * np.where(size > 0, size, np.inf),
        settled=np.array([one.settled for one in turns], dtype=bool),
    )


def _axes(rotations: FloatArray) -> FloatArray:
    """Return the unit vectors about which rotations [n, 3, 3] turn, [n, 3]."""
    # R + Rᵀ + (1 - tr R) I = 2 (1 - cos θ) a aᵀ: its longest column is along the axis, for 180° as well.
    trace = np.einsum("nii->n", rotations)
    outer = rotations + np.swapaxes(rotations, 1, 2) + (1.0 - trace)[:, None, None] * np.eye(3)
    longest = np.argmax(np.einsum("nij,nij->nj", outer, outer), axis=1)
    axis = np.take_along_axis(outer, longest[:, None, None], axis=2)[:, :, 0]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-300)
    skew = np.stack(
        [
            rotations[:, 2, 1] - rotations[:, 1, 2],
            rotations[:, 0, 2] - rotations[:, 2, 0],
            rotations[:, 1, 0] - rotations[:, 0, 1],
        ],
        axis=1,
    )
    return np.asarray(np.where((np.einsum("ni,ni->n", axis, skew) < 0)[:, None], -axis, axis))
