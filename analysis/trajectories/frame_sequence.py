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
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ...core.arrays import FloatArray, IntArray
from .frame_motion import SEAM, check_order, check_scale, moving, say_jumps, say_strain
from .frame_spacing import TIME_TOLERANCE, FrameRecord, Spacing
from .frames import RawFrame, TornFrame, TrajectoryReadError, listed, listed_torn
from .given_cells import GivenCells
from .unwrapping import CELL_TOLERANCE_A, change_of_vectors, image_distance_A, image_distances_A, image_steps_A

SAME_FRAME_A = 2e-3
"""Root-mean-square distance below which two frames are the same: the precision of positions in text (Å)."""
_STEPS_AT_SEAM = 50
# Fewer atoms may come back to the same place by chance.
_FEWEST_ATOMS_TO_TELL = 4
_FIRST_GROWTH = 64
_SAME_VECTORS = np.eye(3)
# A frame that begins again goes on from an earlier one only if that is so much nearer than the one before.
_MUCH_NEARER = 0.25


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
    given_cells
        The cells of a file that has none.
    counts_timesteps
        Whether steps are those of an integrator, so that the time step follows from the time between frames.
    hints
        Where else ``time`` and ``cell`` may be found, for messages.
    """

    def __init__(
        self,
        name: str,
        notes: list[str],
        every: int = 1,
        given_cells: GivenCells | None = None,
        counts_timesteps: bool = False,
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.hints = hints or {}
        self.counts_timesteps = counts_timesteps
        self.notes = notes
        self.every = every
        self.given_cells = given_cells
        self._positions = np.empty((0, 0, 3))
        self._cells: list[FloatArray] = []
        self._records: list[FrameRecord] = []
        self._first: RawFrame | None = None
        self._last: RawFrame | None = None
        self._vectors = _SAME_VECTORS
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
        frame = self._with_cell(frame)
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

    def _with_cell(self, frame: RawFrame) -> RawFrame:
        where = f"{self.name}: {frame.place}"
        if frame.cell_A is None:
            if self.given_cells is None:
                raise TrajectoryReadError(
                    f'{where} has no cell; give it (--cell "a b c", "a b c alpha beta gamma" in Å, or a file that has'
                    f" it){self.hints.get('cell', '')}"
                )
            return frame._replace(cell_A=self.given_cells.of(frame))
        if not np.isfinite(frame.cell_A).all() or abs(np.linalg.det(frame.cell_A)) < CELL_TOLERANCE_A:
            raise TrajectoryReadError(f"{where} has no cell with a volume; a conductor needs one")
        if self.given_cells is not None and self._first is None:
            self._compare_with_given(frame.cell_A, self.given_cells.of(frame), where)
        return frame

    def _check(self, frame: RawFrame) -> None:
        where = f"{self.name}: {frame.place}"
        if not np.isfinite(frame.positions_A).all():
            raise TrajectoryReadError(f"{where} has a position that is no finite number")
        for what, value in (("step", frame.step), ("time", frame.time_fs)):
            if value is not None and not np.isfinite(value):
                raise TrajectoryReadError(f"{where} has a {what} that is no finite number")
        if self._first is None:
            self._first = frame
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

    @staticmethod
    def _compare_with_given(cell: FloatArray, given: FloatArray, where: str) -> None:
        # Of a given "a b c alpha beta gamma" the orientation is a convention: lengths and angles are compared.
        metrics = [one @ one.T for one in (cell, given)]
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
        self._records.append(FrameRecord(counter, frame.time_fs, frame.number, frame.line))
        self._last = frame

    def _continued(self, frame: RawFrame) -> FloatArray:
        """Return the vectors of the frame's lattice that go on from those of the frame before."""
        cell = frame.cell_A
        assert cell is not None
        if not self._cells:
            return cell
        before = self._cells[-1]
        same = cell is before or np.abs(cell - before).max() <= CELL_TOLERANCE_A
        try:
            vectors = _SAME_VECTORS if same else change_of_vectors(before, cell)
        except TrajectoryReadError as error:
            raise TrajectoryReadError(
                f"{self.name}: between {self._records[-1].place} and {frame.place} {error}"
            ) from None
        if vectors is not self._vectors and not np.array_equal(vectors, self._vectors):
            self._vectors = vectors
            self._say("flip", frame.place)
        return before if same else np.asarray(vectors @ cell)

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
        if (behind := self._begun_behind(frame)) is not None:
            self._drop(behind, f"{self._records[behind].place} and on, before which {frame.place} begins again")
            last = self._records[-1].counter or 0.0
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

    def _begun_behind(self, frame: RawFrame) -> int | None:
        """Return the index from which on frames are written again by one whose counter begins again, if there is."""
        assert self._last is not None
        assert frame.cell_A is not None
        kept = self._positions[: len(self._cells)]
        if len(kept) < 2 or len(frame.positions_A) < _FEWEST_ATOMS_TO_TELL:
            return None
        distances = image_distances_A(kept, frame.positions_A, frame.cell_A)
        nearest = int(distances.argmin())
        index = nearest * self.every
        near = float(distances[nearest]) < _MUCH_NEARER * _distance(self._last, frame)
        if not near or index == len(self) - 1 or not self._goes_on_from(frame, index):
            return None
        if self.every > 1:
            raise TrajectoryReadError(
                f"{self.name}: the counter begins again at {frame.place}, which goes on from about"
                f" {self._records[index].place} and not from the frame before; leave --every out to find it"
            )
        return max(index + (distances[nearest] > SAME_FRAME_A), 1)

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
        farthest = max(SEAM * float(np.median(usual)), float(usual.max()))
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
            raise TrajectoryReadError(f"{self._holds(len(self))}, all in one file{torn}")
        self._say_events()
        first = self._first
        assert first is not None
        spacing = self._spacing()
        counters = spacing.counters()
        chosen = np.arange(len(self)) if counters is None else spacing.equally_spaced(counters)
        interval_fs = spacing.interval_fs(counters, chosen, given_fs, self.hints.get("time", ""))
        kept = self._kept(chosen)
        positions, cells = self._taken(kept)
        records = [self._records[index * self.every] for index in kept]
        if len(records) > 1:
            steps = image_steps_A(positions, cells)
            say_jumps(steps, records, self.name, self.notes)
            mask = moving(steps, records, self.name, self.notes) if counters is None else None
            if mask is not None:
                positions, cells = positions[mask], cells if len(cells) == 1 else cells[mask]
                records = [record for record, keep in zip(records, mask, strict=True) if keep]
        if len(records) < 2:
            raise TrajectoryReadError(self._holds(len(records)))
        say_strain(cells, self.name, self.notes)
        check_scale(positions, cells, self.name)
        if not first.identified:
            check_order(positions, cells, first.symbols, records, self.name, self.notes)
        return OrderedFrames(
            symbols=first.symbols,
            positions_A=positions,
            cells_A=cells,
            interval_fs=interval_fs * self.every,
            unwrapped=first.unwrapped,
            counters=None if counters is None else np.array([counters[index * self.every] for index in kept]),
            places=np.array([(record.number, record.line) for record in records]),
        )

    def _holds(self, count: int) -> str:
        return f"{self.name} holds {count} {'frame' if count == 1 else 'frames'}; two or more are needed"

    def _spacing(self) -> Spacing:
        assert self._first is not None
        return Spacing(
            self.name,
            self._records,
            self._first,
            self._torn,
            self.notes,
            self.every,
            self.counts_timesteps,
            joined=bool(self._offset),
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
                self.notes.append(f"{self.name}: {text(listed(self._events[kind]), len(self._events[kind]))}")
        if self._torn:
            self.notes.append(f"{self.name}: frames that are not whole are dropped: {listed_torn(self._torn)}")

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


def _distance(one: RawFrame, other: RawFrame) -> float:
    assert other.cell_A is not None
    return image_distance_A(one.positions_A, other.positions_A, other.cell_A)
