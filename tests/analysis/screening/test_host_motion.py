"""Hosts that rest, melt, decompose and turn, as they were made to."""

import numpy as np
import pytest

from ionloop.analysis.screening.host_motion import (
    HostTrajectory,
    lindemann_ratio,
    neighbour_distance_A,
    sure_slope_A2_per_ps,
    watch_host,
)
from ionloop.analysis.screening.polyanions import find_host
from ionloop.analysis.screening.settings import HostSettings

from .synthetic import FRAME_PS, SPACING_A, frames_of, thiophosphate, turned, vibration, walk

FRAMES = 400
SETTINGS = HostSettings()
SLOPE_TOLERANCE = 0.35  # of 8 atoms over 40 ps


def _watched(atoms, displacements_A, start=None):
    frames = frames_of(atoms, displacements_A)
    fractional = np.array([one.positions @ np.linalg.inv(one.cell.array) for one in frames])
    host = find_host(atoms, "Li", 1.25)
    trajectory = HostTrajectory(fractional, atoms.cell.array, atoms.get_masses(), FRAME_PS)
    return watch_host(host, trajectory, SETTINGS, start)


def _vibrating(seed=1, width_A=0.15):
    atoms = thiophosphate()
    return atoms, vibration(np.random.default_rng(seed), FRAMES, len(atoms), width_A)


def _masked(atoms, symbols, moved):
    return np.where(np.isin(atoms.get_chemical_symbols(), symbols)[None, :, None], moved, 0.0)


def test_lindemanns_ratio_and_neighbours_are_what_they_are_defined_as():
    random = np.random.default_rng(0)
    u = random.normal(0.0, 0.2, (4000, 10, 3))
    assert lindemann_ratio(u, 2.0) == pytest.approx(0.2 * np.sqrt(3) / 2.0, rel=0.01)
    assert neighbour_distance_A(np.array([[0.1, 0.0, 0.0]]), np.diag([3.0, 4.0, 5.0])) == pytest.approx(3.0)


def test_the_slope_of_what_diffuses_is_six_times_its_diffusivity_and_of_what_vibrates_nothing():
    random = np.random.default_rng(2)
    moved = walk(random, FRAMES, 40, 0.02)
    assert sure_slope_A2_per_ps(moved, FRAME_PS) == pytest.approx(6 * 0.02, rel=SLOPE_TOLERANCE)
    assert sure_slope_A2_per_ps(vibration(random, FRAMES, 40, 0.3), FRAME_PS) < SETTINGS.least_slope_A2_per_ps


@pytest.mark.parametrize("seed", range(2))
def test_a_host_at_rest_is_sound_however_fast_its_ions_are(seed):
    atoms, moved = _vibrating(seed)
    moved = moved + _masked(atoms, ["Li"], walk(np.random.default_rng(seed), FRAMES, len(atoms), 0.5))
    found = _watched(atoms, moved, atoms)
    assert found.sound
    assert found.polyanions == {"PS4": 8}
    assert not found.rotating_anions
    assert found.lindemann_ratio == pytest.approx(0.15 * np.sqrt(3) / SPACING_A, rel=0.1)
    assert found.similarity > SETTINGS.least_similarity


@pytest.mark.parametrize("seed", range(2))
def test_polyanions_that_diffuse_whole_are_a_melt_and_it_is_told_since_when(seed):
    atoms, moved = _vibrating(seed)
    at_ps = 20.0
    of_groups = walk(np.random.default_rng(10 + seed), FRAMES, 8, 0.1, start=round(at_ps / FRAME_PS))
    moved = moved + _masked(atoms, ["P", "S"], np.repeat(of_groups, 8, axis=1))
    found = _watched(atoms, moved)
    assert found.melted_at_ps == pytest.approx(at_ps, abs=SETTINGS.window_ps)
    assert not found.sound
    # Groups that know nothing of each other may meet, and are then told to be others as well, not before.
    assert found.sound_until_ps == pytest.approx(at_ps, abs=SETTINGS.window_ps)
    assert found.polyanion_slope_A2_per_ps > SETTINGS.least_slope_A2_per_ps


@pytest.mark.parametrize("seed", range(2))
def test_anions_that_turn_are_told_and_melt_nothing(seed):
    atoms, moved = _vibrating(seed, 0.1)
    found = _watched(atoms, moved + turned(atoms, FRAMES, np.random.default_rng(seed)))
    assert found.sound
    assert found.rotating_anions
    assert found.host_lindemann_ratio > SETTINGS.lindemann_ratio  # the sulphurs alone would say that it melts
    assert found.lindemann_ratio < SETTINGS.lindemann_ratio


def test_a_polyanion_that_falls_apart_is_told_with_its_time():
    atoms, moved = _vibrating()
    away = np.zeros_like(moved)
    away[round(25.0 / FRAME_PS) :, 1] = 0.9
    found = _watched(atoms, moved + away)
    assert found.melted_at_ps is None
    assert found.decomposed_at_ps == pytest.approx(20.0, abs=SETTINGS.window_ps)
    assert found.change == "8 PS4 became 7, 0 PS3 became 1"


def test_environments_of_a_liquid_are_not_those_of_the_crystal():
    atoms, moved = _vibrating()
    random = np.random.default_rng(5)
    host = np.isin(atoms.get_chemical_symbols(), ["P", "S"])
    drawn = np.where(host[None, :, None], random.uniform(0, 12.0, (1, len(atoms), 3)) - atoms.positions, 0.0)
    found = _watched(atoms, moved + drawn * np.linspace(0, 1, FRAMES)[:, None, None], atoms)
    assert found.similarity < SETTINGS.least_similarity
