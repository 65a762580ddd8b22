"""Whether trajectories are independent replicas of one system: neither other systems, nor the same run twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ...core.errors import InputError
from .frame_sequence import SAME_FRAME_A
from .frame_spacing import TIME_TOLERANCE
from .reading import Trajectory
from .unwrapping import image_distance_A

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LARGEST_VOLUME_DIFFERENCE = 0.05
"""Part by which mean volumes of replicas may differ: at constant pressure they do, by less than that."""
_VOLUME_TO_SAY = 1e-3
# Atoms of which all frames are compared, before those frames that fit are compared whole.
_ATOMS_TO_COMPARE = 16
_FRAMES_AT_ONCE = 10_000


def mean_volume_A3(trajectories: Sequence[Trajectory]) -> float:
    """Return the mean volume of replicas (Å³)."""
    return float(np.mean([one.volume_A3 for one in trajectories]))


def check_replicas(trajectories: Sequence[Trajectory], fewest_frames: int) -> tuple[str, ...]:
    """Return what must be said of trajectories that are to be independent replicas of one system.

    Raises
    ------
    InputError
        If there are none, if they are too short, of other systems or of other intervals between frames, or if two are
        the same run, or parts of one.
    """
    if not trajectories:
        raise InputError("a conductivity needs a trajectory")
    names = [_name(one, index) for index, one in enumerate(trajectories)]
    first, notes = trajectories[0], []
    for name, one in zip(names, trajectories, strict=True):
        if one.n_frames < fewest_frames:
            raise InputError(f"{name} has {one.n_frames} frames; {fewest_frames} or more are needed")
        if sorted(one.symbols) != sorted(first.symbols):
            raise InputError(f"{name} has other atoms than {names[0]}; replicas are of one system")
        if abs(one.frame_interval_fs / first.frame_interval_fs - 1) > TIME_TOLERANCE:
            raise InputError(
                f"{name} has a frame every {one.frame_interval_fs:g} fs, {names[0]} every"
                f" {first.frame_interval_fs:g} fs; they must be equal"
            )
    volumes = np.array([one.volume_A3 for one in trajectories])
    spread = float(np.abs(volumes / volumes.mean() - 1).max()) if np.isfinite(volumes).all() else 0.0
    if spread > LARGEST_VOLUME_DIFFERENCE:
        raise InputError(
            f"volumes reach from {volumes.min():.2f} Å³ ({names[int(volumes.argmin())]}) to {volumes.max():.2f} Å³"
            f" ({names[int(volumes.argmax())]}); replicas are of one system"
        )
    if spread > _VOLUME_TO_SAY:
        notes.append(f"volumes of the replicas deviate by up to {100 * spread:.1f} % from their mean, which is used")
    for (name, one), (other_name, other) in combinations(zip(names, trajectories, strict=True), 2):
        note = _compare(one, other, name, other_name)
        if note is not None:
            notes.append(note)
    return tuple(notes)


def _name(trajectory: Trajectory, index: int) -> str:
    return trajectory.name or f"replica {index}"


def _compare(one: Trajectory, other: Trajectory, name: str, other_name: str) -> str | None:
    """Raise where both are parts of one run; return what must be said of two that may be."""
    order = _same_places(one, other)
    if order is not None:
        shared = min(one.n_frames, other.n_frames) - 1
        if _same(one, shared, other, shared, order):
            raise InputError(
                f"{name} and {other_name} hold the same {shared + 1} frames, of atoms in another order: one run is not"
                " two replicas; leave one out"
            )
    if one.symbols != other.symbols:
        return None
    for early, late, early_name, late_name in ((one, other, name, other_name), (other, one, other_name, name)):
        for frame in _frames_like(early, late.positions_A[0] @ np.linalg.inv(late.cell_A)):
            shared = min(early.n_frames - frame, late.n_frames)
            if shared > 1 and _same(early, frame + shared - 1, late, shared - 1):
                if frame == 0:
                    raise InputError(
                        f"{early_name} and {late_name} hold the same {shared} frames: one run is not two replicas;"
                        " leave one out"
                    )
                raise InputError(
                    f"{late_name} overlaps with {early_name} from its frame {frame + 1} on: parts of one run are no"
                    f" independent replicas; {_ADVICE}"
                )
            if shared == 1 and _goes_on(early, late, 0.0) is not False:
                if _goes_on(early, late, 0.0):
                    raise InputError(_parts(early_name, late_name))
                return (
                    f"{late_name} begins with the last frame of {early_name}: if it is the same run going on, they are"
                    f" no independent replicas; {_ADVICE}"
                )
        if _goes_on(early, late, 1.0) and _is_near(early, late):
            raise InputError(_parts(early_name, late_name))
    return None


_ADVICE = "join text files (cat one two > whole), which is read as one run"


def _parts(early: str, late: str) -> str:
    return f"{late} goes on where {early} ends: parts of one run are no independent replicas; {_ADVICE}"


def _frames_like(trajectory: Trajectory, scaled: FloatArray) -> IntArray:
    """Return the frames of a trajectory whose atoms are where scaled positions say, shape [n_atoms, 3]."""
    atoms = np.unique(np.linspace(0, len(scaled) - 1, _ATOMS_TO_COMPARE).astype(int))
    inverse = np.linalg.inv(trajectory.cell_A)
    found = []
    for start in range(0, trajectory.n_frames, _FRAMES_AT_ONCE):
        differences = trajectory.positions_A[start : start + _FRAMES_AT_ONCE, atoms] @ inverse - scaled[atoms]
        differences = (differences - np.rint(differences)) @ trajectory.cell_A
        near = np.sqrt(np.square(differences).sum(axis=2).mean(axis=1)) <= SAME_FRAME_A
        found += (start + np.flatnonzero(near)).tolist()
    return np.array([frame for frame in found if _distance_A(trajectory, frame, scaled) <= SAME_FRAME_A], dtype=int)


def _same_places(one: Trajectory, other: Trajectory) -> IntArray | None:
    """Return the other order in which the atoms of ``other`` begin where those of ``one`` do; None if there is none."""
    here, there = (np.mod(each.positions_A[0] @ np.linalg.inv(each.cell_A), 1.0) % 1.0 for each in (one, other))
    order = KDTree(there, boxsize=1.0).query(here)[1]
    symbols = tuple(other.symbols[atom] for atom in order)
    if symbols != one.symbols or np.array_equal(order, np.arange(len(order))):
        return None
    return order if len(set(order.tolist())) == len(order) and _same(one, 0, other, 0, order) else None


def _distance_A(trajectory: Trajectory, frame: int, scaled: FloatArray) -> float:
    return image_distance_A(trajectory.positions_A[frame], scaled @ trajectory.cell_A, trajectory.cell_A)


def _same(
    one: Trajectory, frame: int, other: Trajectory, other_frame: int, order: IntArray | slice = slice(None)
) -> bool:
    scaled = other.positions_A[other_frame][order] @ np.linalg.inv(other.cell_A)
    return _distance_A(one, frame, scaled) <= SAME_FRAME_A


def _goes_on(early: Trajectory, late: Trajectory, intervals: float) -> bool | None:
    """Return whether counters say that ``late`` begins so many intervals behind the end of ``early``; None: unknown."""
    if early.counters is None or late.counters is None:
        return None
    interval = float(np.median(np.diff(early.counters)))
    return bool(abs(late.counters[0] - early.counters[-1] - intervals * interval) <= TIME_TOLERANCE * interval)


def _is_near(early: Trajectory, late: Trajectory) -> bool:
    """Return whether atoms go from the end of one to the beginning of the other as far as between two frames."""
    usual = _distance_A(early, -1, early.positions_A[-2] @ np.linalg.inv(early.cell_A))
    return _distance_A(early, -1, late.positions_A[0] @ np.linalg.inv(late.cell_A)) <= 2 * usual
