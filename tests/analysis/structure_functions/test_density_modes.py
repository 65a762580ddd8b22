"""Density modes by the fast transform, against the sum over exp(iq·r) term by term."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.structure_functions.density_modes import density_modes, highest_orders, shell_sums
from ionloop.core.errors import InputError

SMALL = np.array([[4.0, 0.0, 0.0], [1.5, 3.5, 0.0], [-1.0, 0.7, 5.0]])
LARGE = np.array([[20.0, 0.0, 0.0], [6.0, 15.0, 0.0], [-1.0, 4.0, 25.0]])
OF_ROOT_N = 1e-6
"""Error in units of √N, which a mode of N atoms is on average."""


def term_by_term(positions, cell, q_max):
    h, k, l = highest_orders(cell, q_max)  # noqa: E741
    orders = np.meshgrid(np.arange(-h, h + 1), np.arange(-k, k + 1), np.arange(l + 1), indexing="ij")
    q = np.stack(orders, axis=-1) @ (2 * np.pi * np.linalg.inv(cell).T)
    return q, np.exp(1j * (q @ positions.T)).sum(axis=-1)


@pytest.mark.parametrize(("cell", "n_atoms"), [(SMALL, 7), (LARGE, 300)], ids=["small", "large"])
def test_modes_are_the_sum_term_by_term(cell, n_atoms):
    positions = np.random.default_rng(1).uniform(-1.0, 2.0, (n_atoms, 3)) @ cell
    _, expected = term_by_term(positions, cell, 3.0)
    np.testing.assert_allclose(density_modes(positions, cell, 3.0), expected, atol=OF_ROOT_N * np.sqrt(n_atoms))


def test_shells_hold_every_wave_vector_once_and_average_over_it():
    random = np.random.default_rng(2)
    positions, species = random.uniform(0.0, 1.0, (60, 3)) @ LARGE, random.integers(0, 2, 60)
    found = shell_sums(positions, LARGE, species, 2, 2.0, 20)
    modes = []
    for one in (0, 1):
        q, each = term_by_term(positions[species == one], LARGE, 2.0)
        modes.append(each)
    lengths = np.linalg.norm(q, axis=-1)
    # In the plane l = 0 both q and -q are listed.
    weight = np.where(np.arange(q.shape[2]) == 0, 0.5, 1.0) * (lengths > 0)
    shells = np.minimum((lengths / 2.0 * 20).astype(int), 20)
    for a in (0, 1):
        for b in (0, 1):
            product = (modes[a] * modes[b].conj()).real * weight
            expected = np.bincount(shells.ravel(), product.ravel(), 21)[:20]
            np.testing.assert_allclose(found.products[a, b], expected, atol=1e-3)
    np.testing.assert_allclose(found.vectors, np.bincount(shells.ravel(), weight.ravel() * 1.0, 21)[:20])


def test_a_crystal_has_peaks_at_its_reciprocal_vectors_and_nothing_between():
    # Simple cubic, a = 3 Å, 4 × 4 × 4: of the vectors of the large cell only those of the small one are not zero.
    places = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3) * 3.0
    modes = np.abs(density_modes(places, 12.0 * np.eye(3), 3.0)) ** 2
    h, k, l = np.meshgrid(*[np.arange(-5, 6)] * 2, np.arange(6), indexing="ij")  # noqa: E741
    bragg = (h % 4 == 0) & (k % 4 == 0) & (l % 4 == 0)
    np.testing.assert_allclose(modes[bragg], 64.0**2, rtol=1e-6)
    assert modes[~bragg].max() < 1e-6 * 64**2


def test_a_cell_too_large_for_memory_is_refused_with_the_setting_that_helps():
    with pytest.raises(InputError, match="lower direct_q_max_per_A"):
        density_modes(np.zeros((1, 3)), 2000.0 * np.eye(3), 3.0)
