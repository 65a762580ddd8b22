"""Neighbour lists against ASE's, in cells of every kind, fresh and kept."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from ionloop.core.errors import InputError
from ionloop.fitting.native.neighbours import NeighbourList, NeighbourPairs, neighbour_pairs

CUTOFF_A = 4.0
DISTANCE_TOLERANCE_A = 1e-12

CELLS = {
    "cube": np.diag([9.0, 9.0, 9.0]),
    "small": np.diag([2.5, 3.0, 2.8]),
    "skewed": np.array([[6.0, 0, 0], [5.5, 4.0, 0], [-4.0, 3.5, 5.0]]),
    "flat": np.diag([14.0, 14.0, 1.9]),
    "left-handed": np.array([[0, 6.0, 0], [6.0, 0, 0], [0, 1.0, 6.0]]),
}


def as_set(first: np.ndarray, second: np.ndarray, shifts: np.ndarray) -> set[tuple[int, ...]]:
    return {(int(i), int(j), *map(int, shift)) for i, j, shift in zip(first, second, shifts, strict=True)}


def assert_complete(pairs: NeighbourPairs, atoms: Atoms) -> None:
    first, second, distances, shifts = neighbor_list("ijdS", atoms, CUTOFF_A)
    assert as_set(pairs.first, pairs.second, pairs.shifts) == as_set(first, second, shifts)
    assert len(pairs.second) == len(second)
    assert np.sort(pairs.distances) == pytest.approx(np.sort(distances), abs=DISTANCE_TOLERANCE_A)
    expected = atoms.positions[pairs.second] + pairs.shifts @ atoms.cell.array - atoms.positions[pairs.first]
    assert pairs.vectors == pytest.approx(expected, abs=DISTANCE_TOLERANCE_A)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 0, 1), (0, 0, 1), (0, 0, 0)])
def test_finds_what_ase_finds(name: str, pbc: tuple[int, int, int]) -> None:
    random = np.random.default_rng(len(name))
    # Some atoms lie outside of the cell.
    atoms = Atoms("Li6", scaled_positions=random.uniform(-1.2, 2.1, (6, 3)), cell=CELLS[name], pbc=pbc)
    assert_complete(neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF_A), atoms)


def test_many_atoms_fill_several_bins() -> None:
    random = np.random.default_rng(0)
    atoms = Atoms("Li300", scaled_positions=random.random((300, 3)), cell=2.5 * CELLS["skewed"], pbc=True)
    assert_complete(neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF_A), atoms)


def test_without_cell() -> None:
    atoms = Atoms("Li5", positions=np.random.default_rng(1).normal(0, 3, (5, 3)))
    assert_complete(neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF_A), atoms)


def test_kept_list_gives_the_bits_of_a_fresh_one() -> None:
    random = np.random.default_rng(2)
    kept = NeighbourList(CUTOFF_A, skin_A=0.6)
    atoms = Atoms("Li40", scaled_positions=random.random((40, 3)), cell=CELLS["cube"], pbc=True)
    for step in range(12):
        atoms.positions += random.normal(0, 0.04, atoms.positions.shape)
        if step == 5:
            atoms.wrap()
        if step == 9:
            atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
        pairs = kept.update(atoms.positions, atoms.cell.array, atoms.pbc)
        fresh = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF_A)
        for name in ("starts", "second", "shifts", "vectors", "distances"):
            assert np.array_equal(getattr(pairs, name), getattr(fresh, name))


def test_cutoff_itself_is_outside() -> None:
    positions = np.array([[0.0, 0, 0], [CUTOFF_A, 0, 0]])
    assert len(neighbour_pairs(positions, np.zeros((3, 3)), np.zeros(3, bool), CUTOFF_A).second) == 0
    positions[1, 0] = np.nextafter(CUTOFF_A, 0)
    assert len(neighbour_pairs(positions, np.zeros((3, 3)), np.zeros(3, bool), CUTOFF_A).second) == 2


def test_periodic_direction_without_extent() -> None:
    cell = np.diag([5.0, 5.0, 0.0])
    with pytest.raises(InputError, match="no extent in a periodic direction"):
        neighbour_pairs(np.zeros((1, 3)), cell, np.ones(3, bool), CUTOFF_A)


def test_atoms_at_one_place_are_refused_and_forgotten() -> None:
    kept = NeighbourList(CUTOFF_A, skin_A=0.5)
    positions = np.array([[0.0, 0, 0], [0, 0, 0]])
    with pytest.raises(InputError, match="atoms 0 and 1 are at the same place"):
        kept.update(positions, np.zeros((3, 3)), np.zeros(3, bool))
    positions[1, 0] = 0.1
    assert len(kept.update(positions, np.zeros((3, 3)), np.zeros(3, bool)).second) == 2
