"""Bonds of a network: in one structure by a distance, in a trajectory with a memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.arrays import BoolArray, FloatArray, IntArray
from .settings import BROKEN_FACTOR, MADE_FACTOR, NetworkSettings


@dataclass(frozen=True, eq=False)
class Members:
    """The atoms of a network among all atoms of a structure.

    Attributes
    ----------
    atoms
        Their places in the structure, shape [n_members].
    symbols
        Their elements, shape [n_members].
    is_centre
        Which of them are centres, shape [n_members].
    longest_A
        Longest bond of every pair of elements, by their places in ``elements``, shape [n_elements, n_elements] (Å).
    elements
        Element of each member, as a place in ``longest_A``.
    """

    atoms: IntArray
    symbols: tuple[str, ...]
    is_centre: BoolArray
    longest_A: FloatArray
    elements: IntArray

    @classmethod
    def of(cls, symbols: Sequence[str], settings: NetworkSettings) -> Members:
        """Return the members of a structure."""
        all_symbols = np.array(symbols)
        atoms = np.flatnonzero(np.isin(all_symbols, settings.elements))
        own = tuple(all_symbols[atoms].tolist())
        names = settings.elements
        lengths = settings.bond_lengths_A()
        longest = np.array([[lengths[min(a, b), max(a, b)] for b in names] for a in names])
        place = {name: number for number, name in enumerate(names)}
        return cls(
            atoms,
            own,
            np.isin(own, settings.centres) if own else np.zeros(0, dtype=bool),
            longest,
            np.array([place[symbol] for symbol in own], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.atoms)

    def close_pairs(
        self, positions_A: FloatArray, cell_A: FloatArray, pbc: Sequence[bool], factor: float
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return pairs of members nearer than ``factor`` times their longest bond, and the distance over that bond.

        Each pair once, by members' places, the smaller first; of several images of a pair the nearest.
        """
        from ase.geometry import complete_cell
        from matscipy.neighbours import neighbour_list

        if len(self) < 2:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
        # Clusters may come without a cell, slabs without one of its vectors.
        first, second, distances = neighbour_list(
            "ijd",
            positions=np.ascontiguousarray(positions_A[self.atoms]),
            cell=complete_cell(cell_A),
            pbc=np.asarray(pbc, dtype=bool),
            cutoff=float(factor * self.longest_A.max()),
        )
        once = first < second
        first, second, distances = first[once], second[once], distances[once]
        parts = distances / self.longest_A[self.elements[first], self.elements[second]]
        near = parts < factor
        first, second, parts = first[near], second[near], parts[near]
        order = np.lexsort((parts, second, first))
        first, second, parts = first[order], second[order], parts[order]
        if len(first):
            new = np.append(True, (np.diff(first) != 0) | (np.diff(second) != 0))
            first, second, parts = first[new], second[new], parts[new]
        return first.astype(np.int64), second.astype(np.int64), parts


def bonds_of(
    members: Members, positions_A: FloatArray, cell_A: FloatArray, pbc: Sequence[bool]
) -> tuple[IntArray, IntArray]:
    """Return the bonds of one structure: pairs of members' places, the smaller first."""
    first, second, _ = members.close_pairs(positions_A, cell_A, pbc, 1.0)
    return first, second


@dataclass
class BondMemory:
    """Bonds along a trajectory: made below 12/13 of the longest, broken beyond 14/13 of it for some frames.

    Atoms rattle: without a memory a bond that is stretched for a moment would be two events.

    Parameters
    ----------
    members
        Of the structure.
    patience
        Frames in a row beyond which a bond that is too long counts as broken; 0: at once.
    """

    members: Members
    patience: int
    _bonded: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _too_long: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _has_begun: bool = False

    def next(self, positions_A: FloatArray, cell_A: FloatArray, pbc: Sequence[bool]) -> tuple[IntArray, IntArray]:
        """Return the bonds of the next frame; in the first one they are those of a structure."""
        first, second, parts = self.members.close_pairs(positions_A, cell_A, pbc, BROKEN_FACTOR)
        keys = first * len(self.members) + second
        if not self._has_begun:
            self._has_begun = True
            self._bonded = keys[parts < 1.0]
            self._too_long = np.zeros(len(self._bonded), dtype=np.int64)
        else:
            waited = np.where(np.isin(self._bonded, keys, assume_unique=True), 0, self._too_long + 1)
            kept = waited <= self.patience
            made = np.setdiff1d(keys[parts < MADE_FACTOR], self._bonded[kept], assume_unique=True)
            bonded = np.concatenate([self._bonded[kept], made])
            waited = np.concatenate([waited[kept], np.zeros(len(made), dtype=np.int64)])
            order = np.argsort(bonded)
            self._bonded, self._too_long = bonded[order], waited[order]
        return self._bonded // len(self.members), self._bonded % len(self.members)
