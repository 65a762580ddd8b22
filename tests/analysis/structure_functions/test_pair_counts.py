"""Pairs by distance, against matscipy's neighbour list: triclinic cells, and cells smaller than the distance."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from matscipy.neighbours import neighbour_list

from ionloop.analysis.structure_functions.pair_counts import pair_counts

CELLS = {
    "thin and oblique": ([[4.0, 0.0, 0.0], [1.5, 3.5, 0.0], [-1.0, 0.7, 5.0]], 7, 9.3),
    "left-handed": ([[6.0, 0.0, 0.0], [0.0, 0.0, 7.0], [2.0, 8.0, 0.0]], 30, 5.0),
    "larger than the distance": ([[20.0, 0.0, 0.0], [6.0, 15.0, 0.0], [-1.0, 4.0, 25.0]], 300, 6.0),
    "a needle": ([[2.5, 0.0, 0.0], [0.0, 2.5, 0.0], [0.0, 0.0, 40.0]], 20, 7.0),
}


@pytest.mark.parametrize("name", CELLS)
def test_counts_are_those_of_another_neighbour_list(name):
    vectors, n_atoms, r_max = CELLS[name]
    cell, random = np.array(vectors), np.random.default_rng(3)
    positions = random.uniform(-1.0, 2.0, (n_atoms, 3)) @ cell
    species = random.integers(0, 2, n_atoms)
    found = pair_counts(positions, cell, species, 2, r_max, 40)
    first, second, distances = neighbour_list("ijd", Atoms(f"H{n_atoms}", positions, cell=cell, pbc=True), r_max)
    for a in (0, 1):
        for b in (0, 1):
            theirs = distances[(species[first] == a) & (species[second] == b)]
            expected, _ = np.histogram(theirs, 40, (0.0, r_max))
            np.testing.assert_array_equal(found[a, b], expected)


def test_an_atom_alone_sees_its_images():
    found = pair_counts(np.zeros((1, 3)), 3.0 * np.eye(3), np.zeros(1, dtype=np.int64), 1, 4.5, 9)
    assert found[0, 0].tolist() == [0, 0, 0, 0, 0, 0, 6, 0, 12]
