"""Whether trajectories are independent replicas of one system: neither other systems, nor the same run twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from .frame_spacing import TIME_TOLERANCE
from .reading import Trajectory
from .unwrapping import image_distance_A

LARGEST_VOLUME_DIFFERENCE = 0.05
"""Part by which mean volumes of replicas may differ: at constant pressure they do, by less than that."""
_VOLUME_TO_SAY = 1e-3
SAME_RUN_A = 0.01
"""Root-mean-square distance below which frames of two files are the same, one of them written with two decimals (Å)."""
# Atoms of which all frames are compared, before those frames that fit are compared whole.
_ATOMS_TO_COMPARE = 16
_WAVES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [2, 1, 0], [0, 2, 1]])
_ROUNDING = 3.0
_VALUES_AT_ONCE = 1_000_000
# The end of another run is a likelier origin than its beginning if it is so much nearer.
_NEARER = 0.6
_LARGEST_SHAPE_DIFFERENCE = 0.05


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
    shapes = np.array([one.cell_A @ one.cell_A.T for one in trajectories])
    if np.abs(shapes - shapes[0]).max() > 2 * _LARGEST_SHAPE_DIFFERENCE * np.abs(shapes[0]).max():
        notes.append("the replicas' cells have different shapes: they are not repeats of one system in one cell")
    waves = [_waves_of(one) for one in trajectories] if len(trajectories) > 1 else []
    runs = [_Run(*one) for one in zip(trajectories, names, waves, strict=False)]
    for early, late in combinations(runs, 2):
        note = _compare(early, late)
        if note is not None:
            notes.append(note)
    return tuple(notes)


class _Run(NamedTuple):
    trajectory: Trajectory
    name: str
    waves: FloatArray


def _name(trajectory: Trajectory, index: int) -> str:
    return trajectory.name or f"replica {index}"


def _compare(one: _Run, other: _Run) -> str | None:
    """Raise where both are parts of one run; return what must be said of two that may be."""
    for first, second in ((one, other), (other, one)):
        early, early_name, late, late_name = first.trajectory, first.name, second.trajectory, second.name
        for frame in _frames_like_the_first(first, second):
            shared = min(early.n_frames - frame, late.n_frames)
            same = _same_atoms(early, frame, late)
            if same is None:
                continue
            if shared > 1 and _same(early, frame + shared - 1, late, shared - 1, same):
                how = same.words
                if frame == 0:
                    raise InputError(
                        f"{early_name} and {late_name} hold the same {shared} frames{how}: one run is not two"
                        " replicas; leave one out"
                    )
                raise InputError(
                    f"{late_name} overlaps with {early_name} from its frame {frame + 1} on{how}: parts of one run are"
                    f" no independent replicas; {_ADVICE}"
                )
            if shared == 1 and _goes_on(early, late, 0.0) is not False:
                if _goes_on(early, late, 0.0):
                    raise InputError(_parts(early_name, late_name))
                return (
                    f"{late_name} begins with the last frame of {early_name}: if it is the same run going on, they are"
                    f" no independent replicas; {_ADVICE}"
                )
        if early.symbols != late.symbols or not _is_near(early, late):
            continue
        goes_on = _goes_on(early, late, 1.0)
        if goes_on:
            raise InputError(_parts(early_name, late_name))
        if goes_on is None or _counts_from_its_beginning(late):
            return (
                f"{late_name} begins within a step of where {early_name} ends: if it is the same run going on, they are"
                f" no independent replicas; {_ADVICE}"
            )
    return None


_ADVICE = "join text files (cat one two > whole), which is read as one run"


def _parts(early: str, late: str) -> str:
    return f"{late} goes on where {early} ends: parts of one run are no independent replicas; {_ADVICE}"


def _frames_like_the_first(early: _Run, late: _Run) -> IntArray:
    """Return the frames of ``early`` that may be the first of ``late``, whatever the order of its atoms."""
    weights = _weights(early.trajectory.symbols)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(early.trajectory.cell_A), axis=0)
    per_angstrom = 2 * np.pi * np.abs(_WAVES).sum(axis=1) / heights.min()
    allowed = _ROUNDING * SAME_RUN_A * per_angstrom * np.linalg.norm(weights)
    return np.flatnonzero((np.abs(early.waves - late.waves[0]) <= allowed).all(axis=1))


def _weights(symbols: Sequence[str]) -> FloatArray:
    """Return weights of atoms, [n_atoms]: 1, 2, ... for the rarest species, which tell frames apart, 0 for others."""
    chosen: dict[str, int] = {}
    counts = Counter(symbols)
    for symbol in sorted(counts, key=lambda one: (counts[one], one)):
        if sum(counts[one] for one in chosen) < _ATOMS_TO_COMPARE:
            chosen[symbol] = len(chosen) + 1
    return np.array([float(chosen.get(symbol, 0)) for symbol in symbols])


def _waves_of(trajectory: Trajectory) -> FloatArray:
    """Return sizes of Fourier components of the density, [n_frames, n_waves]: no order and no shift changes them."""
    weights = _weights(trajectory.symbols)
    atoms = np.flatnonzero(weights)
    waves = 2j * np.pi * (np.linalg.inv(trajectory.cell_A) @ _WAVES.T)
    size = max(1, _VALUES_AT_ONCE // (len(atoms) * len(_WAVES)))
    found = []
    for start in range(0, trajectory.n_frames, size):
        phases = np.exp(trajectory.positions_A[start : start + size, atoms] @ waves)
        found.append(np.abs(np.einsum("tnk,n->tk", phases, weights[atoms])))
    return np.concatenate(found)


class _Same(NamedTuple):
    """Which atom of another trajectory is which, and how far it lies off as a whole (scaled)."""

    order: IntArray
    shift: FloatArray
    words: str


def _same_atoms(early: Trajectory, frame: int, late: Trajectory) -> _Same | None:
    """Return how the first frame of ``late`` is that frame of ``early``; None if it is not."""
    here, there = (one.positions_A[at] @ np.linalg.inv(one.cell_A) for one, at in ((early, frame), (late, 0)))
    counts = Counter(early.symbols)
    rarest = min(counts, key=lambda one: (counts[one], one))
    anchor = here[early.symbols.index(rarest)]
    shifts = there[np.array(late.symbols) == rarest] - anchor
    shifts -= np.rint(shifts)
    sizes = np.linalg.norm(shifts @ early.cell_A, axis=1)
    # One that was not shifted is found first.
    for shift in [np.zeros(3), *shifts[np.argsort(sizes)]]:
        order = KDTree(np.mod(there - shift, 1.0) % 1.0, boxsize=1.0).query(np.mod(here, 1.0) % 1.0)[1]
        if len(set(order.tolist())) < len(order) or tuple(late.symbols[atom] for atom in order) != early.symbols:
            continue
        moved = there[order] - here
        moved -= np.rint(moved - shift)
        exact = moved.mean(axis=0)
        found = _Same(order, exact, _how(order, exact @ early.cell_A))
        if _same(early, frame, late, 0, found):
            return found
    return None


def _how(order: IntArray, shift_A: FloatArray) -> str:
    parts = [] if np.array_equal(order, np.arange(len(order))) else ["of atoms in another order"]
    parts += [f"shifted by {np.linalg.norm(shift_A):.2g} Å"] if np.linalg.norm(shift_A) > SAME_RUN_A else []
    return "".join(f", {part}" for part in parts)


def _same(early: Trajectory, frame: int, late: Trajectory, late_frame: int, same: _Same) -> bool:
    scaled = late.positions_A[late_frame][same.order] @ np.linalg.inv(late.cell_A) - same.shift
    return _distance_A(early, frame, scaled) <= SAME_RUN_A


def _distance_A(trajectory: Trajectory, frame: int, scaled: FloatArray) -> float:
    return image_distance_A(trajectory.positions_A[frame], scaled @ trajectory.cell_A, trajectory.cell_A)


def _goes_on(early: Trajectory, late: Trajectory, intervals: float) -> bool | None:
    """Return whether counters say that ``late`` begins so many intervals behind the end of ``early``; None: unknown."""
    if early.counters is None or late.counters is None:
        return None
    interval = float(np.median(np.diff(early.counters)))
    return bool(abs(late.counters[0] - early.counters[-1] - intervals * interval) <= TIME_TOLERANCE * interval)


def _counts_from_its_beginning(late: Trajectory) -> bool:
    """Return whether a trajectory counts from its own beginning."""
    assert late.counters is not None
    return bool(late.counters[0] <= late.counters[1] - late.counters[0])


def _is_near(early: Trajectory, late: Trajectory) -> bool:
    """Return whether ``late`` begins where ``early`` ends, as near as between two frames, and not where it began."""
    inverse = np.linalg.inv(early.cell_A)
    usual = _distance_A(early, -1, early.positions_A[-2] @ inverse)
    begins = late.positions_A[0] @ np.linalg.inv(late.cell_A)
    near = _distance_A(early, -1, begins)
    return near <= 2 * usual and near < _NEARER * _distance_A(early, 0, begins)
