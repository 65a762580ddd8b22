"""The same atoms in two structures: their order, a shift of the whole, and a cell repeated or turned.

Files of other programs sort atoms by element, wrap them, shift the origin and write the cell in another orientation.
Atoms of one element are assigned to each other so that the sum of their squared distances is smallest (Hungarian
algorithm: Crouse, IEEE Trans. Aerosp. Electron. Syst. 2016, 52, 1679, 10.1109/TAES.2016.140952, by SciPy).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import find_mic
from scipy.optimize import linear_sum_assignment

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError

MOST_STRAIN = 0.05
"""Largest strain between a crystal's cell and that of a trajectory at temperature."""
_MOST_SHIFTS_TRIED = 24
_ROUNDS = 20
_SAME_SHIFT_A = 1e-6
# Per atom, in the mean: thermal motion and one hop among many atoms stay below.
_GOOD_A = 0.3
_MUCH_BETTER = 0.5


@dataclass(frozen=True)
class Assignment:
    """Which atom of another structure is which of the first.

    Attributes
    ----------
    order
        ``other[order]`` has the order of the first structure, [n_atoms].
    shift_A
        By how much the other lies off as a whole (Å), [3].
    displacements_A
        From the first structure to the other, put in order and shifted back: the nearest images (Å), [n_atoms, 3].
    """

    order: IntArray
    shift_A: FloatArray
    displacements_A: FloatArray

    @property
    def distances_A(self) -> FloatArray:
        """How far every atom moves (Å), [n_atoms]."""
        return np.linalg.norm(self.displacements_A, axis=1)


def composition_difference(first: Atoms, other: Atoms) -> str:
    """Say which atoms the other structure has more or fewer of, empty where it has the same."""
    counts, others = Counter(first.symbols), Counter(other.symbols)
    return ", ".join(
        f"{others[symbol]} {symbol} instead of {counts[symbol]}"
        for symbol in sorted(counts | others)
        if counts[symbol] != others[symbol]
    )


def displacements(first: Atoms, other: Atoms) -> Assignment:
    """Return how far atoms move if both structures have one order; the shift is that of those that stay."""
    vectors = _nearest(other.positions - first.positions, first)
    shift = _shift_of_most(vectors, first)
    return Assignment(np.arange(len(first)), shift, _nearest(vectors - shift, first))


def assign(first: Atoms, other: Atoms) -> Assignment:
    """Return which atom of ``other`` is which of ``first``, in the same cell, whatever its order and origin.

    Raises
    ------
    InputError
        If they have other numbers of atoms of an element.
    """
    difference = composition_difference(first, other)
    if difference:
        raise InputError(f"the structures have different atoms: {difference}")
    best = _settled(first, other, np.zeros(3))
    for shift in _shifts_to_try(first, other):
        if _cost(best) < _GOOD_A * len(first):
            break
        found = _settled(first, other, shift)
        # A translation of the lattice is as good but for noise: then the nearest one is meant, which comes first.
        if _cost(found) < _MUCH_BETTER * _cost(best):
            best = found
    return best


def _cost(found: Assignment) -> float:
    """Return a sum over atoms in which those that hop count as little more than those that stay."""
    return float(np.minimum(found.distances_A, 1.0).sum())


def _shifts_to_try(first: Atoms, other: Atoms) -> list[FloatArray]:
    """Return the shifts that lay an atom of the rarest element on another one, the smallest first."""
    counts = Counter(first.symbols)
    rarest = min(counts, key=lambda symbol: (counts[symbol], symbol))
    here = first.positions[first.symbols == rarest][0]
    shifts = _nearest(other.positions[other.symbols == rarest] - here, first)
    return list(shifts[np.argsort(np.linalg.norm(shifts, axis=1))][:_MOST_SHIFTS_TRIED])


def _settled(first: Atoms, other: Atoms, shift: FloatArray) -> Assignment:
    order = _order(first, other, shift)
    for _ in range(_ROUNDS):
        vectors = _nearest(other.positions[order] - first.positions - shift, first)
        correction = _shift_of_most(vectors, first)
        if np.linalg.norm(correction) < _SAME_SHIFT_A:
            break
        shift = shift + correction
        again = _order(first, other, shift)
        if np.array_equal(again, order):
            break
        order = again
    vectors = _nearest(other.positions[order] - first.positions - shift, first)
    return Assignment(order, _nearest(shift[None], first)[0], vectors)


