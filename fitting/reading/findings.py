"""What was found in the frames of a file: one line for the same thing in many frames."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

_SHOWN_RANGES = 8
_SHOWN_LINES = 10
_SHOWN_NAMES = 20


class Numbered(Protocol):
    """Something with the number of its frame and the line of the file where that begins."""

    @property
    def number(self) -> int:
        """Number of the frame, from 0."""

    @property
    def line(self) -> int:
        """Line of the file, from 1."""


class Findings:
    """Texts and the frames that each is about, in the order in which they were found."""

    def __init__(self) -> None:
        self._frames: dict[str, list[Numbered]] = {}

    def add(self, text: str, frame: Numbered) -> None:
        """Say something about a frame."""
        self._frames.setdefault(text, []).append(frame)

    def __bool__(self) -> bool:
        return bool(self._frames)

    def __iter__(self) -> Iterator[tuple[str, tuple[Numbered, ...]]]:
        return ((text, tuple(frames)) for text, frames in self._frames.items())

    def lines(self) -> list[str]:
        """Return one line for each text: ``frames 3-7, 12 (the first at line 45): no energy``."""
        found = [f"{places(frames)}: {text}" for text, frames in self._frames.items()]
        rest = len(found) - _SHOWN_LINES
        return [*found[:_SHOWN_LINES], f"... and {rest} more of this kind"] if rest > 1 else found


def places(frames: Sequence[Numbered]) -> str:
    """Return the frames' numbers and the line where the first begins."""
    first = f"line {frames[0].line}" if len(frames) == 1 else f"the first at line {frames[0].line}"
    return f"{frame_numbers(frame.number for frame in frames)} ({first})"


def frame_numbers(numbers: Iterable[int]) -> str:
    """Return numbers of frames with ranges put together: ``frames 3-7, 12``."""
    ordered = sorted(set(numbers))
    ranges: list[list[int]] = []
    for number in ordered:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [f"{first}" if first == last else f"{first}-{last}" for first, last in ranges[:_SHOWN_RANGES]]
    rest = sum(last - first + 1 for first, last in ranges[_SHOWN_RANGES:])
    text = ", ".join(shown) + (f" and {rest} more" if rest else "")
    return f"{'frame' if len(ordered) == 1 else 'frames'} {text}"


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``; did you mean X?`` with the candidate nearest to a word, empty if none is near."""
    names = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"; did you mean {names[near[0]]}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """Return names with commas between, the first of many."""
    every = list(names)
    rest = len(every) - _SHOWN_NAMES
    return ", ".join(every[:_SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "") if every else "nothing"
