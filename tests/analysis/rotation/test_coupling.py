"""Hops that go with rotations are found, and those that do not are not."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.rotation.coupling import EventTimes, coupling, hops_nearby
from ionloop.analysis.rotation.ion_hops import ion_hops

WINDOWS_PS = (0.5, 1.0, 5.0)
DURATION_PS = 1000.0


def events(random: np.random.Generator, coupled: float = 0.0, anions: int = 6) -> EventTimes:
    """Return rotations and hops of independent Poisson times; a part of the rotations brings a hop within 0.5 ps."""
    rotations, hops = [], []
    for _ in range(anions):
        turned = random.uniform(0, DURATION_PS, random.poisson(8))
        own = random.uniform(0, DURATION_PS, random.poisson(60))
        brought = turned[random.random(len(turned)) < coupled] + random.uniform(-0.4, 0.4)
        rotations.append(turned)
        hops.append(np.clip(np.concatenate([own, brought]), 0, DURATION_PS))
    return EventTimes(tuple(rotations), tuple(hops), DURATION_PS)


def test_coupled_events_are_found_in_their_window() -> None:
    found = coupling([events(np.random.default_rng(1), coupled=0.6)], WINDOWS_PS, 200)
    assert found is not None
    shortest = found.windows[0]
    assert shortest.given_rotation > 0.5
    assert shortest.by_chance == pytest.approx(1 - np.exp(-0.06), abs=0.02)
    assert shortest.ratio is not None
    assert shortest.ratio > 5
    assert shortest.p_value < 0.01
    assert found.p_value < 0.01
    # In long windows there is a hop anyway.
    assert found.windows[-1].ratio is not None
    assert found.windows[-1].ratio < shortest.ratio


def test_probabilities_of_what_is_not_coupled_are_uniform() -> None:
    random = np.random.default_rng(2)
    found = [coupling([events(random)], WINDOWS_PS, 60, seed) for seed in range(150)]
    overall = np.sort([one.p_value for one in found if one is not None])
    # Kolmogorov-Smirnov: 1.36/sqrt(n) at 5 %, 1.63/sqrt(n) at 1 %.
    steps = (np.arange(len(overall)) + 1) / len(overall)
    assert np.abs(steps - overall).max() < 1.63 / np.sqrt(len(overall)) + 1 / 61


def test_bursts_that_go_together_by_chance_are_not_significant() -> None:
    # All anions turn in one burst and all ions hop in another: a shift of each anion by itself would find nothing like
    # it among its surrogates.
    random = np.random.default_rng(3)
    rejected = 0
    for seed in range(60):
        at, other = random.uniform(100, 900, 2)
        bursts = EventTimes(
            tuple(at + random.normal(0, 30, 5) for _ in range(8)),
            tuple(other + random.normal(0, 30, 5) for _ in range(8)),
            DURATION_PS,
        )
        result = coupling([bursts], (5.0,), 40, seed)
        rejected += result is not None and result.p_value < 0.05
    assert rejected <= 8


def test_nothing_that_turned_has_no_coupling() -> None:
    silent = EventTimes((np.zeros(0),), (np.array([1.0]),), 100.0)
    assert coupling([silent], WINDOWS_PS, 20) is None


def test_without_hops_there_is_no_ratio() -> None:
    found = coupling([EventTimes((np.array([50.0]),), (np.zeros(0),), 100.0)], WINDOWS_PS, 20)
    assert found is not None
    assert found.windows[0].ratio is None
    assert found.p_value == 1.0


def test_hops_nearby_are_counted_across_the_boundary() -> None:
    centres = np.zeros((10, 2, 3))
    centres[:, 1] = 5.0
    near = hops_nearby(np.array([[9.0, 0, 0], [5.0, 5.0, 3.0]]), np.array([3, 4]), centres, 10.0 * np.eye(3), 2.5)
    assert [one.tolist() for one in near] == [[0], [1]]


def test_a_hop_has_a_time_and_a_place() -> None:
    random = np.random.default_rng(4)
    positions = 0.2 * random.normal(size=(400, 2, 3))
    positions[150:, 1, 0] += 3.0
    found = ion_hops(positions, 0.1, 2.0)
    assert found.ion.tolist() == [1]
    assert found.frame[0] == pytest.approx(150, abs=3)
    assert found.place_A[0] == pytest.approx([1.4, 0, 0], abs=0.6)
    assert not len(ion_hops(positions[:140], 0.1, 2.0))
