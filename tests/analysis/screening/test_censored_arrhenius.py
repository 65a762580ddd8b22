"""Arrhenius lines with diffusivities that are only bounds."""

import numpy as np
import pytest
from ase.units import kB
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.analysis.conductivity.arrhenius import ChargeCarriers, fit_arrhenius
from ionloop.analysis.screening.censored_arrhenius import DiffusivityPoint, fit_censored_arrhenius
from ionloop.core.errors import InputError

CARRIERS = ChargeCarriers(24, 1.0, 1200.0)
TEMPERATURES_K = (1000.0, 800.0, 640.0, 512.0)
SAME_LINE = 1e-3
SAME_INTERVAL = 0.08  # one of them is drawn


def _line(temperature_K, energy_eV=0.3, logarithm=3.0):
    return float(np.exp(logarithm - energy_eV / (kB * temperature_K)))


def _points(count=4, error=0.1, seed=None, energy_eV=0.3):
    noise = np.zeros(count) if seed is None else np.random.default_rng(seed).normal(0.0, error, count)
    return [
        DiffusivityPoint(one, _line(one, energy_eV) * float(np.exp(off)), relative_error=error)
        for one, off in zip(TEMPERATURES_K[:count], noise, strict=True)
    ]


@given(st.integers(0, 10_000), st.floats(0.02, 0.3))
@settings(max_examples=5, deadline=None)
def test_what_is_all_measured_is_the_fit_of_conductivities(seed, error):
    points = _points(seed=seed, error=error)
    found = fit_censored_arrhenius(points, CARRIERS)
    values = [one.value_A2_per_ps for one in points]
    known = fit_arrhenius(TEMPERATURES_K, values, [error * one for one in values], CARRIERS)
    energy, other = found.activation_energy_eV, known.activation_energy_eV
    assert energy.value == pytest.approx(other.value, abs=SAME_LINE)
    assert energy.high - energy.low == pytest.approx(other.high - other.low, rel=SAME_INTERVAL)
    room = found.extrapolated_conductivity_mS_per_cm
    assert np.log(room.value) == pytest.approx(np.log(known.extrapolated_conductivity_mS_per_cm.value), abs=0.05)
    assert found.scatter_ratio == pytest.approx(known.scatter_ratio)
    assert found.diffusivity_A2_per_ps(300.0) == pytest.approx(found.extrapolated_diffusivity_A2_per_ps.value)


def test_a_bound_far_above_the_line_says_nothing():
    points = _points(3)
    alone = fit_censored_arrhenius(points, CARRIERS)
    bounded = fit_censored_arrhenius([*points, DiffusivityPoint(512.0, bound_A2_per_ps=1e3)], CARRIERS)
    assert bounded.activation_energy_eV.value == pytest.approx(alone.activation_energy_eV.value, abs=1e-6)
    assert bounded.bounded_temperatures_K == (512.0,)


def test_a_bound_below_the_line_makes_it_steeper_and_never_as_steep_as_zero_would():
    points = _points(2, error=0.15)
    alone = fit_censored_arrhenius(points, CARRIERS).activation_energy_eV
    bounded = fit_censored_arrhenius([*points, DiffusivityPoint(512.0, bound_A2_per_ps=0.5 * _line(512.0))], CARRIERS)
    assert alone.value < bounded.activation_energy_eV.value < 0.6
    assert bounded.activation_energy_eV.low > alone.low
    # One-sided: nothing keeps the line from being steeper still.
    assert bounded.activation_energy_eV.high > alone.value + 0.1


def test_a_bound_on_the_line_is_the_normal_posterior_cut_at_it():
    """Against numbers drawn from the distribution of what is measured, weighed by the probability of the bound."""
    points, bound = _points(3, error=0.1), DiffusivityPoint(450.0, bound_A2_per_ps=_line(450.0), relative_error=0.2)
    found = fit_censored_arrhenius([*points, bound], CARRIERS)
    random = np.random.default_rng(1)
    inverse = 1.0 / (kB * np.array(TEMPERATURES_K[:3]))
    design = np.stack([np.ones(3), -inverse], axis=1) / 0.1
    covariance = np.linalg.inv(design.T @ design)
    t = random.standard_normal((200_000, 2)) * np.sqrt(6 / random.chisquare(6, (200_000, 1)))
    lines = np.array([3.0, 0.3]) + t @ np.linalg.cholesky(covariance).T
    from scipy.stats import norm

    predicted = lines[:, 0] - lines[:, 1] / (kB * 450.0)
    weights = norm.cdf((np.log(bound.bound_A2_per_ps) - predicted) / 0.2)
    order = np.argsort(lines[:, 1])
    sums = np.cumsum(weights[order]) / weights.sum()
    low, middle, high = np.interp([0.025, 0.5, 0.975], sums, lines[order, 1])
    energy = found.activation_energy_eV
    assert (energy.low, energy.value, energy.high) == pytest.approx((low, middle, high), abs=5e-3)


def test_the_probability_of_a_conductivity_is_that_of_the_distribution():
    points = _points(4, error=0.2)
    value = fit_censored_arrhenius(points, CARRIERS).extrapolated_conductivity_mS_per_cm
    for threshold, probability in ((value.value, 0.5), (value.low, 0.975), (value.high, 0.025)):
        found = fit_censored_arrhenius(points, CARRIERS, threshold_mS_per_cm=threshold)
        assert found.probability_above_threshold == pytest.approx(probability, abs=0.01)


@pytest.mark.parametrize(
    "points",
    [
        _points(1),
        [*_points(1), DiffusivityPoint(800.0, bound_A2_per_ps=0.1)],
        [*_points(2), DiffusivityPoint(600.0, bound_A2_per_ps=0.0)],
        [*_points(2), DiffusivityPoint(600.0, value_A2_per_ps=0.1, relative_error=0.0)],
    ],
)
def test_what_gives_no_line_is_refused(points):
    with pytest.raises(InputError):
        fit_censored_arrhenius(points, CARRIERS)
