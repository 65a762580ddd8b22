"""Pairs within a cutoff, against matscipy's neighbour list."""

from __future__ import annotations

import numpy as np
import pytest
from matscipy.neighbours import neighbour_list

from ionloop.fitting import pair_lists
from ionloop.fitting.pair_lists import lattice_translations, open_pairs, periodic_pairs

DISTANCE_TOLERANCE_A = 1e-10


@pytest.mark.parametrize("dense_atoms", [0, 1000], ids=["matscipy", "dense"])
@pytest.mark.parametrize(("n_atoms", "cutoff"), [(1, 9.0), (2, 3.0), (17, 5.0), (17, 12.0)])
def test_each_pair_of_images_once(
    monkeypatch: pytest.MonkeyPatch, dense_atoms: int, n_atoms: int, cutoff: float
) -> None:
    monkeypatch.setattr(pair_lists, "_DENSE_ATOMS", dense_atoms)
    monkeypatch.setattr(pair_lists, "_BLOCK_PAIRS", 500)
    generator = np.random.default_rng(n_atoms)
    cell = np.array([[4.0, 0.3, 0], [3.1, 5.0, -1.0], [-2.0, 1.5, 6.0]])
    positions = generator.uniform(-8, 12, (n_atoms, 3))
    expected_first, expected_second, expected = neighbour_list(
        "ijd", positions=positions, cell=cell, pbc=[True] * 3, cutoff=cutoff
    )
    pairs = periodic_pairs(positions, cell, cutoff)
    # Every pair twice in matscipy's list; an atom and its own images count half each way here.
    weights = np.zeros((n_atoms, n_atoms))
    np.add.at(weights, (pairs.first, pairs.second), pairs.weights)
    counts = np.zeros((n_atoms, n_atoms))
    np.add.at(counts, (expected_first, expected_second), 0.5)
    np.testing.assert_array_equal(weights + weights.T, counts + counts.T)
    np.testing.assert_allclose(
        np.sort(np.repeat(pairs.distances, (2 * pairs.weights).astype(int))),
        np.sort(expected),
        atol=DISTANCE_TOLERANCE_A,
    )
    offsets = (pairs.vectors - positions[pairs.second] + positions[pairs.first]) @ np.linalg.inv(cell)
    np.testing.assert_allclose(offsets, np.round(offsets), atol=DISTANCE_TOLERANCE_A)


def test_translations_are_all_within_the_sphere() -> None:
    cell = np.array([[1.0, 0, 0], [0.9, 1.0, 0], [0.8, -0.7, 1.2]])
    axes = np.arange(-9, 10)
    every = np.stack(np.meshgrid(axes, axes, axes, indexing="ij"), -1).reshape(-1, 3) @ cell
    within = every[np.linalg.norm(every, axis=1) <= 2.5]
    found = lattice_translations(cell, 2.5)
    assert len(found) == len(within)
    assert np.linalg.norm(found, axis=1).max() <= 2.5


def test_open_pairs_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_lists, "_BLOCK_PAIRS", 30)
    positions = np.random.default_rng(1).uniform(0, 9, (11, 3))
    blocks = list(open_pairs(positions))
    assert len(blocks) > 1
    found = {(int(i), int(j)) for block in blocks for i, j in zip(block.first, block.second, strict=True)}
    assert found == {(i, j) for i in range(11) for j in range(i + 1, 11)}
    for block in blocks:
        np.testing.assert_allclose(block.vectors, positions[block.second] - positions[block.first])
