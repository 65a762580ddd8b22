"""Asymptotes of slopes whose crossover is known, exactly and with the noise of Brownian paths."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.conductivity.crossover import (
    Mixture,
    asymptotic_slope,
    crossover_models,
    joint_asymptote,
    mixture_quantiles,
)
from ionloop.analysis.conductivity.displacement_scales import SlopeNoise, scale_covariance, scale_lags, slope_matrix

LEVELS = (0.5, 0.025, 0.975)
FRAMES, HOP_A, RATE = 2000, 3.0, 0.02
SERIES = 3 * 14
# What 95 % of 100 repeats are below with a chance of 0.1 % (binomial).
REPEATS, FEWEST_IN_INTERVAL = 100, 88


def straight(lags):
    return lags


def rattling(lags):
    """Vibrations that relax within six frames, beside diffusion of slope 1."""
    return lags + 0.7 * (1 - np.exp(-lags / 6.0))


def back_hops(lags):
    """Hops of which one in seven is taken back: <cos> = -1/7 between successive ones; slope 1 at long times."""
    back, hops = 1 / 7, RATE * lags
    factor = (1 - back) / (1 + back)
    return (hops * factor + 2 * back * (1 - np.exp(-(1 + back) * hops)) / (1 + back) ** 2) / (RATE * factor)


def noise_of(frames, lags, series):
    covariance = scale_covariance(frames, lags) / series
    return SlopeNoise(covariance, np.zeros(len(lags)), np.zeros_like(covariance))


def slopes_of(curve, frames=FRAMES):
    lags = scale_lags(frames)
    return lags, slope_matrix(lags) @ curve(np.array(lags, dtype=float))


def test_the_scale_of_the_crossover_is_biased_and_long_ones_are_not():
    lags, slopes = slopes_of(rattling, 10_000)
    found = asymptotic_slope(slopes, noise_of(10_000, lags, 1344), crossover_models(lags))
    np.testing.assert_allclose(found.deviation, slopes - 1.0, atol=0.02)
    assert found.bias[0] == pytest.approx(slopes[0] - 1.0, abs=0.02)
    assert found.bias[lags.index(64)] < 0.02


def test_flights_before_diffusion_are_left_out():
    lags = scale_lags(10_000)
    curve = 0.5 * (1 - np.exp(-((np.array(lags) / 5.0) ** 2))) + 0.01 * np.array(lags)
    found = asymptotic_slope(slope_matrix(lags) @ curve, noise_of(10_000, lags, 60), crossover_models(lags))
    assert found.first > 0
    assert found.mean == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("curve", [straight, rattling, back_hops])
def test_noisy_curves_have_their_slope_within_the_interval(curve):
    lags, exact = slopes_of(curve)
    noise, models = noise_of(FRAMES, lags, SERIES), crossover_models(lags)
    random = np.random.default_rng(3)
    held = 0
    for one in random.multivariate_normal(np.zeros(len(lags)), noise.brownian, REPEATS):
        found = asymptotic_slope(exact * (1 + one), noise, models)
        _, low, high = mixture_quantiles(found.mixture, 0.0, LEVELS)
        held += low < 1.0 < high
    assert held >= FEWEST_IN_INTERVAL


def test_the_ratio_of_two_curves_is_sharper_than_each():
    lags, exact = slopes_of(back_hops)
    ions, other = noise_of(FRAMES, lags, SERIES), noise_of(FRAMES, lags, 3 * 14 / 13)
    models = crossover_models(lags)
    random = np.random.default_rng(4)
    shared = random.multivariate_normal(np.zeros(len(lags)), ions.brownian, REPEATS // 2)
    apart = random.multivariate_normal(np.zeros(len(lags)), other.brownian, REPEATS // 2)
    held, widths, of_ratio = 0, [], []
    for common, own in zip(shared, apart, strict=True):
        slopes = exact * (1 + common), 2.5 * exact * (1 + common + own)
        found = asymptotic_slope(slopes[0], ions, models)
        joint = joint_asymptote((slopes[0], ions), (slopes[1], other), found, models)
        _, low, high = mixture_quantiles(joint.ratio, 0.0, LEVELS)
        held += low < 2.5 < high
        of_ratio.append((high - low) / 2.5)
        _, low, high = mixture_quantiles(joint.asymptote.mixture, 0.0, LEVELS)
        widths.append((high - low) / 2.5)
    assert held >= 0.88 * REPEATS // 2
    assert np.median(of_ratio) < np.median(widths)


@pytest.mark.parametrize("count", [4, 25, 400])
def test_counts_have_nearly_the_interval_of_garwood(count):
    from scipy.stats import chi2

    one = Mixture(np.ones(1), np.array([float(count)]), np.array([1e-12]), float(count))
    _, low, high = mixture_quantiles(one, 1.0, LEVELS)
    assert low == pytest.approx(chi2.ppf(0.025, 2 * count) / 2, rel=0.25 if count < 10 else 0.06)
    assert high == pytest.approx(chi2.ppf(0.975, 2 * count + 2) / 2, rel=0.15 if count < 10 else 0.05)


def test_squares_of_few_paths_have_the_interval_of_chi_squared():
    from scipy.stats import chi2

    freedom = 10
    one = Mixture(np.ones(1), np.array([2.0]), np.array([4.0 * 2 / freedom]), 2.0)
    _, low, high = mixture_quantiles(one, 0.0, LEVELS)
    assert low == pytest.approx(2.0 * freedom / chi2.ppf(0.975, freedom), rel=0.02)
    assert high == pytest.approx(2.0 * freedom / chi2.ppf(0.025, freedom), rel=0.02)
