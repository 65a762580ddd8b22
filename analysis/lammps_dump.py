"""LAMMPS text dumps (``dump atom`` and ``dump custom``): symbols, positions, cell, and whether they are unwrapped.

Format and conversion of the bounding box: https://docs.lammps.org/dump.html and
https://docs.lammps.org/Howto_triclinic.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ..errors import InputError

FloatArray = NDArray[np.float64]
# In the order of preference: unwrapped before wrapped.
_COLUMNS = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
_IMAGES = ("ix", "iy", "iz")


class LammpsDumpError(InputError):
    """The dump cannot be used; the message says why and what to write instead."""


class LammpsFrame(NamedTuple):
    """One frame; positions count from the cell's origin, atoms are sorted by identifier.

    Attributes
    ----------
    step
        The time step's number.
    positions_A
        Shape [n_atoms, 3] (Å, with LAMMPS' units real or metal).
    cell_A
        Cell vectors as rows, shape [3, 3] (Å).
    unwrapped
        Whether the dump has unwrapped coordinates or image flags.
    """

    step: int
    symbols: tuple[str, ...]
    positions_A: FloatArray
    cell_A: FloatArray
    unwrapped: bool


def read_lammps_dump(path: Path, types: Sequence[str] = ()) -> Iterator[LammpsFrame]:
    """Yield the frames of a dump; a last frame that is not whole is left out.

    Parameters
    ----------
    types
        Chemical symbols of types 1, 2, ...; not needed where the dump has a column ``element``.

    Raises
    ------
    LammpsDumpError
        If columns are missing, species unknown, or steps unequally spaced.
    """
    interval, last = None, None
    with path.open() as stream:
        while (frame := _read_frame(stream, path, types)) is not None:
            if last is not None:
                step = frame.step - last
                # A run that was continued writes its first frame twice.
                if step == 0:
                    continue
                if interval is not None and step != interval:
                    raise LammpsDumpError(
                        f"{path}: steps {last} and {frame.step} are {step} apart, those before {interval}; frames"
                        " must be equally spaced"
                    )
                interval = step
            last = frame.step
            yield frame


def _read_frame(stream: TextIO, path: Path, types: Sequence[str]) -> LammpsFrame | None:
    step, count = None, None
    box: tuple[FloatArray, FloatArray] | None = None
    while line := stream.readline():
        if line.startswith("ITEM: TIMESTEP"):
            step = int(stream.readline())
        elif line.startswith("ITEM: NUMBER OF ATOMS"):
            count = int(stream.readline())
        elif line.startswith("ITEM: BOX BOUNDS"):
            box = _cell(line, [stream.readline() for _ in range(3)])
        elif line.startswith("ITEM: ATOMS"):
            if step is None or count is None or box is None:
                raise LammpsDumpError(f"{path}: atoms without time step, number of atoms or box before them")
            words = "".join(stream.readline() for _ in range(count)).split()
            names = line.split()[2:]
            if len(words) < count * len(names):
                return None
            return _frame(step, names, np.array(words).reshape(count, len(names)), box, path, types)
        elif line.startswith("ITEM:"):
            stream.readline()
    return None


def _cell(header: str, lines: list[str]) -> tuple[FloatArray, FloatArray]:
    """Return cell vectors as rows [3, 3] and origin [3] from the bounds of the box."""
    numbers = np.array([line.split() for line in lines], dtype=float)
    if numbers.shape[1] == 4:
        return numbers[:, :3], numbers[:, 3]
    low, high = numbers[:, 0].copy(), numbers[:, 1].copy()
    if numbers.shape[1] == 2:
        return np.diag(high - low), low
    xy, xz, yz = numbers[:, 2]
    low -= (min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0)
    high -= (max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0)
    lengths = high - low
    return np.array([[lengths[0], 0.0, 0.0], [xy, lengths[1], 0.0], [xz, yz, lengths[2]]]), low


def _frame(
    step: int,
    names: list[str],
    table: NDArray[np.str_],
    box: tuple[FloatArray, FloatArray],
    path: Path,
    types: Sequence[str],
) -> LammpsFrame:
    cell, origin = box
    column = {name: index for index, name in enumerate(names)}
    if "id" not in column:
        raise LammpsDumpError(f"{path}: the dump has no column id, without which atoms cannot be followed")
    table = table[np.argsort(table[:, column["id"]].astype(np.int64))]
    found = next((names for names in _COLUMNS if set(names) <= column.keys()), None)
    if found is None:
        raise LammpsDumpError(f"{path}: the dump has no positions; write the columns xu yu zu")
    positions = table[:, [column[name] for name in found]].astype(float)
    positions = positions @ cell if found[0].startswith("xs") else positions - origin
    unwrapped = found[0].endswith("u")
    if not unwrapped and set(_IMAGES) <= column.keys():
        positions = positions + table[:, [column[name] for name in _IMAGES]].astype(float) @ cell
        unwrapped = True
    return LammpsFrame(step, _symbols(column, table, path, types), positions, cell, unwrapped)


def _symbols(column: dict[str, int], table: NDArray[np.str_], path: Path, types: Sequence[str]) -> tuple[str, ...]:
    if "element" in column:
        symbols = tuple(str(word) for word in table[:, column["element"]])
    elif "type" in column and types:
        numbers = table[:, column["type"]].astype(np.int64)
        if numbers.max() > len(types) or numbers.min() < 1:
            raise LammpsDumpError(
                f"{path} has types {numbers.min()} to {numbers.max()}; symbols are given for {len(types)}"
            )
        symbols = tuple(types[number - 1] for number in numbers)
    else:
        raise LammpsDumpError(
            f"{path} does not say which element its atoms are: give the symbols of its types, or write the column"
            " element (dump_modify ... element Li P S)"
        )
    unknown = sorted({symbol for symbol in symbols if symbol not in atomic_numbers})
    if unknown:
        raise LammpsDumpError(f"{path}: {', '.join(unknown)} is not a chemical symbol")
    return symbols
