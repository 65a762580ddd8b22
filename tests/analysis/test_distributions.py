"""Quantiles and probabilities are those of scipy.stats."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ionloop.analysis.distributions import (
    chi2_quantile,
    chi2_tail,
    f_tail,
    gamma_tail,
    normal_probability,
    normal_quantile,
    student_quantile,
)


@pytest.mark.parametrize("freedom", [0.5, 1, 7.3, 200, 1e6])
@pytest.mark.parametrize("probability", [1e-6, 0.025, 0.5, 0.975])
def test_they_are_those_of_scipy_stats(freedom: float, probability: float) -> None:
    assert normal_quantile(probability) == stats.norm.ppf(probability)
    assert student_quantile(probability, freedom) == stats.t.ppf(probability, freedom)
    assert chi2_quantile(probability, freedom) == stats.chi2.ppf(probability, freedom)
    value = 1.3 * freedom
    assert chi2_tail(value, freedom) == stats.chi2.sf(value, freedom)
    assert f_tail(value, 3, freedom) == stats.f.sf(value, 3, freedom)


def test_arrays_broadcast() -> None:
    values, shapes, scales = np.array([[0.0], [0.4], [3.0]]), np.array([0.5, 2.0]), np.array([1.0, 0.1])
    assert np.array_equal(gamma_tail(values, shapes, scales), stats.gamma.sf(values, shapes, scale=scales))
    assert np.array_equal(normal_probability([-1.0, 1.0]), stats.norm.cdf([-1.0, 1.0]))
