from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.conductivity.mean_squared_displacement import (
    brownian_covariance,
    direct_mean_squared_displacements,
    mean_squared_displacements,
    spread_lags,
)

RELATIVE_TOLERANCE = 1e-10
COVARIANCE_TOLERANCE = 0.06


def brownian(frames: int, ions: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(frames, ions, 3)), axis=0)


@pytest.mark.parametrize("frames", [2, 17, 400])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_the_transform_gives_what_the_direct_sum_gives(frames, offset):
    positions = brownian(frames, 3) + offset
    lags = np.arange(frames)
    found = mean_squared_displacements(positions, lags)
    assert np.all(found[0] == 0)
    np.testing.assert_allclose(
        found[1:], direct_mean_squared_displacements(positions, lags)[1:], rtol=RELATIVE_TOLERANCE
    )


def test_small_vibrations_far_from_the_origin_keep_their_digits():
    times = np.arange(3000.0)
    positions = 50.0 + 0.01 * np.sin(0.7 * times)[:, None, None] * np.ones((1, 2, 3))
    lags = spread_lags(1500)
    np.testing.assert_allclose(
        mean_squared_displacements(positions, lags),
        direct_mean_squared_displacements(positions, lags),
        rtol=RELATIVE_TOLERANCE,
        atol=1e-16,
    )


def test_steady_motion_grows_with_the_square_of_time():
    velocity = np.array([0.3, -0.2, 0.1])
    positions = np.arange(200.0)[:, None, None] * velocity
    lags = np.array([1, 10, 150])
    np.testing.assert_allclose(
        mean_squared_displacements(positions, lags)[:, 0], np.outer(lags**2, velocity**2), rtol=RELATIVE_TOLERANCE
    )


def test_drift_and_the_choice_of_atoms():
    positions = brownian(100, 5)
    drift = np.arange(100.0)[:, None] * np.array([1.0, 2.0, 3.0])
    lags = np.array([1, 7])
    found = mean_squared_displacements(positions + drift[:, None], lags, atoms=np.array([4, 1]), drift_A=drift)
    np.testing.assert_allclose(found, mean_squared_displacements(positions, lags)[:, [4, 1]], rtol=1e-9)


def test_chunks_change_nothing(monkeypatch):
    positions, lags = brownian(60, 7), np.arange(1, 30)
    whole = mean_squared_displacements(positions, lags)
    monkeypatch.setattr("ionloop.analysis.conductivity.mean_squared_displacement._CHUNK_VALUES", 1)
    np.testing.assert_allclose(mean_squared_displacements(positions, lags), whole, rtol=1e-13)


@pytest.mark.parametrize("lag", [-1, 10])
def test_lags_outside_the_trajectory_are_refused(lag):
    with pytest.raises(ValueError, match="from 0 to 9"):
        mean_squared_displacements(brownian(10, 1), np.array([lag]))


def test_spread_lags_are_whole_and_unique():
    lags = spread_lags(1000)
    assert lags[0] == 1
    assert lags[-1] == 1000
    assert np.all(np.diff(lags) > 0)
    assert len(spread_lags(0)) == 0


def test_the_covariance_of_brownian_paths():
    lags = np.array([1, 2, 5, 12, 25])
    found = mean_squared_displacements(brownian(50, 20_000), lags).reshape(len(lags), -1)
    np.testing.assert_allclose(np.cov(found) / brownian_covariance(50, lags), 1.0, atol=COVARIANCE_TOLERANCE)
