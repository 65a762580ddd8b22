"""The same atoms in two structures: their order, a shift of the whole, and a cell repeated or turned.

Files of other programs sort atoms by element, wrap them, shift the origin and write the cell in another orientation.
Atoms of one element are assigned to each other so that the sum of their squared distances is smallest (Hungarian
algorithm: Crouse, IEEE Trans. Aerosp. Electron. Syst. 2016, 52, 1679, 10.1109/TAES.2016.140952, by SciPy).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import find_mic
from scipy.optimize import linear_sum_assignment

from ...core.arrays import BoolArray, FloatArray, IntArray
from ...core.errors import InputError

MOST_STRAIN = 0.05
"""Largest strain between a crystal's cell and that of a trajectory at temperature."""
_MOST_SHIFTS_TRIED = 24
_ROUNDS = 20
_SAME_SHIFT_A = 1e-6
GOOD_A = 0.3
"""Mean distance of atoms below which two structures are the same but for thermal motion and a hop (Å)."""
_MUCH_BETTER = 0.5
_SAME_STRAIN = 2e-3
# Tried one after the other: of large cells there are many combinations of nearly the right length.
_STRAINS = (0.004, 0.015, MOST_STRAIN)
_MOST_PAIRS = 4_000_000
_TURNED = 0.05


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

    @property
    def cost(self) -> float:
        """A sum over atoms in which those that hop count as little more than those that stay."""
        return float(np.minimum(self.distances_A, 1.0).sum())


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
    for shift in shifts_to_try(first, other):
        if best.cost < GOOD_A * len(first):
            break
        found = _settled(first, other, shift)
        # A translation of the lattice is as good but for noise: then the nearest one is meant, which comes first.
        if found.cost < _MUCH_BETTER * best.cost:
            best = found
    return best


def shifts_to_try(first: Atoms, other: Atoms) -> list[FloatArray]:
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
    cell = first.cell.array
    scaled, others_scaled = (one @ np.linalg.inv(cell) for one in (first.positions, other.positions - shift))
    for symbol in dict.fromkeys(symbols.tolist()):
        here, there = np.flatnonzero(symbols == symbol), np.flatnonzero(others == symbol)
        # The nearest image of what is near; what is far may seem farther, and is no pair anyway.
        between = others_scaled[there][None, :, :] - scaled[here][:, None, :]
        between -= np.rint(between)
        squared = np.square(between @ cell).sum(axis=2)
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


def in_cell_of(
    crystal: Atoms, cell_A: FloatArray, n_atoms: int, times: int | None = None
) -> Iterator[tuple[Atoms, str]]:
    """Yield a crystal repeated, turned and strained into another cell, and a line that says so (empty: as it was).

    Crystals of high symmetry fit in several ways, of which the atoms know the right one: the least strained come
    first, and of those the least turned.

    Parameters
    ----------
    cell_A
        Rows are lattice vectors (Å), [3, 3].
    n_atoms
        That it should have there; only told where it does not fit.
    times
        How many of the crystal's cells it should be; None: unknown.

    Raises
    ------
    InputError
        If no integer combination of the crystal's lattice vectors gives the cell to within `MOST_STRAIN`.
    """
    start = crystal.copy()
    if np.linalg.det(start.cell.array) * np.linalg.det(cell_A) < 0:
        start.set_cell(-start.cell.array)  # the same lattice, of the other handedness
    fits: list[_Fit] = []
    for strain in _STRAINS:
        fits = fits or _fits(start.cell.array, cell_A, times, strain)
    if not fits:
        lengths = ", ".join(f"{value:.3f}" for value in crystal.cell.cellpar())
        others = ", ".join(f"{value:.3f}" for value in Atoms(cell=cell_A).cell.cellpar())
        raise InputError(
            f"its cell ({lengths} Å and degrees, {len(crystal)} atoms) does not repeat into that of the trajectory "
            f"({others}; {n_atoms} atoms) with a strain of at most {MOST_STRAIN:.0%}"
        )
    for fit in fits:
        whole = make_supercell(start, fit.repeats) if not np.array_equal(fit.repeats, np.eye(3)) else start.copy()
        whole.set_cell(cell_A, scale_atoms=True)
        yield whole, _how(fit)


class _Fit(NamedTuple):
    repeats: IntArray
    strain: float
    turn: float


def _fits(vectors_A: FloatArray, cell_A: FloatArray, times: int | None, strain: float) -> list[_Fit]:
    """Return the integer combinations of lattice vectors that give a cell, turned or not: the best ones.

    ``strain`` is what they may be strained by beside the change of volume, which is known if ``times`` is.
    """
    volumes = abs(np.linalg.det(cell_A) / np.linalg.det(vectors_A))
    scale = 1.0 if times is None else float((volumes / times) ** (1 / 3))
    if abs(scale - 1) > MOST_STRAIN:
        return []
    scaled = vectors_A * scale
    lengths = np.linalg.norm(cell_A, axis=1)
    most = np.ceil((1 + strain) * lengths.max() * np.linalg.norm(np.linalg.inv(scaled), axis=0)).astype(int)
    integers = np.stack(np.meshgrid(*(np.arange(-one, one + 1) for one in most), indexing="ij"), -1).reshape(-1, 3)
    sizes = np.linalg.norm(integers @ scaled, axis=1)
    first, second, third = (integers[np.abs(sizes - length) <= strain * length] for length in lengths)
    if max(len(first), len(third)) * max(len(second), len(third)) > _MOST_PAIRS:
        return []
    angles = cell_A @ cell_A.T

    def fit_beside(some: IntArray, others: IntArray, row: int, column: int) -> BoolArray:
        between = (some @ scaled) @ (others @ scaled).T
        # Both lengths and the angle may be strained.
        return np.asarray(np.abs(between - angles[row, column]) <= 4 * strain * lengths[row] * lengths[column])

    found = []
    beside_first, beside_second = fit_beside(first, third, 0, 2), fit_beside(second, third, 1, 2)
    for one, two in np.argwhere(fit_beside(first, second, 0, 1)):
        beside = third[beside_first[one] & beside_second[two]]
        counts = beside @ np.cross(first[one], second[two])
        for three in beside[counts > 0 if times is None else counts == times]:
            repeats = np.array([first[one], second[two], three])
            stretch = _stretches(repeats @ vectors_A, cell_A)
            if stretch.strain <= MOST_STRAIN:
                found.append(_Fit(repeats, *stretch))
    least = min((one.strain for one in found), default=0.0)
    # What fits as well as the best but for the digits of a file.
    return sorted((one for one in found if one.strain < least + _SAME_STRAIN), key=lambda one: round(one.turn, 3))


class _Stretch(NamedTuple):
    strain: float
    turn: float


def _stretches(cell: FloatArray, other: FloatArray) -> _Stretch:
    """Return the largest relative change of a length from one cell to another, and how far it turns (no unit)."""
    left, stretches, right = np.linalg.svd(np.linalg.inv(cell) @ other)
    return _Stretch(float(np.abs(stretches - 1).max()), float(np.linalg.norm(left @ right - np.eye(3))))


def _how(fit: _Fit) -> str:
    repeats = fit.repeats
    parts = ["turned"] if fit.turn > _TURNED else []
    if not np.array_equal(repeats, np.eye(3)):
        diagonal = np.array_equal(repeats, np.diag(np.diag(repeats)))
        parts.append(
            "repeated " + " x ".join(map(str, np.diag(repeats))) if diagonal else f"repeated by {repeats.tolist()}"
        )
    if fit.strain > 1e-3:
        parts.append(f"strained by {fit.strain:.1%}")
    return ", ".join(parts)
