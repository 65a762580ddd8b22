"""VASP's XDATCAR: positions, a header before the first configuration or, if the cell changes, before each.

The number of a configuration has six digits; stars stand where it has more, and it is counted on. Early VASP 5 writes a
blank line in place of the number; VASP 4 writes neither cell vectors nor elements, and is refused with what to add.
Format: https://www.vasp.at/wiki/index.php/XDATCAR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...core.arrays import FloatArray
from .frames import Lines, RawFrame, TornFrame, TrajectoryReadError, checked_symbols, numbers, wrong_line

CONFIGURATION = re.compile(rb"(?:(direct|cartesian)\s+configuration|konfig)\s*=\s*(\d+|\*+)?", re.IGNORECASE)
# Lines of a header behind its title: scale, three vectors, symbols, counts.
_HEADER = 6
_STEPS_TO_GO_ON = 2
_VASP_4 = b"CAR"  # alone in the fourth line of its five


class _Header(NamedTuple):
    cell_A: FloatArray
    symbols: tuple[str, ...]
    scale: FloatArray


class _Start(NamedTuple):
    line: int
    cartesian: bool
    step: float | None
    overflows: bool


def read_xdatcar(lines: Lines, notes: list[str] | None = None) -> Iterator[RawFrame | TornFrame]:
    """Yield the configurations of an XDATCAR; the numbers that they bear are their steps.

    Parameters
    ----------
    notes
        What a reader of the results should know is added to it.

    Raises
    ------
    TrajectoryReadError
        If the header cannot be read, atoms change, or a position is no finite number.
    """
    header: _Header | None = None
    number, whole = 0, True
    steps: list[float] = []
    name = str(lines.path)
    while True:
        between, start = _to_next(lines, header is not None)
        if start is None:
            break
        number += 1
        line = start.line
        found = _header(between, name, line)
        if found is not None and header is not None and found.symbols != header.symbols:
            raise TrajectoryReadError(
                f"{name}: frame {number} (line {line}) has other atoms, or another order, than the first; only a fixed"
                " list of atoms can be followed"
            )
        if found is None and header is not None and whole and any(one.strip() for one in between):
            raise TrajectoryReadError(f"{name}: the lines before the configuration in line {line} are no header")
        header = found or header
        if header is None:
            raise TrajectoryReadError(f"{name}: {_missing(between)} (before the first configuration in line {line})")
        step = start.step
        if start.overflows and len(steps) == _STEPS_TO_GO_ON:
            step = 2 * steps[-1] - steps[-2]
            said = (
                f"{name}: numbers of configurations overflow (******): frames are counted on, and no gap would be seen"
            )
            if notes is not None and said not in notes:
                notes.append(said)
        if step is not None:
            steps = [*steps, step][-_STEPS_TO_GO_ON:]
        frame = _frame(lines, header, number, start._replace(step=step))
        whole = isinstance(frame, RawFrame)
        yield frame
    if lines.damaged:
        yield TornFrame(number + 1, lines.number, "its compressed data end early or are damaged")
    elif any(one.strip() for one in between):
        yield TornFrame(number + 1, lines.number, f"the file ends in line {lines.number}, before its atoms")


def is_xdatcar(start: Sequence[bytes]) -> bool:
    """Return whether the first lines of a file are those of an XDATCAR of any version."""
    if any(CONFIGURATION.search(line) for line in start[:10]) or _is_of_vasp_4(start):
        return True
    return any(
        not line.strip() and _is_header(start[:index]) and _is_position(start[index + 1])
        for index, line in enumerate(start[:9])
        if index + 1 < len(start)
    )


def _is_of_vasp_4(start: Sequence[bytes]) -> bool:
    return len(start) > 4 and start[3].strip() == _VASP_4 and all(one.isdigit() for one in start[0].split())


def _is_header(between: Sequence[bytes]) -> bool:
    """Return whether lines end with three vectors, symbols perhaps, and numbers of atoms."""
    rows = [one.split() for one in between if one.strip()]
    if len(rows) < _HEADER or not all(word.isdigit() for word in rows[-1]):
        return False
    last = -1 if _is_position(b" ".join(rows[-2])) else -2
    return all(_is_position(b" ".join(row)) for row in rows[last - 3 : last])


def _is_position(line: bytes) -> bool:
    words = line.split()[:3]
    try:
        return len([float(word) for word in words]) == 3
    except ValueError:
        return False


def _missing(between: Sequence[bytes]) -> str:
    """Return what the header lacks."""
    if _is_of_vasp_4(between):
        return (
            "VASP 4 wrote neither cell vectors nor elements: put seven lines in place of its first five, title, scale,"
            " three vectors, symbols and numbers of atoms, as they stand in the POSCAR of VASP 5"
        )
    if _is_header(between) and _is_position([one for one in between if one.strip()][-2]):
        return "its header has no symbols: write them in a line above the numbers of atoms, in the order of the POTCAR"
    return "there is no header: title, scale, three vectors, symbols, numbers of atoms"


def _to_next(lines: Lines, has_header: bool) -> tuple[list[bytes], _Start | None]:
    """Return the lines before the next configuration, and what its own line says."""
    between: list[bytes] = []
    while line := lines.next():
        found = CONFIGURATION.search(line)
        if found and line.endswith(b"\n"):
            kind, digits = found.groups()
            step = float(digits) if digits is not None and digits.isdigit() else None
            cartesian = kind is not None and kind.lower() == b"cartesian"
            return between, _Start(lines.number, cartesian, step, step is None and digits is not None)
        if not line.strip() and (has_header or _is_header(between) or _is_of_vasp_4(between)):
            following = lines.block(1)
            lines.give_back(following)
            if following and _is_position(following[0]):
                return between, _Start(lines.number, False, None, False)
        between.append(line)
    return between, None


def _frame(lines: Lines, header: _Header, number: int, start: _Start) -> RawFrame | TornFrame:
    count, line = len(header.symbols), start.line
    block = lines.block(count)
    # Selective dynamics and the like may follow; only the first three columns are read.
    width = len(block[0].split()) if block else 3
    found = numbers(block, (0, 1, 2), width) if width >= 3 else None
    if found is None or len(block) < count or not block[-1].endswith(b"\n"):
        wrong = wrong_line(block, max(width, 3), (0, 1, 2))
        if wrong is None:
            return TornFrame(number, line, f"the file ends after {len(block)} of its {count} atoms")
        lines.give_back(block[wrong[0] :])
        return TornFrame(number, line, f"line {line + 1 + wrong[0]} {wrong[1]}")
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        atom = int(bad.argmax())
        raise TrajectoryReadError(
            f"{lines.path}: frame {number}: atom {atom + 1} (line {line + 1 + atom}) has a position that is no finite"
            " number"
        )
    positions = found * header.scale if start.cartesian else found @ header.cell_A
    return RawFrame(header.symbols, positions, header.cell_A, None, False, start.step, number, line)


def _header(between: list[bytes], name: str, line: int) -> _Header | None:
    """Return the header that ends right before a configuration; None if there is none."""
    rows = [one for one in between if one.strip()][-_HEADER:]
    if len(rows) < _HEADER:
        return None
    try:
        scale = [float(word) for word in rows[0].split()]
        vectors = np.array([[float(word) for word in row.split()] for row in rows[1:4]])
        counts = [int(word) for word in rows[5].split()]
    except ValueError:
        return None
    words = [word.split("/")[0].split("_")[0] for word in rows[4].decode(errors="replace").split()]
    if vectors.shape != (3, 3) or len(scale) not in {1, 3} or len(words) != len(counts):
        return None
    symbols = checked_symbols(words, f"{name} (line {line - 2})", "write the symbols above the numbers of atoms")
    factors = np.array(scale)
    if len(scale) == 1:
        volume = abs(float(np.linalg.det(vectors)))
        factors = np.repeat((-factors / volume) ** (1 / 3) if scale[0] < 0 else factors, 3)
    return _Header(vectors * factors, tuple(np.repeat(symbols, counts).tolist()), factors)