def _order(first: Atoms, other: Atoms, shift: FloatArray) -> IntArray:
    order = np.zeros(len(first), dtype=np.int64)
    symbols, others = np.array(first.symbols), np.array(other.symbols)
    for symbol in dict.fromkeys(symbols.tolist()):
        here, there = np.flatnonzero(symbols == symbol), np.flatnonzero(others == symbol)
        between = other.positions[there][None, :, :] - first.positions[here][:, None, :] - shift
        squared = np.sum(_nearest(between.reshape(-1, 3), first).reshape(between.shape) ** 2, axis=2)
        rows, columns = linear_sum_assignment(squared)
        order[here[rows]] = there[columns]
    return order


def _shift_of_most(vectors: FloatArray, atoms: Atoms) -> FloatArray:
    """Return the displacement of those atoms that move together: the median, then the mean of what is near it."""
    middle = np.median(vectors, axis=0)
    near = np.linalg.norm(_nearest(vectors - middle, atoms), axis=1) < 0.5
    return middle + _nearest(vectors - middle, atoms)[near].mean(axis=0) if near.any() else np.zeros(3)


def _nearest(vectors: FloatArray, atoms: Atoms) -> FloatArray:
    nearest: FloatArray = find_mic(vectors, atoms.cell, atoms.pbc)[0]
    return nearest


def in_cell_of(crystal: Atoms, cell_A: FloatArray, n_atoms: int) -> tuple[Atoms, str]:
    """Return a crystal repeated, turned and strained into another cell, and a line that says so (empty: as it was).

    Parameters
    ----------
    cell_A
        Rows are lattice vectors (Å), [3, 3].
    n_atoms
        That it should have there; only told where it does not fit.

    Raises
    ------
    InputError
        If no integer combination of the crystal's lattice vectors gives the cell to within `MOST_STRAIN`.
    """
    for turned in (False, True):
        start = crystal.copy()
        if turned:
            start.set_cell(crystal.cell.standard_form()[0], scale_atoms=True)
        repeats = np.rint(cell_A @ np.linalg.inv(start.cell.array)).astype(int)
        if round(np.linalg.det(repeats)) < 1:
            continue
        strain = _strain(repeats @ start.cell.array, cell_A)
        if strain > MOST_STRAIN:
            continue
        whole = make_supercell(start, repeats) if not np.array_equal(repeats, np.eye(3)) else start
        whole.set_cell(cell_A, scale_atoms=True)
        return whole, _how(repeats, strain, turned=turned and _is_turned(crystal, start))
    lengths = ", ".join(f"{value:.3f}" for value in crystal.cell.cellpar())
    others = ", ".join(f"{value:.3f}" for value in Atoms(cell=cell_A).cell.cellpar())
    raise InputError(
        f"its cell ({lengths} Å and degrees, {len(crystal)} atoms) does not repeat into that of the trajectory "
        f"({others}; {n_atoms} atoms) with a strain of at most {MOST_STRAIN:.0%}"
    )


def _strain(cell: FloatArray, other: FloatArray) -> float:
    """Return the largest relative change of a length from one cell to another, rotations left out."""
    stretches = np.linalg.svd(np.linalg.inv(cell) @ other, compute_uv=False)
    return float(np.abs(stretches - 1).max())


def _is_turned(crystal: Atoms, turned: Atoms) -> bool:
    return not np.allclose(crystal.cell.array, turned.cell.array, atol=1e-3)


def _how(repeats: IntArray, strain: float, *, turned: bool) -> str:
    parts = ["turned"] if turned else []
    if not np.array_equal(repeats, np.eye(3)):
        diagonal = np.array_equal(repeats, np.diag(np.diag(repeats)))
        parts.append(
            "repeated " + " x ".join(map(str, np.diag(repeats))) if diagonal else f"repeated by {repeats.tolist()}"
        )
    if strain > 1e-3:
        parts.append(f"strained by {strain:.1%}")
    return ", ".join(parts)
