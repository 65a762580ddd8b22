"""Frames in the order of time: what kills and restarts leave in a file is sorted out here, for every format.

- A torn frame is dropped; in the middle of a file it must have been written again.
- Where the counter goes back, a run was continued from an earlier step: the later frames replace the earlier ones. If
  it begins again and atoms go on from where they were, only the counter was reset. Anything else is another run.
- Frames must be equally spaced. A few at the beginning that are not (a minimisation) and single ones between the
  others are dropped; gaps are refused.

All that is dropped is said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ase.units import fs
from numpy.typing import NDArray

from .frames import RawFrame, TornFrame, TrajectoryReadError, place
from .unwrapping import CELL_TOLERANCE_A, change_of_vectors, image_distance_A, image_steps_A

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SAME_FRAME_A = 2e-3
"""Root-mean-square distance below which two frames are the same: the precision of positions in text (Å)."""
# Two intervals are equal if they differ by less than this part, or by the rounding of times in text (fs).
TIME_TOLERANCE = 1e-3
_TIME_RESOLUTION_FS = 2e-3
# Times in text have six digits or more.
_TIME_PRECISION = 1e-5
# A run goes on where atoms move no farther than this many times their usual step; a jump is one of so many.
_SEAM = 3.0
_JUMP = 5.0
_STEPS_AT_SEAM = 50
# Parts of the frames that may be dropped because they are not equally spaced, or are the same as those before.
_LARGEST_BEGINNING = 0.1
_MOST_BETWEEN = 0.1
_MOST_STANDING = 0.01
_LARGEST_STRAIN = 0.05
# Fewer atoms may come back to the same place by chance.
_FEWEST_ATOMS_TO_TELL = 4
_FIRST_GROWTH = 64
# A time step outside is more likely a misunderstanding (fs).
_USUAL_TIMESTEPS_FS = (0.099, 10.01)


class OrderedFrames(NamedTuple):
    """Frames in the order of time, equally spaced.

    Attributes
    ----------
    positions_A
        Shape [n_frames, n_atoms, 3] (Å), as the file has them.
    cells_A
        Shape [n_frames, 3, 3] (Å), or [1, 3, 3] where the cell is fixed; vectors go on from one frame to the next.
    interval_fs
        Time between two frames (fs).
    counters
        Step, or time (fs), of each frame, shape [n_frames]; None where the file has neither.
    places
        Number and line of each frame in the file, shape [n_frames, 2].
    """

    symbols: tuple[str, ...]
    positions_A: FloatArray
    cells_A: FloatArray
    interval_fs: float
    unwrapped: bool
    counters: FloatArray | None
    places: IntArray


class _Record(NamedTuple):
    counter: float | None
    time: float | None
    number: int
    line: int

    @property
    def place(self) -> str:
        return place(self.number, self.line)


class FrameSequence:
    """Takes the frames of a file one by one, and puts them in order.

    Parameters
    ----------
    name
        What messages call the file.
    notes
        What must be said is added to it.
    every
        Keep every n-th frame only.
    cell_A
        The cell of a file that has none, shape [3, 3] (Å).
    counts_timesteps
        Whether steps are those of an integrator, so that the time step follows from the time between frames.
    """

    def __init__(
        self,
        name: str,
        notes: list[str],
        every: int = 1,
        cell_A: FloatArray | None = None,
        counts_timesteps: bool = False,
    ) -> None:
        self.name = name
        self.counts_timesteps = counts_timesteps
        self.notes = notes
        self.every = every
        self.cell_A = cell_A
        self._positions = np.empty((0, 0, 3))
        self._cells: list[FloatArray] = []
        self._records: list[_Record] = []
        self._first: RawFrame | None = None
        self._last: RawFrame | None = None
        self._vectors = np.eye(3)
        self._offset = 0.0
        self._torn: list[TornFrame] = []
        self._known: dict[int, int] = {}
        self._events: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def add(self, frame: RawFrame | TornFrame) -> None:
        """Take the next frame of the file.

        Raises
        ------
        TrajectoryReadError
            If it does not go with those before.
        """
        if isinstance(frame, TornFrame):
            self._torn.append(frame)
            return
        if frame.cell_A is None:
            frame = frame._replace(cell_A=self.cell_A)
        self._check(frame)
        counter = frame.step if frame.step is not None else frame.time_fs
        if counter is None:
            if not self._was_before(frame):
                self._refuse_after_torn(frame)
        elif self._records:
            last = self._records[-1].counter
            assert last is not None  # checked above
            if counter + self._offset <= last and not self._goes_back(frame, counter + self._offset, last):
                return
            counter += self._offset
        self._append(frame, counter)

    def _check(self, frame: RawFrame) -> None:
        where = f"{self.name}: {frame.place}"
        cell = frame.cell_A
        if cell is None:
            raise TrajectoryReadError(
                f'{where} has no cell; give it (--cell "a b c" or "a b c alpha beta gamma", in Å)'
            )
        if cell is not self.cell_A and (not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < CELL_TOLERANCE_A):
            raise TrajectoryReadError(f"{where} has no cell with a volume; a conductor needs one")
        if not np.isfinite(frame.positions_A).all():
            raise TrajectoryReadError(f"{where} has a position that is no finite number")
        if self._first is None:
            self._first = frame
            if self.cell_A is not None and cell is not self.cell_A:
                self._compare_with_given(cell, where)
        first = self._first
        if frame.symbols is not first.symbols and frame.symbols != first.symbols:
            raise TrajectoryReadError(
                f"{where} has other atoms, or another order, than the first; only a fixed list of atoms can be followed"
            )
        if frame.unwrapped != first.unwrapped:
            raise TrajectoryReadError(f"{where} has other columns than the first: one is unwrapped, the other is not")
        for name in ("step", "time_fs"):
            if (getattr(frame, name) is None) != (getattr(first, name) is None):
                raise TrajectoryReadError(f"{where} has no {name[:4]} where the first has one, or the other way round")

    def _compare_with_given(self, cell: FloatArray, where: str) -> None:
        assert self.cell_A is not None
        # Of a given "a b c alpha beta gamma" the orientation is a convention: lengths and angles are compared.
        metrics = [one @ one.T for one in (cell, self.cell_A)]
        if np.abs(metrics[0] - metrics[1]).max() > 2 * TIME_TOLERANCE * np.abs(metrics[0]).max():
            shown = " ".join(f"{value:g}" for value in cell.round(4).ravel())
            raise TrajectoryReadError(f"{where} has the cell {shown}, not that of --cell; leave --cell out")

    def _refuse_after_torn(self, frame: RawFrame) -> None:
        if self._torn and self._records and self._torn[-1].number == frame.number - 1:
            torn = self._torn[-1]
            raise TrajectoryReadError(
                f"{self.name}: {torn.place} is not whole ({torn.reason}), and as the file does not count its frames"
                " nobody can tell where those behind belong; cut the file there"
            )

    def _was_before(self, frame: RawFrame) -> bool:
        """Where a file has no counter, a frame that was there before tells a restart; later frames replace earlier."""
        index = self._known.setdefault(hash(frame.positions_A.tobytes()), len(self))
        if index == len(self) or self._last is None:
            return False
        # Only where all atoms move all the time is it no chance to come back to the same place.
        moved = np.abs(frame.positions_A - self._last.positions_A).max(axis=1) > 0
        if index < len(self) - 1 and len(moved) >= _FEWEST_ATOMS_TO_TELL and moved.all():
            self._drop(index, f"{self._records[index].place} to {self._records[-1].place}, again from {frame.place} on")
            self._known = {key: known for key, known in self._known.items() if known <= index}
        return True

    def _append(self, frame: RawFrame, counter: float | None) -> None:
        if len(self) % self.every == 0:
            kept = len(self._cells)
            if kept == len(self._positions):
                # Grown in place: no second copy of a long trajectory is ever needed.
                size = max(_FIRST_GROWTH, kept + kept // 2)
                self._positions.resize((size, *frame.positions_A.shape), refcheck=False)
            self._positions[kept] = frame.positions_A
            self._cells.append(self._continued(frame))
        self._records.append(_Record(counter, frame.time_fs, frame.number, frame.line))
        self._last = frame

    def _continued(self, frame: RawFrame) -> FloatArray:
        """Return the vectors of the frame's lattice that go on from those of the frame before."""
        cell = frame.cell_A
        assert cell is not None
        if not self._cells:
            return cell
        before = self._cells[-1]
        if cell is before or np.abs(cell - before).max() <= CELL_TOLERANCE_A:
            return before
        try:
            vectors = change_of_vectors(before, cell)
        except TrajectoryReadError as error:
            raise TrajectoryReadError(
                f"{self.name}: between {self._records[-1].place} and {frame.place} {error}"
            ) from None
        if not np.array_equal(vectors, self._vectors):
            self._vectors = vectors
            self._say("flip", frame.place)
        return np.asarray(vectors @ cell)

    def _say(self, kind: str, what: str) -> None:
        self._events.setdefault(kind, []).append(what)

    # Restarts ---------------------------------------------------------------------------------------------------------

    def _goes_back(self, frame: RawFrame, counter: float, last: float) -> bool:
        """Sort out a frame whose counter is not above the last; return whether it is kept."""
        first = self._records[0].counter
        assert first is not None
        assert self._last is not None
        if _distance(self._last, frame) <= SAME_FRAME_A:
            self._say("same", frame.place)
            self._offset += last - counter
            return False
        if counter == first == last:
            return True  # perhaps a counter that does not count; `finish` sees it
        index = bisect_left([record.counter for record in self._records], counter)  # type: ignore[type-var]
        if index and self._goes_on_from(frame, index - 1):
            self._drop(index, f"{self._shown(counter)} to {self._shown(last)}, written again from {frame.place} on")
            return True
        assert self._first is not None
        if counter == first and _distance(self._first, frame) <= SAME_FRAME_A:
            self._drop(0, f"all before {frame.place}, where the run was started again")
            return True
        if len(self) > 1 and self._goes_on_from(frame, len(self) - 1):
            before = self._records[-2].counter
            assert before is not None
            self._offset += last - counter + (last - before)
            self._say("reset", frame.place)
            # `add` takes the offset into account.
            return True
        raise TrajectoryReadError(
            f"{self.name}: {frame.place} goes back from {self._shown(last)} to {self._shown(counter)}, and its atoms go"
            " on neither from there nor from the frame before: another run begins there; split the file"
        )

    def _goes_on_from(self, frame: RawFrame, index: int) -> bool:
        """Return whether atoms move from the frame of that index as far as they usually do between two frames."""
        assert self._last is not None
        assert frame.cell_A is not None
        kept = min(index // self.every, len(self._cells) - 1)
        around = slice(max(0, kept - _STEPS_AT_SEAM), max(kept + 1, 3))
        usual = image_steps_A(self._positions[: len(self._cells)][around], np.array(self._cells[around]))
        if len(usual) < 2:
            return True
        before = self._last.positions_A if index == len(self) - 1 else self._positions[kept]
        # Where few atoms are, one that hops moves farther than that; frames close by say how far.
        farthest = max(_SEAM * float(np.median(usual)), float(usual.max()))
        return image_distance_A(before, frame.positions_A, frame.cell_A) <= farthest

    def _drop(self, index: int, what: str) -> None:
        self._say("replaced", f"{len(self) - index} ({what})")
        del self._records[index:]
        del self._cells[-(-index // self.every) :]

    def _shown(self, counter: float) -> str:
        return f"step {counter:.0f}" if self._has_steps else f"{counter:g} fs"

    @property
    def _has_steps(self) -> bool:
        return self._first is not None and self._first.step is not None

    # The end ----------------------------------------------------------------------------------------------------------

    def finish(self, given_fs: float | None = None) -> OrderedFrames:
        """Return the frames, equally spaced.

        Parameters
        ----------
        given_fs
            Time between two frames of the file (fs); None takes it from the file.

        Raises
        ------
        TrajectoryReadError
            If there are fewer than two frames, or the time between them is unknown, unequal, or not ``given_fs``.
        """
        if len(self) < 2:
            torn = "".join(f"; {one.place} is not whole: {one.reason}" for one in self._torn[:1])
            raise TrajectoryReadError(
                f"{self.name} holds {len(self)} frames; two or more are needed, all in one file{torn}"
            )
        self._say_events()
        first = self._first
        assert first is not None
        counters = self._counters()
        chosen = np.arange(len(self)) if counters is None else self._equally_spaced(counters)
        interval_fs = self._interval_fs(counters, chosen, given_fs)
        kept = self._kept(chosen)
        positions, cells = self._taken(kept)
        records = [self._records[index * self.every] for index in kept]
        if counters is None:
            positions, cells, records = self._without_standing(positions, cells, records)
        if len(records) < 2:
            raise TrajectoryReadError(f"{self.name} holds {len(records)} frames; two or more are needed")
        self._say_strain(cells)
        return OrderedFrames(
            symbols=first.symbols,
            positions_A=positions,
            cells_A=cells,
            interval_fs=interval_fs * self.every,
            unwrapped=first.unwrapped,
            counters=None if counters is None else np.array([counters[index * self.every] for index in kept]),
            places=np.array([(record.number, record.line) for record in records]),
        )

    def _say_events(self) -> None:
        texts: dict[str, Callable[[str, int], str]] = {
            "same": lambda where, count: f"{count} frames that are the same as those before are dropped: {where}",
            "replaced": lambda where, _: f"a restart wrote frames again, the later ones are used; dropped are {where}",
            "reset": lambda where, _: f"the counter begins again, and atoms go on: taken as one run; at {where}",
            "flip": lambda where, count: (
                f"the cell is given by other vectors of its lattice (a flip) {count} times, and followed; at {where}"
            ),
        }
        for kind, text in texts.items():
            if kind in self._events:
                self.notes.append(f"{self.name}: {text(_listed(self._events[kind]), len(self._events[kind]))}")
        if self._torn:
            places = _listed([f"{one.place}: {one.reason}" for one in self._torn])
            self.notes.append(f"{self.name}: frames that are not whole are dropped: {places}")

    def _counters(self) -> FloatArray | None:
        found = [record.counter for record in self._records]
        if found[0] is None:
            return None
        counters = np.array(found, dtype=float)
        if counters[0] == counters[-1]:
            self.notes.append(f"{self.name}: all frames say {self._shown(counters[0])}; their counter is not used")
            return None
        return counters

    def _equally_spaced(self, counters: FloatArray) -> IntArray:
        """Return the indices of the frames that are, without a beginning or single ones that are not."""
        usual, odd = _odd_steps(counters)
        everything = np.arange(len(counters))
        if not len(odd):
            return everything
        beginning = int(odd[-1]) + 1
        if beginning <= max(1, _LARGEST_BEGINNING * len(counters)) and len(counters) - beginning > 1:
            self.notes.append(
                f"{self.name}: the first {beginning} frames are dropped: up to {self._shown(counters[beginning])} they"
                f" are not {self._shown_interval(usual)} apart as the others are"
            )
            return everything[beginning:]
        remainder = np.round(np.mod(counters - counters[len(counters) // 2], usual) / usual, 3) % 1.0
        values, counts = np.unique(remainder, return_counts=True)
        regular = everything[remainder == values[counts.argmax()]]
        dropped = len(counters) - len(regular)
        if len(regular) > 2 and dropped <= _MOST_BETWEEN * len(counters) and not len(_odd_steps(counters[regular])[1]):
            if self.every > 1:
                raise TrajectoryReadError(
                    f"{self.name} has {dropped} frames between the equally spaced ones; leave --every out, or take them"
                    " out of the file"
                )
            others = _listed([self._records[index].place for index in np.setdiff1d(everything, regular)])
            self.notes.append(f"{self.name}: frames between the equally spaced ones are dropped: {others}")
            return regular
        raise TrajectoryReadError(self._gaps(counters, usual, odd))

    def _shown_interval(self, counter: float) -> str:
        return f"{counter:g} steps" if self._has_steps else f"{counter:g} fs"

    def _gaps(self, counters: FloatArray, usual: float, odd: IntArray) -> str:
        places = [
            f"{self._shown(counters[index])} and {self._shown(counters[index + 1])} ({self._records[index].place} and"
            f" {self._records[index + 1].place})"
            for index in odd
        ]
        torn = _listed([f"{one.place}: {one.reason}" for one in self._torn])
        return (
            f"{self.name}: its frames are not equally spaced, {self._shown_interval(usual)} apart, but between"
            f" {_listed(places)}{f'; not whole are {torn}' if torn else ''}. Cut the file where frames are missing"
        )

    def _interval_fs(self, counters: FloatArray | None, chosen: IntArray, given_fs: float | None) -> float:
        first = self._first
        assert first is not None
        if first.time_fs is None or counters is None:
            if given_fs is None:
                raise TrajectoryReadError(
                    f"{self.name} does not say the time between its frames; give it (--timestep-fs)"
                )
            self._doubt(counters, chosen, given_fs)
            return given_fs
        found = self._time_between(counters, chosen)
        # Of an unknown unit: ps, fs, and that of ASE's dynamics.
        candidates = [found] if not first.unit_unknown else [1e3 * found, found, found / fs]
        if first.unit_unknown and given_fs is None:
            raise TrajectoryReadError(
                f"{self.name} has a frame every {found:g}, and does not say of what: give --timestep-fs {1e3 * found:g}"
                f" if it is ps (LAMMPS' units metal), {found:g} if it is fs (real), {found / fs:g} if it is ASE's unit"
            )
        if given_fs is None:
            return found
        fitting = [one for one in candidates if abs(one - given_fs) <= TIME_TOLERANCE * one]
        if not fitting:
            says = " or ".join(f"{one:g}" for one in candidates)
            raise TrajectoryReadError(
                f"{self.name} says that its frames are {says} fs apart, not {given_fs:g} fs: --timestep-fs is the time"
                " between two frames, the time step times the number of steps between them"
            )
        return fitting[0]

    def _time_between(self, counters: FloatArray, chosen: IntArray) -> float:
        """Return the time between two frames, as the file says it; it must be the same for all."""
        times = np.array([self._records[index].time for index in chosen], dtype=float)
        steps = counters[chosen]
        if self._offset:
            return float(np.median(np.diff(times)))
        per_step = (times[-1] - times[0]) / (steps[-1] - steps[0])
        found = float(per_step * np.median(np.diff(steps)))
        deviation = np.abs(times - times[0] - per_step * (steps - steps[0]))
        if found <= 0 or deviation.max() > max(0.01 * found, _TIME_PRECISION * float(np.abs(times).max())):
            worst = self._records[int(chosen[int(deviation.argmax())])].place
            raise TrajectoryReadError(
                f"{self.name}: its time does not grow in step with its counter (worst at {worst}); frames must be"
                " equally spaced in time"
            )
        return found

    def _doubt(self, counters: FloatArray | None, chosen: IntArray, given_fs: float) -> None:
        """Refuse the integrator's step in place of the time between frames; say so where that is strangely long."""
        if counters is None or not self.counts_timesteps:
            return
        steps = float(np.median(np.diff(counters[chosen])))
        timestep = given_fs / steps
        # A counter that grows by one may be that of frames, as other programs write it.
        if steps <= 1 or _USUAL_TIMESTEPS_FS[0] <= timestep <= _USUAL_TIMESTEPS_FS[1]:
            return
        says = (
            f"{self.name} has a frame every {steps:g} steps: {given_fs:g} fs between frames make a time step of"
            f" {timestep:.3g} fs; --timestep-fs is the time between two frames of the file, the time step times"
            f" {steps:g}"
        )
        if timestep < _USUAL_TIMESTEPS_FS[0]:
            raise TrajectoryReadError(says)
        self.notes.append(says)

    def _kept(self, chosen: IntArray) -> IntArray:
        """Return which of the frames that are in memory are chosen."""
        return np.asarray(chosen[chosen % self.every == 0] // self.every)

    def _taken(self, kept: IntArray) -> tuple[FloatArray, FloatArray]:
        positions = self._positions
        if len(kept) == len(self._cells):
            positions.resize((len(kept), *positions.shape[1:]), refcheck=False)
        elif np.array_equal(kept, np.arange(kept[0], kept[-1] + 1)):
            positions = positions[kept[0] : kept[-1] + 1]
        else:
            positions = positions[kept]
        cells = [self._cells[index] for index in kept]
        if all(cell is cells[0] for cell in cells):
            cells = cells[:1]
        return positions, np.array(cells)

    def _without_standing(
        self, positions: FloatArray, cells: FloatArray, records: Sequence[_Record]
    ) -> tuple[FloatArray, FloatArray, list[_Record]]:
        """Drop frames that are the same as those before where the file has no counter; say where atoms jump."""
        steps = image_steps_A(positions, cells)
        same = np.flatnonzero(steps == 0) + 1
        usual = float(np.median(steps))
        jumps = np.flatnonzero((steps > _JUMP * usual) & (steps > _SEAM * np.quantile(steps, 0.95))) + 1
        if usual > 0 and len(jumps):
            where = _listed([records[index].place for index in jumps.tolist()])
            self.notes.append(
                f"{self.name}: atoms jump farther than usual (by {steps.max():.1f} Å instead of {usual:.2f} Å) before"
                f" {where}: frames may be missing there, or another run begins"
            )
        if not len(same) or len(same) > max(1, _MOST_STANDING * len(records)):
            return positions, cells, list(records)
        where = _listed([records[index].place for index in same.tolist()])
        self.notes.append(f"{self.name}: frames that are the same as those before are dropped: {where}")
        mask = np.ones(len(records), dtype=bool)
        mask[same] = False
        kept_cells = cells if len(cells) == 1 else cells[mask]
        return positions[mask], kept_cells, [record for record, keep in zip(records, mask, strict=True) if keep]

    def _say_strain(self, cells: FloatArray) -> None:
        if len(cells) == 1:
            return
        strain = float(np.abs(cells @ np.linalg.inv(cells.mean(axis=0)) - np.eye(3)).max())
        if strain > _LARGEST_STRAIN:
            self.notes.append(
                f"{self.name}: the cell deviates by up to {100 * strain:.0f} % from its mean, in which displacements"
                " are measured: it is not equilibrated, or deformed"
            )


def _distance(one: RawFrame, other: RawFrame) -> float:
    assert other.cell_A is not None
    return image_distance_A(one.positions_A, other.positions_A, other.cell_A)


def _odd_steps(counters: FloatArray) -> tuple[float, IntArray]:
    """Return the usual difference of two counters, and the indices of those that differ from it."""
    steps = np.diff(counters)
    usual = float(np.median(steps))
    allowed = max(TIME_TOLERANCE * abs(usual), min(_TIME_RESOLUTION_FS, 0.1 * abs(usual)))
    return usual, np.flatnonzero(np.abs(steps - usual) > allowed)


def _listed(words: Sequence[str], most: int = 5) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
