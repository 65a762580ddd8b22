"""How close atoms came in a data set, and what that allows a model that was fitted to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from pydantic import Field

from .guard import ContactGuard, TrajectoryGuard

__all__ = ["DEFAULT_SEEN_FRACTION", "TOUCHING", "ExploringGuard", "shortest_distances_A"]

TOUCHING = 1.5
"""Two atoms farther apart than this many sums of their covalent radii are in no contact: how far apart rare elements
happen to be in a data set says nothing of how close they may come."""
DEFAULT_SEEN_FRACTION = 0.6
"""Chosen by measurement (docs/sampling.md): it stops a collapse before labels of it are rejected, and lets a model be
shown the repulsion on the way, without which relaxations fall into holes."""


def shortest_distances_A(frames: Iterable[Atoms]) -> dict[str, float]:
    """Return the shortest distance (Å) between two atoms, by pair of elements ("Li-S"), periodic images included.

    Of pairs that nowhere come closer than `TOUCHING` it is that distance.
    """
    shortest: dict[str, float] = {}
    for atoms in frames:
        numbers = atoms.numbers.astype(np.int32)
        present = sorted({int(number) for number in numbers})
        pairs = [(a, b) for a in present for b in present]
        touching_A = {pair: TOUCHING * float(covalent_radii[pair[0]] + covalent_radii[pair[1]]) for pair in pairs}
        # A campaign file names what computes with these: to read it takes no search of neighbours.
        from matscipy.neighbours import neighbour_list

        i, j, distances_A = neighbour_list(
            "ijd",
            positions=atoms.positions,
            numbers=numbers,
            cell=atoms.cell.complete()[:],
            pbc=atoms.pbc,
            cutoff=touching_A,
        )
        for a, b in pairs:
            if a <= b:
                here = distances_A[(numbers[i] == a) & (numbers[j] == b)].min(initial=touching_A[a, b])
                name = _pair_name(a, b)
                shortest[name] = min(float(here), shortest.get(name, np.inf))
    return shortest


def _pair_name(first: int, second: int) -> str:
    return "-".join(sorted((chemical_symbols[first], chemical_symbols[second])))


class ExploringGuard(TrajectoryGuard):
    """Bounds of a trajectory that a fitted model drives: also contacts closer than any that the model was shown."""

    seen_fraction: float = Field(
        default=DEFAULT_SEEN_FRACTION,
        ge=0,
        le=1,
        description="A trajectory stops where two atoms come closer than this part of the shortest distance of their"
        " elements in the training set; 0: no such bound; pairs of contacts.minimum_distances_A have theirs (no unit)",
    )

    def bounded(self, seen_A: Mapping[str, float]) -> TrajectoryGuard:
        """Return the bounds of a trajectory whose model has seen these shortest distances (Å), by pair of elements."""
        plain = TrajectoryGuard.model_validate(self.model_dump(exclude={"seen_fraction"}))
        if not (self.seen_fraction and seen_A):
            return plain
        given = {frozenset(pair.split("-")) for pair in plain.contacts.minimum_distances_A}
        from_data = {
            pair: max(self.seen_fraction * distance, self._without_data_A(pair))
            for pair, distance in sorted(seen_A.items())
            if frozenset(pair.split("-")) not in given
        }
        contacts = ContactGuard(
            covalent_fraction=plain.contacts.covalent_fraction,
            minimum_distances_A={**plain.contacts.minimum_distances_A, **from_data},
        )
        return plain.model_copy(update={"contacts": contacts})

    def _without_data_A(self, pair: str) -> float:
        first, second = (covalent_radii[atomic_numbers[element]] for element in pair.split("-"))
        return self.contacts.covalent_fraction * float(first + second)
