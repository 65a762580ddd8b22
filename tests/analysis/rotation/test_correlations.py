"""Correlation functions of orientations: known rotations, jumps between equivalent orientations, free rotors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ionloop.analysis.rotation.correlations import (
    CorrelationSums,
    Directions,
    blocks_for,
    correlation_sums,
    tensor_product,
    tetrahedral_order,
)
from ionloop.analysis.rotation.decay import decay_times

from .tetrahedra import TETRAHEDRON, diffusing, turned

EXACT = 1e-12
TABLE = 5e-5
"""The specification's table has four digits."""
ABOUT_A_BOND = TETRAHEDRON[0]
TWO_FOLD = np.array([1.0, 0.0, 0.0])


def of_two_frames(after: np.ndarray) -> np.ndarray:
    """Return C1, C2 and C_T of a rotation from the tetrahedron as it is."""
    sums = correlation_sums([Directions(np.stack([TETRAHEDRON, after]), 0)], 3, 1)
    return np.asarray(sums.curves()[:, 1])


@pytest.mark.parametrize(
    ("degree", "axis", "expected"),
    [
        (120.0, ABOUT_A_BOND, (0.0, 0.0, 1.0)),
        (180.0, TWO_FOLD, (-1 / 3, -1 / 3, 1.0)),
        (90.0, TWO_FOLD, (1 / 3, -1 / 3, -1.0)),
        (30.0, ABOUT_A_BOND, (0.9107, 0.7480, 0.5556)),
        (0.0, TWO_FOLD, (1.0, 1.0, 1.0)),
    ],
)
def test_correlations_of_known_rotations(degree: float, axis: np.ndarray, expected: tuple[float, ...]) -> None:
    found = of_two_frames(turned(Rotation.from_rotvec(np.radians(degree) * axis)))
    assert found == pytest.approx(expected, abs=TABLE)


def test_sums_are_those_over_all_origins() -> None:
    vectors = turned(diffusing(50, 20.0, np.random.default_rng(3)))
    sums = correlation_sums([Directions(vectors, 0)], 50, 1)
    products = np.einsum("tkx,skx->tsk", vectors, vectors)
    tensors = np.einsum("tka,tkb,tkc->tabc", vectors, vectors, vectors) / 4
    third = np.einsum("tabc,sabc->ts", tensors, tensors)
    for place, lag in enumerate(sums.lags):
        origins = np.arange(50 - lag)
        at = products[origins, origins + lag]
        norm = third[np.arange(50), np.arange(50)].mean()
        expected = at.mean(), np.mean(1.5 * at**2 - 0.5), third[origins, origins + lag].mean() / norm
        assert sums.curves()[:, place] == pytest.approx(expected, abs=1e-10)


def test_blocks_of_few_anions_add_up_to_the_whole() -> None:
    vectors = turned(diffusing(300, 10.0, np.random.default_rng(4)))
    pieces = [Directions(vectors[:120], 0), Directions(vectors[140:], 0, first=140)]
    whole, blocks = correlation_sums(pieces, 300, 1), correlation_sums(pieces, 300, 1, blocks=blocks_for(1))
    assert blocks.counts.shape[0] == 8
    assert blocks.curves() == pytest.approx(whole.curves(), abs=1e-10)
    assert blocks.counts.sum(axis=0) == pytest.approx(whole.counts.sum(axis=0), abs=EXACT)


def rotors(n_anions: int, n_frames: int, step_degree: float) -> CorrelationSums:
    random = np.random.default_rng(5)
    found = [Directions(turned(diffusing(n_frames, step_degree, random)), one) for one in range(n_anions)]
    return correlation_sums(found, n_frames, n_anions)


def test_a_free_rotor_decays_as_debye_says() -> None:
    # Each step's mean square angle is 3 δ² = 6 D Δt: D = δ²/2 per frame.
    step = np.radians(4.0)
    sums = rotors(24, 4000, 4.0)
    diffusivity = 0.5 * step**2
    times = decay_times(sums, 1.0, 50)
    for rank, name in enumerate(("c1", "c2", "ct"), start=1):
        decay, expected = times[name], 1.0 / (rank * (rank + 1) * diffusivity)
        assert decay is not None
        assert decay.decayed
        assert decay.time_ps == pytest.approx(expected, rel=0.12)
        assert decay.exponent == pytest.approx(1.0, abs=0.08)
        assert decay.low_ps is not None
        assert decay.high_ps is not None
        assert 0.8 * decay.low_ps < expected < 1.25 * decay.high_ps


