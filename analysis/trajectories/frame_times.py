"""Step and time of a frame, as programs write them beside structures: keys, units and words of comment lines.

Known are ``step``, ``Timestep``, ``frame`` and their like; ``time`` with a unit in its key or value (``time_fs``,
``time[ps]``, ``0.2 ps``) or beside it (``time_unit``); CP2K's and GPUMD's, which are in fs (https://manual.cp2k.org,
https://gpumd.org). A ``time`` without unit is one of an unknown unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_STEPS = (
    "i",
    "timestep",
    "step",
    "md_step",
    "mdstep",
    "nstep",
    "istep",
    "ionic_step",
    "iteration",
    "frame",
    "snapshot",
)
_UNITS_FS = {
    "fs": 1.0,
    "femtosecond": 1.0,
    "femtoseconds": 1.0,
    "ps": 1e3,
    "picosecond": 1e3,
    "picoseconds": 1e3,
    "ns": 1e6,
    "nanosecond": 1e6,
    "nanoseconds": 1e6,
    "s": 1e15,
}
_UNIT_BESIDE = ("time_unit", "time_units", "unit_of_time", "units_time")
_UNIT = "|".join(sorted(_UNITS_FS, key=len, reverse=True))
_TIME_KEY = re.compile(rf"(?:(?:md|sim|simulation|current|trajectory)_)?(time|t)(?:_(?:in_)?({_UNIT}))?")
_NUMBER = r"[-+]?\d*\.?\d+(?:[eEdD][-+]?\d+)?"
_WITH_UNIT = re.compile(rf"({_NUMBER})\s*\[?({_UNIT})\]?", re.IGNORECASE)
_WORD_OF_STEP = re.compile(
    r"\b(?:step|timestep|time step|md step|frame|iteration|snapshot)\b\s*[:#=]?\s*(\d+)(?![.\d])", re.IGNORECASE
)
_WORD_OF_TIME = re.compile(rf"\b(?:time|t)\b\s*[:=]?\s*({_NUMBER})\s*({_UNIT})\b", re.IGNORECASE)


class FrameTime(NamedTuple):
    """When a frame was.

    Attributes
    ----------
    step
        Its counter; None where there is none.
    time
        Its time (fs), or, with ``unit_unknown``, the number that stands there; None where there is none.
    """

    step: float | None
    time: float | None
    unit_unknown: bool


def frame_time(pairs: Mapping[str, object], text: str = "") -> FrameTime:
    """Return when a frame was, by what is noted beside it.

    Parameters
    ----------
    pairs
        Keys, as they are written, and their values.
    text
        The line in which words such as ``Step: 100`` may stand instead.
    """
    by_name = {_plain(key): (key, str(value)) for key, value in pairs.items()}
    step = next((found for name in _STEPS if name in by_name and (found := _float(by_name[name][1])) is not None), None)
    if step is None and (match := _WORD_OF_STEP.search(text)):
        step = float(match.group(1))
    for name, (key, value) in by_name.items():
        if (time := _time_of(name, key, value, by_name)) is not None:
            return FrameTime(step, *time)
    if match := _WORD_OF_TIME.search(text):
        return FrameTime(step, _number(match.group(1)) * _UNITS_FS[match.group(2).lower()], False)
    return FrameTime(step, None, False)


def _time_of(name: str, key: str, value: str, by_name: Mapping[str, tuple[str, str]]) -> tuple[float, bool] | None:
    match = _TIME_KEY.fullmatch(name)
    if match is None:
        return None
    unit = match.group(2)
    if with_unit := _WITH_UNIT.fullmatch(value.strip().rstrip(",")):
        return _number(with_unit.group(1)) * _UNITS_FS[with_unit.group(2).lower()], False
    found = _float(value)
    # T is a temperature, and t alone may be anything.
    if found is None or (match.group(1) == "t" and (unit is None or not key.startswith("t"))):
        return None
    if unit is None:
        beside = (by_name[one][1].strip().lower() for one in _UNIT_BESIDE if one in by_name)
        unit = next((one for one in beside if one in _UNITS_FS), None)
    if unit is not None:
        return found * _UNITS_FS[unit], False
    cp2k = name == "time" and "i" in by_name
    gpumd = key == "Time" and "timestep" not in by_name
    return found, not (cp2k or gpumd)


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")


def _number(text: str) -> float:
    return float(text.lower().replace("d", "e"))


def _float(text: str) -> float | None:
    try:
        return _number(text.strip().rstrip(","))
    except ValueError:
        return None
