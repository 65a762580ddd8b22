"""Cells that are given beside a file that has none: as numbers, or in a file of their own.

CP2K writes the cells of a run to ``PROJECT-1.cell``, one line per step: step, time (fs), nine components (Å), volume
(https://manual.cp2k.org). Of any other file that ASE reads, the first structure's cell is taken.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.geometry import cellpar_to_cell

from ...core.arrays import FloatArray
from ...core.errors import InputError
from .frames import RawFrame, TrajectoryReadError
from .unwrapping import CELL_TOLERANCE_A

_CP2K_HEADER = "step"
_CP2K_COLUMNS = 12


@dataclass(frozen=True)
class GivenCells:
    """Cells for frames that have none.

    Attributes
    ----------
    cells_A
        Vectors as rows, shape [n, 3, 3] (Å); one for all frames, or one for each of ``steps``.
    steps
        The frames' steps, ascending, shape [n]; None where one cell is that of all frames.
    name
        What messages call them.
    """

    cells_A: FloatArray
    steps: FloatArray | None = None
    name: str = "--cell"

    def of(self, frame: RawFrame) -> FloatArray:
        """Return the cell of a frame, shape [3, 3] (Å).

        Raises
        ------
        TrajectoryReadError
            If there is none for its step.
        """
        if self.steps is None:
            return np.asarray(self.cells_A[0])
        if frame.step is None:
            raise TrajectoryReadError(f"{self.name} has a cell for every step, but {frame.place} does not say its step")
        index = int(np.searchsorted(self.steps, frame.step))
        if index == len(self.steps) or self.steps[index] != frame.step:
            raise TrajectoryReadError(f"{self.name} has no cell for step {frame.step:.0f} of {frame.place}")
        return np.asarray(self.cells_A[index])


def given_cells(text: str) -> GivenCells:
    """Return the cells that numbers (`cell_of`) or the name of a file give.

    Raises
    ------
    InputError
        If they give none.
    """
    path = Path(text)
    with suppress(OSError):  # nine numbers may be too long for a file's name
        if path.is_file():
            return _of_file(path)
    return GivenCells(cell_of(text)[None])


def cell_of(text: str) -> FloatArray:
    """Return the cell that ``a b c``, ``a b c alpha beta gamma`` (Å, degrees) or nine numbers give, shape [3, 3] (Å).

    Raises
    ------
    InputError
        If the text gives none.
    """
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) not in {3, 6, 9} or not np.isfinite(values).all():
        raise InputError(
            f"{text!r} is no cell: write a b c, a b c alpha beta gamma, the nine of three vectors (Å, degrees), or the"
            " name of a file that has one"
        )
    try:
        cell = np.diag(values) if len(values) == 3 else np.array(values).reshape(3, 3) if len(values) == 9 else None
        cell = np.array(cellpar_to_cell(values)) if cell is None else cell
    except (AssertionError, ValueError):
        cell = np.zeros((3, 3))
    if not np.isfinite(cell).all() or not np.linalg.det(cell) > 1e-3 or (len(values) < 9 and min(values) <= 0):
        raise InputError(f"{text!r} is no cell: it has no volume, or its vectors are left-handed")
    return cell


def cells_beside(path: Path) -> Path | None:
    """Return the file of cells that CP2K wrote beside its positions: ``X-1.cell`` beside ``X-pos-1.xyz``."""
    beside = path.with_name(path.name.replace("-pos-", "-").split(".xyz")[0] + ".cell")
    return beside if "-pos-" in path.name and beside.is_file() else None


def _of_file(path: Path) -> GivenCells:
    from ase.io import read

    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first = next((line.split() for line in lines if line.strip()), [])
    if first[:1] == ["#"] and [word.lower() for word in first[1:2]] == [_CP2K_HEADER]:
        return _of_cp2k(path, lines)
    try:
        cell = np.array(read(path, index=0).cell.array)
    except Exception as error:  # readers of foreign formats may raise anything
        raise InputError(f"--cell {path}: it can be read neither as CP2K's cells nor as a structure") from error
    if not abs(np.linalg.det(cell)) > CELL_TOLERANCE_A:
        raise InputError(f"--cell {path}: its structure has no cell with a volume")
    return GivenCells(cell[None], name=f"--cell {path}")


def _of_cp2k(path: Path, lines: list[str]) -> GivenCells:
    found: dict[float, FloatArray] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            values = np.array([float(word) for word in words[:_CP2K_COLUMNS]])
        except ValueError:
            values = np.empty(0)
        if len(values) < _CP2K_COLUMNS - 1 or not np.isfinite(values).all():
            if number == len(lines):
                break  # the run was killed while it wrote
            raise InputError(f"--cell {path}: line {number} is not step, time, nine components and volume")
        # A restart may write steps again.
        found[float(values[0])] = values[2:11].reshape(3, 3)
    if not found:
        raise InputError(f"--cell {path}: it has no cell")
    steps = np.array(sorted(found))
    cells = np.array([found[step] for step in steps.tolist()])
    if np.abs(cells - cells[0]).max() <= CELL_TOLERANCE_A:
        return GivenCells(cells[:1], name=f"--cell {path}")
    return GivenCells(cells, steps, f"--cell {path}")
