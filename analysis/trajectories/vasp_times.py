"""The time between frames of VASP's runs: POTIM (fs) times, for XDATCAR, NBLOCK.

XDATCAR does not say it; vasprun.xml, OUTCAR and INCAR do. Those that lie beside an XDATCAR may belong to another run
of the same folder, so that what they say is told, and never taken by itself.
Tags: https://www.vasp.at/wiki/index.php/POTIM, https://www.vasp.at/wiki/index.php/NBLOCK.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from .frames import DAMAGED, TrajectoryReadError, open_binary

BESIDE = ("vasprun.xml", "OUTCAR", "INCAR")
"""Files beside an XDATCAR that say its time, the surest first."""
ASE_FORMATS = ("vasp-xml", "vasp-out")
"""What ASE calls the files that bear both frames and POTIM."""
# POTIM stands behind the potentials' headers, of which there may be many.
_START_BYTES = 2_000_000
_END_BYTES = 1000
_TAG = r"(?:<i[^>]*name=\"{0}\"[^>]*>|(?:^|;)[ \t]*{0}[ \t]*=)[ \t]*([-+.\deE]+)"


def is_cut_short(path: Path) -> bool:
    """Return whether a vasprun.xml ends before its end, as that of a run that was killed."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _END_BYTES))
        return b"</modeling>" not in stream.read()


def tags(path: Path) -> dict[str, float]:
    """Return POTIM (fs), NBLOCK and IBRION as far as the beginning of a file has them."""
    start = b""
    with suppress(*DAMAGED, OSError, TrajectoryReadError), open_binary(path) as stream:
        start = stream.read(_START_BYTES)
    text = re.sub(r"[#!].*", "", start.decode("latin-1"))
    found = {}
    for tag in ("POTIM", "NBLOCK", "IBRION"):
        values = re.findall(_TAG.format(tag), text, re.MULTILINE | re.IGNORECASE)
        with suppress(ValueError, IndexError):
            found[tag] = float(values[-1])
    return found


def interval_beside(path: Path) -> tuple[float, str] | None:
    """Return the time between frames (fs) that a file beside an XDATCAR says, and its words; None if there is none."""
    for name in BESIDE:
        file = path.parent / name
        found = tags(file) if file.is_file() else {}
        if found.get("POTIM", 0.0) > 0 and found.get("IBRION", 0.0) == 0:
            blocks = found.get("NBLOCK", 1.0)
            words = f"{file} says POTIM = {found['POTIM']:g}" + (f" and NBLOCK = {blocks:g}" if blocks != 1 else "")
            return found["POTIM"] * blocks, words
    return None


def step_of(path: Path, name: str) -> float | None:
    """Return the time between two steps of a vasprun.xml or OUTCAR (fs); None if it does not say it.

    Raises
    ------
    TrajectoryReadError
        If the file is that of a relaxation.
    """
    found = tags(path)
    if found.get("IBRION", 0.0) > 0:
        raise TrajectoryReadError(
            f"{name} is a relaxation (IBRION = {found['IBRION']:g}), not molecular dynamics: its steps have no time"
        )
    return found["POTIM"] if found.get("POTIM", 0.0) > 0 and "IBRION" in found else None
