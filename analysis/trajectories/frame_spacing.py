"""Whether frames are equally far apart, and by what time: by their counters, their times, and what is given.

A few frames at the beginning that are not (a minimisation) and single ones between the others are left out; gaps are
refused, and so is a given time that contradicts the file's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase.units import fs

from ...core.arrays import FloatArray, IntArray
from .frames import RawFrame, TornFrame, TrajectoryReadError, listed, listed_torn, place

# Two intervals are equal if they differ by less than this part, or by the rounding of times in text (fs).
TIME_TOLERANCE = 1e-3
_TIME_RESOLUTION_FS = 2e-3
# Times in text have six digits or more.
_TIME_PRECISION = 1e-5
# Parts of the frames that may be dropped because they are not equally spaced.
_LARGEST_BEGINNING = 0.1
_MOST_BETWEEN = 0.1
# Rounded times may be off by this part of their distance: a frame that is missing makes a whole one.
_COARSEST = 0.3
_ROUNDED = 1e-4
# A time step outside is more likely a misunderstanding (fs).
_USUAL_TIMESTEPS_FS = (0.099, 10.01)
_THE_TIME_BETWEEN = "--timestep-fs is the time between two frames, the time step times the number of steps between them"


class FrameRecord(NamedTuple):
    """What is kept of every frame.

    Attributes
    ----------
    counter
        Its step, or its time (fs) where it has no step; None where it has neither.
    time
        Its time (fs, or of an unknown unit); None where it has none.
    number, line
        Where it is in the file.
    """

    counter: float | None
    time: float | None
    number: int
    line: int

    @property
    def place(self) -> str:
        """Where the frame is, for messages."""
        return place(self.number, self.line)


@dataclass(frozen=True)
class Spacing:
    """The frames of a file in the order of time, and what it says of their distance.

    Attributes
    ----------
    name
        What messages call the file.
    records
        Of all frames.
    first
        The first frame, as all others are.
    torn
        The frames that were not whole.
    notes
        What must be said is added to it.
    every
        Every n-th frame is kept.
    counts_timesteps
        Whether steps are those of an integrator, so that the time step follows from the time between frames.
    joined
        Whether the counter began again somewhere, so that steps and times have no common zero.
    """

    name: str
    records: Sequence[FrameRecord]
    first: RawFrame
    torn: Sequence[TornFrame]
    notes: list[str]
    every: int = 1
    counts_timesteps: bool = False
    joined: bool = False

    @property
    def _has_steps(self) -> bool:
        return self.first.step is not None

    def shown(self, counter: float) -> str:
        """Return a counter as messages show it."""
        return f"step {counter:.0f}" if self._has_steps else f"{counter:g} fs"

    def _shown_interval(self, counter: float) -> str:
        return f"{counter:g} steps" if self._has_steps else f"{counter:g} fs"

    def counters(self) -> FloatArray | None:
        """Return the counters of all frames; None where there are none, or where they do not count."""
        found = [record.counter for record in self.records]
        if found[0] is None:
            self.notes.append(
                f"{self.name} does not count its frames: they are taken as equally far apart, and no gap would be seen"
            )
            return None
        counters = np.array(found, dtype=float)
        if counters[0] == counters[-1]:
            self.notes.append(
                f"{self.name}: all frames say {self.shown(counters[0])}: their counter is not used, they are taken as"
                " equally far apart, and no gap would be seen"
            )
            return None
        return counters

    def equally_spaced(self, counters: FloatArray) -> IntArray:
        """Return the indices of the frames that are, without a beginning or single ones that are not.

        Raises
        ------
        TrajectoryReadError
            If frames are missing.
        """
        usual, odd = self._odd_steps(counters)
        everything = np.arange(len(counters))
        if not len(odd):
            return everything
        beginning = int(odd[-1]) + 1
        if beginning <= max(1, _LARGEST_BEGINNING * len(counters)) and len(counters) - beginning > 1:
            self.notes.append(
                f"{self.name}: the first {beginning} frames are dropped: up to {self.records[beginning].place} they are"
                f" not {self._shown_interval(usual)} apart as the others are"
            )
            return everything[beginning:]
        remainder = np.round(np.mod(counters - counters[len(counters) // 2], usual) / usual, 3) % 1.0
        values, counts = np.unique(remainder, return_counts=True)
        regular = everything[remainder == values[counts.argmax()]]
        dropped = len(counters) - len(regular)
        if (
            len(regular) > 2
            and dropped <= _MOST_BETWEEN * len(counters)
            and not len(self._odd_steps(counters[regular])[1])
        ):
            if self.every > 1:
                raise TrajectoryReadError(
                    f"{self.name} has {dropped} frames between the equally spaced ones; leave --every out, or take them"
                    " out of the file"
                )
            others = listed([self.records[index].place for index in np.setdiff1d(everything, regular)])
            self.notes.append(f"{self.name}: frames between the equally spaced ones are dropped: {others}")
            return regular
        raise TrajectoryReadError(self._gaps(counters, usual, odd))

    def _odd_steps(self, counters: FloatArray) -> tuple[float, IntArray]:
        """Return the usual difference of two counters, and the indices of those that differ from it."""
        steps = np.diff(counters)
        usual = float(np.median(steps))
        rounding = min(_TIME_RESOLUTION_FS, 0.1 * abs(usual))
        if not self._has_steps:
            rounding = max(rounding, min(_resolution(counters), _COARSEST * abs(usual)))
        return usual, np.flatnonzero(np.abs(steps - usual) > max(TIME_TOLERANCE * abs(usual), rounding))

    def _gaps(self, counters: FloatArray, usual: float, odd: IntArray) -> str:
        steps = np.diff(counters)
        change = np.flatnonzero(np.abs(np.diff(steps)) > TIME_TOLERANCE * abs(usual)) + 1
        if len(change) == 1 and 1 < change[0] < len(steps) - 1 and not self.torn:
            at = int(change[0])
            dense = "first" if steps[0] < steps[-1] else "second"
            return (
                f"{self.name}: its frames are {self._shown_interval(steps[0])} apart up to {self.shown(counters[at])}"
                f" ({self.records[at].place}), and {self._shown_interval(steps[-1])} from there on: give one part, or"
                f" leave frames out of the {dense} one"
            )
        places = [
            f"{self.shown(counters[index])} and {self.shown(counters[index + 1])} ({self.records[index].place} and"
            f" {self.records[index + 1].place})"
            for index in odd
        ]
        torn = listed_torn(self.torn)
        return (
            f"{self.name}: its frames are not equally spaced, {self._shown_interval(usual)} apart, but between"
            f" {listed(places)}{f'; not whole are {torn}' if torn else ''}. Cut the file where frames are missing"
        )

    def interval_fs(
        self, counters: FloatArray | None, chosen: IntArray, given_fs: float | None, hint: str = ""
    ) -> float:
        """Return the time between two frames of the file (fs).

        Parameters
        ----------
        counters, chosen
            Of all frames, and the indices of those that are equally spaced.
        given_fs
            What the user says it is.
        hint
            Where else it may stand, for the message where nobody says it.

        Raises
        ------
        TrajectoryReadError
            If it is unknown, unequal, or not ``given_fs``.
        """
        if self.first.time_fs is None or counters is None:
            if given_fs is None:
                raise TrajectoryReadError(
                    f"{self.name} does not say the time between its frames; give it (--timestep-fs){hint}"
                )
            self._doubt(counters, chosen, given_fs)
            return given_fs
        found, error = self._time_between(counters, chosen)
        # Of an unknown unit: ps, fs, and that of ASE's dynamics.
        candidates = [found] if not self.first.unit_unknown else [1e3 * found, found, found / fs]
        if given_fs is None:
            if self.first.unit_unknown:
                raise TrajectoryReadError(
                    f"{self.name} has a frame every {found:g}, and does not say of what: give --timestep-fs"
                    f" {1e3 * found:g} if it is ps (LAMMPS' units metal), {found:g} if it is fs (real),"
                    f" {found / fs:g} if it is ASE's unit"
                )
            if error > TIME_TOLERANCE:
                raise TrajectoryReadError(
                    f"{self.name} has a frame every {found:g} fs, but its times have so few digits that this may be"
                    f" wrong by {100 * error:.2g} %: give it (--timestep-fs)"
                )
            return found
        fitting = [one for one in candidates if abs(one - given_fs) <= max(TIME_TOLERANCE, error) * one]
        if not fitting:
            says = " or ".join(f"{one:g}" for one in candidates)
            raise TrajectoryReadError(
                f"{self.name} says that its frames are {says} fs apart, not {given_fs:g} fs: {_THE_TIME_BETWEEN}"
            )
        return fitting[0] if error <= TIME_TOLERANCE else given_fs

    def _time_between(self, counters: FloatArray, chosen: IntArray) -> tuple[float, float]:
        """Return the time between two frames, which must be the same for all, and its relative error by rounding."""
        times = np.array([self.records[index].time for index in chosen], dtype=float)
        steps = counters[chosen]
        if self.joined:
            return float(np.median(np.diff(times))), 0.0
        if not self._has_steps:
            steps = np.arange(len(times), dtype=float)  # what is to be compared is not the time itself
        per_step = (times[-1] - times[0]) / (steps[-1] - steps[0])
        found = float(per_step * np.median(np.diff(steps)))
        deviation = np.abs(times - times[0] - per_step * (steps - steps[0]))
        if found <= 0 or deviation.max() > max(0.01 * found, _TIME_PRECISION * float(np.abs(times).max())):
            worst = self.records[int(chosen[int(deviation.argmax())])].place
            raise TrajectoryReadError(
                f"{self.name}: its time does not grow in step with its counter (worst at {worst}); frames must be"
                " equally spaced in time"
            )
        return found, 2 * float(deviation.max()) / float(times[-1] - times[0])

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


def _resolution(times: FloatArray) -> float:
    """Return the power of ten that times are rounded to (fs), with a little for what computers make of it."""
    for digits in range(-6, 7):
        scaled = times * 10.0**digits
        if np.abs(scaled - np.rint(scaled)).max() < _ROUNDED:
            return 1.001 * 10.0**-digits
    return 0.0