@pytest.mark.slow
@pytest.mark.parametrize(("n_anions", "n_frames", "tau"), [(1, 400, 50.0), (4, 400, 100.0), (12, 300, 50.0)])
def test_intervals_of_decay_times_hold_what_they_say(n_anions: int, n_frames: int, tau: float) -> None:
    # Resampled pieces alone held 0.78 to 0.93 of them.
    seeds, held, told = 80, np.zeros(3), np.zeros(3)
    for seed in range(seeds):
        vectors = rotors_at_once(n_anions, n_frames, tau, np.random.default_rng(seed))
        pieces = [Directions(vectors[:, one], one) for one in range(n_anions)]
        sums = correlation_sums(pieces, n_frames, n_anions, blocks=blocks_for(n_anions))
        for rank, decay in enumerate(decay_times(sums, 1.0, 40, seed).values(), start=1):
            assert decay is not None
            assert decay.low_ps is not None
            high = np.inf if decay.high_ps is None else decay.high_ps
            held[rank - 1] += decay.low_ps <= 2.0 * tau / (rank * (rank + 1)) <= high
            told[rank - 1] += np.isfinite(high)
    assert (held >= 0.9 * seeds).all()
    # Nor are they so wide that they say nothing.
    assert told[2] >= 0.9 * seeds


def rotors_at_once(n_anions: int, n_frames: int, tau: float, random: np.random.Generator) -> np.ndarray:
    """Return bonds of free rotors whose C1 decays as exp(-t/τ), [n_frames, n_anions, 4, 3]; τ in frames."""
    steps = Rotation.from_rotvec(random.normal(size=(n_frames * n_anions, 3)) / np.sqrt(tau))
    turns = steps.as_matrix().reshape(n_frames, n_anions, 3, 3)
    for frame in range(1, n_frames):
        turns[frame] = turns[frame] @ turns[frame - 1]
    return np.asarray(np.einsum("faij,kj->faki", turns, TETRAHEDRON))


def test_jumps_that_exchange_ligands_leave_the_order_of_rank_three() -> None:
    random = np.random.default_rng(6)
    group = Rotation.create_group("T")
    directions = []
    for anion in range(10):
        state, states = 0, []
        for _ in range(3000):
            state = int(random.integers(12)) if random.random() < 0.02 else state
            states.append(state)
        directions.append(Directions(turned(group[states]), anion))
    sums = correlation_sums(directions, 3000, 10)
    c1, _, ct = sums.curves()
    assert ct == pytest.approx(np.ones(len(ct)), abs=1e-9)
    # Every orientation of the group is as likely after a jump: C1 = (1 - p)^n.
    few = sums.lags < 100
    assert c1[few] == pytest.approx(0.98 ** sums.lags[few], abs=0.06)
    times = decay_times(sums, 0.1, 50)
    assert times["c1"] is not None
    assert times["c1"].time_ps == pytest.approx(0.1 / 0.0202, rel=0.2)
    assert times["ct"] is not None
    assert not times["ct"].decayed
    assert times["ct"].low_ps == times["ct"].longest_ps == pytest.approx(149.9)


def test_libration_is_an_amplitude_and_not_a_decay() -> None:
    random = np.random.default_rng(7)
    librating = Rotation.from_rotvec(np.radians(8.0) * random.normal(size=(2000, 3)))
    times = decay_times(correlation_sums([Directions(turned(librating), 0)], 2000, 1, blocks=8), 0.1, 50)
    for decay in times.values():
        assert decay is not None
        assert not decay.decayed
        assert decay.time_ps is None
        assert decay.high_ps is None


def test_an_octahedron_has_no_order_of_rank_three() -> None:
    octahedron = np.vstack([np.eye(3), -np.eye(3)])
    turns = diffusing(100, 10.0, np.random.default_rng(8))
    vectors = np.stack([turns.apply(one) for one in octahedron], axis=1)
    sums = correlation_sums([Directions(vectors, 0)], 100, 1)
    assert np.isnan(sums.curves()[2]).all()
    assert decay_times(sums, 0.1, 20)["ct"] is None


def test_order_of_a_perfect_tetrahedron() -> None:
    order = tetrahedral_order(TETRAHEDRON)
    assert tensor_product(order, order) == pytest.approx(2 / 9, abs=EXACT)
