"""What can be wrong in a campaign file, and how it is told to the user: all of it, at once."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import InputError

Key = tuple[str | int, ...]
"""Where a value stands: ("sampling", "temperature_K") or ("supercell", 2)."""

MAX_SHOWN_VALUE = 60
ANY_ENTRY = "[n]"
"""Stands in a key for the entries of a list."""


class _Absent:
    """No value: the key is missing, or its value says nothing."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``message`` is a phrase that continues the key ("must be greater than 0"); ``related`` holds further keys that
    the problem depends on.
    """

    key: Key
    message: str
    value: Any = ABSENT
    allowed: str | None = None
    suggestion: str | None = None
    line: int | None = None
    related: tuple[Key, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {
            "key": dotted(self.key),
            "line": self.line,
            "value": None if self.value is ABSENT else show_value(self.value),
            "problem": self.message,
            "allowed": self.allowed,
            "suggestion": self.suggestion,
        }

    def render(self) -> str:
        """Return the lines for the terminal."""
        place = f"line {self.line}" if self.line else ""
        subject = dotted(self.key)
        if self.value is not ABSENT:
            subject += f" = {show_value(self.value)}"
        text = f"  {place:<9} {subject}: {self.message}" if subject else f"  {place:<9} {self.message}"
        if self.suggestion:
            text += f"; did you mean {self.suggestion}?"
        if self.allowed:
            text += f"\n{'':12}allowed: {self.allowed}"
        return text


class CampaignFileError(InputError):
    """The campaign file cannot be used; ``problems`` lists every reason."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__(self.render())

    def render(self) -> str:
        """Return the whole message: file, then every problem with line, key, value and what is allowed."""
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n".join([f"{self.path}: {count}", *(problem.render() for problem in self.problems)])

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        return {"file": str(self.path), "problems": [problem.as_dict() for problem in self.problems]}


class CampaignInconsistency(ValueError):
    """Values that are each valid and do not fit together; raised inside the model, told like any other problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{dotted(problem.key)}: {problem.message}" for problem in problems))


def dotted(key: Key) -> str:
    """Return ``supercell[2]`` or ``sampling.temperature_K`` for a key."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text and part != ANY_ENTRY else "") + _printable(part)[:MAX_SHOWN_VALUE]
    return text


def show_value(value: Any) -> str:
    """Return a value as it may stand in a YAML file, on one line and cut to a readable length."""
    text = _printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= MAX_SHOWN_VALUE else text[: MAX_SHOWN_VALUE - 1] + "…"


def _printable(text: str) -> str:
    """Escape what would break the report into further lines or drive the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that ``word`` was most likely meant to be, None if none is near."""
    names = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word.lower()[:MAX_SHOWN_VALUE], names, n=1, cutoff=0.6)
    return names[matches[0]] if matches else None
