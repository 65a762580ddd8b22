"""g(r) and S(q): an ideal gas, crystals, transform against direct sum, totals, T(r)."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from ionloop.analysis.structure_functions.curves import (
    direct_structure_factors,
    pair_distribution,
    partials,
    running_coordination,
    seam,
    total,
    total_correlation,
    transformed,
    wave_vectors,
)
from ionloop.analysis.structure_functions.frames import StructureFrames, of_structures
from ionloop.analysis.structure_functions.settings import StructureSettings
from ionloop.analysis.structure_functions.sums import block_sums, grid_of, total_of

FOUR_SIGMA = 4.0


def sums_of(frames, settings):
    grid = grid_of(frames.half_width_A, settings)
    blocks = block_sums([frames], grid)
    waves = wave_vectors(blocks, grid, settings.q_max_per_A, settings.q_step_per_A)
    return total_of(blocks), grid, waves


def gas(n_frames=4, n_atoms=1500, width_A=30.0, seed=1):
    random = np.random.default_rng(seed)
    cell = width_A * np.array([[1.0, 0.0, 0.0], [0.3, 1.0, 0.0], [-0.2, 0.4, 1.0]])
    symbols = ("Li",) * (n_atoms // 3) + ("S",) * (n_atoms - n_atoms // 3)
    return StructureFrames(symbols, random.uniform(0, 1, (n_frames, n_atoms, 3)) @ cell, cell[None])


def liquid(n_frames=3, seed=5):
    """Atoms that keep apart: an fcc crystal that is shaken so much that no order is left at some distance."""
    random = np.random.default_rng(seed)
    atoms = bulk("Ar", cubic=True, a=5.0).repeat(5)
    atoms.symbols[::3] = "Ne"
    moved = [atoms.positions + random.normal(0.0, 0.9, (len(atoms), 3)) for _ in range(n_frames)]
    return StructureFrames(tuple(atoms.symbols), np.array(moved), atoms.cell.array[None])


def test_an_ideal_gas_has_no_structure_within_noise():
    frames = gas()
    sums, grid, waves = sums_of(frames, StructureSettings(r_step_A=0.25, q_step_per_A=0.1))
    g = pair_distribution(sums, frames.counts, grid)
    noise = 1.0 / np.sqrt(np.maximum(sums.pairs / 2.0, 1.0))
    shown = grid.r_A > 2.0
    z = (g - 1.0) / noise
    assert np.abs(z[:, :, shown]).max() < FOUR_SIGMA
    assert z[:, :, shown].std() == pytest.approx(1.0, abs=0.15)
    s = direct_structure_factors(sums, frames.counts, waves.direct)
    shares = frames.counts / frames.counts.sum()
    expected = 1.0 / (shares[:, None] * shares) / np.sqrt(sums.vectors[waves.direct])[:, None, None]
    assert np.abs((s - 1.0).transpose(2, 0, 1) / expected).max() < FOUR_SIGMA


@pytest.mark.parametrize(
    ("atoms", "centre", "neighbour", "shells"),
    [
        (bulk("NaCl", "rocksalt", a=5.63), 1, 0, [(2.815, 6), (4.8757, 8), (6.2945, 24)]),
        (bulk("NaCl", "rocksalt", a=5.63), 0, 0, [(3.981, 12), (5.63, 6)]),
        (bulk("Si", "diamond", a=5.43), 0, 0, [(2.3513, 4), (3.8396, 12), (4.5024, 12)]),
        (bulk("Cu", "fcc", a=3.61, cubic=True), 0, 0, [(2.5527, 12), (3.61, 6), (4.4213, 24)]),
    ],
    ids=["NaCl, unlike", "NaCl, like", "Si", "Cu"],
)
def test_crystals_have_their_shells_in_cells_of_any_size(atoms, centre, neighbour, shells):
    # Three cells: smaller than the distance, repeated, and skewed by another choice of vectors.
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [1, 1, 0], [2, -1, 1]]) @ atoms.cell.array)
    for cell in (atoms, atoms.repeat((3, 2, 3)), skewed):
        frames = of_structures([cell])
        sums, grid, _ = sums_of(frames, StructureSettings(r_max_A=8.0))
        around = running_coordination(sums, frames.counts)[centre, neighbour]
        steps = np.diff(around, prepend=0.0)
        places = np.flatnonzero(steps > 1e-9)
        for (distance, atoms_in_shell), place in zip(shells, places, strict=False):
            assert grid.edges_A[place] <= distance + 1e-3
            assert grid.edges_A[place + 1] >= distance - 1e-3
            assert steps[place] == pytest.approx(atoms_in_shell)


def test_bragg_peaks_are_where_a_crystal_has_them():
    frames = of_structures([bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)])
    sums, _, waves = sums_of(frames, StructureSettings(q_step_per_A=0.02))
    s = direct_structure_factors(sums, frames.counts, waves.direct)[0, 1]
    lengths = waves.q_per_A[: len(waves.direct)]
    # Unlike ions scatter against each other at 111 and together at 200. Of the vectors of the same length in the cell
    # three times as wide, 8 of 32 and 6 of 30 are peaks; there |ρ|²/N/(c c) is 216, elsewhere nothing.
    for order, expected in ((3.0, -216.0 * 8 / 32), (4.0, 216.0 * 6 / 30)):
        place = np.argmin(np.abs(lengths - 2 * np.pi / 5.64 * np.sqrt(order)))
        assert lengths[place] == pytest.approx(2 * np.pi / 5.64 * np.sqrt(order), abs=1e-6)
        assert s[place] == pytest.approx(1.0 + expected, rel=1e-5)
        s[place] = 1.0
    assert np.abs(s - 1.0)[lengths < 2 * np.pi / 5.64 * 2.5].max() < 1e-5


def test_transform_and_direct_sum_agree_where_neither_is_short_of_anything():
    frames = liquid()
    settings = StructureSettings(q_step_per_A=0.1, direct_q_max_per_A=6.0, q_max_per_A=6.0, r_step_A=0.02)
    sums, grid, waves = sums_of(frames, settings)
    direct = direct_structure_factors(sums, frames.counts, waves.direct)
    there = transformed(
        pair_distribution(sums, frames.counts, grid), grid, len(frames.symbols) / sums.volume_A3, waves.q_per_A
    )
    chosen = waves.q_per_A > 3.0
    counts, weights = frames.counts, np.outer(frames.counts, frames.counts) / frames.counts.sum() ** 2
    assert np.abs(total(direct - there, weights[:, :, None]))[chosen].max() < 0.12
    assert counts.sum() == 500


def test_the_direct_sum_is_the_total_that_an_experiment_sees():
    # S(q) = 1 + (|Σ b exp(iq·r)|²/N - <b²>)/<b>², at each wave vector, without any partial function.
    frames, each = gas(1, 30, 9.0), np.array([-1.9, 2.847])
    settings = StructureSettings(q_step_per_A=0.001, direct_q_max_per_A=2.0, q_max_per_A=2.0, r_step_A=0.1)
    sums, _, waves = sums_of(frames, settings)
    counts = frames.counts
    mean, square = counts @ each / 30, counts @ each**2 / 30
    weights = np.outer(counts * each, counts * each) / (30 * mean) ** 2
    found = total(direct_structure_factors(sums, counts, waves.direct), weights[:, :, None])
    of_atoms = each[frames.species_of_atoms]
    reciprocal = 2 * np.pi * np.linalg.inv(frames.cells_A[0]).T
    orders = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3)
    q = orders @ reciprocal
    lengths = np.linalg.norm(q, axis=1)
    alone = [at for at in range(len(found)) if sums.vectors[waves.direct[at]] == 1]
    assert len(alone) > 5
    for at in alone:
        one = q[np.argmin(np.abs(lengths - waves.q_per_A[at]))]
        amplitude = np.abs(np.sum(of_atoms * np.exp(1j * frames.positions_A[0] @ one))) ** 2 / 30
        assert found[at] == pytest.approx(1.0 + (amplitude - square) / mean**2, abs=1e-4)


def test_the_two_are_joined_without_a_step():
    frames = liquid()
    settings = StructureSettings(q_step_per_A=0.1, r_step_A=0.02)
    sums, grid, waves = sums_of(frames, settings)
    found = partials(sums, frames.counts, grid, waves)
    assert (np.diff(found.q_per_A) > 0).all()
    assert found.q_per_A[-1] == pytest.approx(20.0)
    assert waves.share[0] == 1.0
    assert waves.share[-1] < 0.2
    weights = np.outer(frames.counts, frames.counts)[:, :, None] / 500**2 * np.ones(len(found.q_per_A))
    apart = seam(sums, frames.counts, grid, waves, weights)
    assert apart is not None
    assert apart < 0.2


def test_total_correlation_keeps_a_shell_and_broadens_it_by_the_end_of_the_data():
    frames = of_structures([bulk("Cu", "fcc", a=3.6, cubic=True)])
    sums, grid, _ = sums_of(frames, StructureSettings(r_max_A=12.0))
    g, density = pair_distribution(sums, frames.counts, grid), 4 / 3.6**3
    widths = {}
    for q_max in (15.0, 30.0):
        q = np.arange(1, q_max / 0.02 + 1) * 0.02
        t = total_correlation(g, grid, density, np.ones((1, 1, len(q))), q)
        near = (grid.r_A > 2.0) & (grid.r_A < 3.1)
        shape = t * grid.r_A
        # Coordination is ∫ r T(r) dr over the peak.
        assert np.sum(shape[near]) * 0.02 == pytest.approx(12.0, abs=1.0)
        assert grid.r_A[near][np.argmax(shape[near])] == pytest.approx(2.5456, abs=0.02)
        widths[q_max] = np.count_nonzero(shape[near] > shape[near].max() / 2) * 0.02
    # Lorch's window: 5.44/q_max wide at half of the height.
    assert widths[15.0] == pytest.approx(5.44 / 15.0, abs=0.05)
    assert widths[30.0] == pytest.approx(5.44 / 30.0, abs=0.05)
