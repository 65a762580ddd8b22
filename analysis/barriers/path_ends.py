"""The two ends of a path as people's files have them: put in order, shifted back, continuous."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ...core.errors import InputError
from ..hops.structure_matching import Assignment, assign, composition_difference, displacements

HOP_A = 1.0
"""An atom that moves farther than this hops."""
SAME_CELL_A = 1e-3
"""Lattice vectors that differ by less are the same: files have six decimals."""
_SHIFT_TOLD_A = 1e-3
_FEWEST_REORDERED = 3


@dataclass(frozen=True)
class PathEnd:
    """The other end of a path, ready for a band, and what was done to it or is worth knowing, one line each."""

    atoms: Atoms
    notes: tuple[str, ...]


def path_end(initial: Atoms, final: Atoms, *, keep_order: bool = False) -> PathEnd:
    """Return ``final`` in order and cell of ``initial``, without a shift of the whole, atoms at their nearest images.

    Atoms are put in order where their elements come in another one, or where that leaves three or more atoms in place
    that would hop otherwise: a swap of two is a path that somebody may want, and is only told.

    Raises
    ------
    InputError
        If the two have other atoms or other cells, or an order that has to be kept does not fit.
    """
    difference = composition_difference(initial, final)
    if difference:
        raise InputError(f"the two ends of a path have different atoms: the other end has {difference}")
    notes = []
    if _is_same_lattice(initial, final):
        final = final.copy()
        final.set_cell(initial.cell)
        notes.append("the other end's cell has other vectors of the same lattice; those of the first are taken")
    if not np.allclose(initial.cell.array, final.cell.array, atol=SAME_CELL_A) and _is_turned(initial, final):
        final = final.copy()
        final.set_cell(initial.cell, scale_atoms=True)
        notes.append("the other end was turned into the orientation of the first")
    if not np.allclose(initial.cell.array, final.cell.array, atol=SAME_CELL_A):
        lengths = [", ".join(f"{value:.4f}" for value in one.cell.cellpar()) for one in (initial, final)]
        raise InputError(
            f"the two ends of a path have different cells: {lengths[0]} and {lengths[1]} (Å, degrees); "
            "relax both in one"
        )
    same_elements = list(initial.numbers) == list(final.numbers)
    if keep_order and not same_elements:
        raise InputError("the elements of the two ends come in different orders, so that the order cannot be kept")
    given = displacements(initial, final) if same_elements else None
    found = given
    if given is None or not keep_order:
        ordered = assign(initial, final)
        if given is None or _hopping(given) - _hopping(ordered) >= _FEWEST_REORDERED:
            found = ordered
            moved = int(np.sum(ordered.order != np.arange(len(initial))))
            notes.append(
                f"the other end was put in the order of the first: {moved} atoms have other numbers there"
                + ("" if given is None else " (--keep-order takes the numbers as they are)")
            )
    assert found is not None
    if np.linalg.norm(found.shift_A) > _SHIFT_TOLD_A:
        x, y, z = np.round(found.shift_A, 3) + 0.0
        notes.append(f"the other end as a whole was shifted back by ({x:.3f}, {y:.3f}, {z:.3f}) Å")
    if _hopping(found) > 1:
        hopping = np.flatnonzero(found.distances_A > HOP_A)
        counts = Counter(np.array(initial.symbols)[hopping].tolist())
        what = ", ".join(f"{count} {symbol}" for symbol, count in sorted(counts.items()))
        shown = ", ".join(map(str, hopping[:10])) + (" ..." if len(hopping) > 10 else "")
        notes.append(f"several atoms hop: {what} move by more than {HOP_A:g} Å (atoms {shown}, counted from 0)")
    atoms = initial.copy()
    atoms.positions = initial.positions + found.displacements_A
    return PathEnd(atoms, tuple(notes))


def _is_same_lattice(initial: Atoms, final: Atoms) -> bool:
    """Return whether the cells are different choices of vectors of one lattice."""
    integers = np.rint(final.cell.array @ np.linalg.inv(initial.cell.array))
    same = np.allclose(integers @ initial.cell.array, final.cell.array, atol=SAME_CELL_A)
    return bool(same and abs(round(np.linalg.det(integers))) == 1 and not np.array_equal(integers, np.eye(3)))


def _is_turned(initial: Atoms, final: Atoms) -> bool:
    """Return whether the cells have the same lengths, angles and handedness."""
    turn = np.linalg.inv(final.cell.array) @ initial.cell.array
    same = np.allclose(
        final.cell.array @ final.cell.array.T, initial.cell.array @ initial.cell.array.T, atol=SAME_CELL_A
    )
    return bool(same and np.linalg.det(turn) > 0)


def _hopping(found: Assignment) -> int:
    return int(np.sum(found.distances_A > HOP_A))
