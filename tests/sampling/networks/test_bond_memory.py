"""Bonds along a trajectory: what rattles stays bonded, what leaves for long enough does not."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.sampling.networks.bonds import BondMemory, Members, bonds_of
from ionloop.sampling.networks.settings import NetworkSettings

CELL_A = np.diag([20.0] * 3)
PBC = (True, True, True)


def followed(distances_A: list[float], patience: int) -> list[bool]:
    """Return whether P and S are bonded in each frame."""
    members = Members.of(["Li", "P", "S"], NetworkSettings())
    memory = BondMemory(members, patience)
    found = []
    for distance_A in distances_A:
        positions = np.array([[0, 0, 0], [19.5, 5, 5], [19.5 + distance_A, 5, 5]], dtype=float)
        first, second = memory.next(positions, CELL_A, PBC)
        found.append((first.tolist(), second.tolist()) == ([0], [1]))
    return found


@pytest.mark.parametrize(
    ("distances_A", "patience", "bonded"),
    [
        ([2.05, 2.7, 2.75, 2.05], 0, [True] * 4),  # stretched, not broken
        ([2.7, 2.5, 2.45, 2.35, 2.7], 0, [False, False, False, True, True]),  # near, not made before 2.4 Å
        ([2.5, 2.5], 0, [True, True]),  # the first frame is a structure
        ([2.05, 2.9, 2.05], 0, [True, False, True]),
        ([2.05, 2.9, 2.9, 2.7, 2.9, 2.9, 2.9, 2.9], 2, [True, True, True, True, True, True, False, False]),
        ([2.05, 2.9, 2.9, 2.9, 2.5, 2.3], 2, [True, True, True, False, False, True]),
    ],
)
def test_a_bond_has_a_memory(distances_A: list[float], patience: int, bonded: list[bool]) -> None:
    assert followed(distances_A, patience) == bonded


def test_of_several_images_the_nearest_counts_once() -> None:
    members = Members.of(["P", "S"], NetworkSettings())
    positions = np.array([[0.0, 0, 0], [2.1, 0, 0]])
    first, second, parts = members.close_pairs(positions, np.diag([4.3, 20, 20]), PBC, 1.0)
    assert (first.tolist(), second.tolist()) == ([0], [1])
    assert parts[0] == pytest.approx(2.1 / 2.6)
    assert [one.tolist() for one in bonds_of(members, positions, CELL_A, PBC)] == [[0], [1]]
