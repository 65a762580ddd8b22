"""The interval of what a model adds holds as many as it says, for few samples too, with and without noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student_t

from ionloop.analysis.conductivity.model_spread import model_half_width
from ionloop.analysis.conductivity.model_spread_settings import FEWEST_SAMPLES
from ionloop.core.errors import InputError

GRID_TOLERANCE = 0.02
REPEATS = 300
LEAST_COVERAGE, MOST_COVERAGE = 0.92, 1.0


@pytest.mark.parametrize("count", [4, 6, 20])
def test_without_statistical_errors_it_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(3.0, 0.4, count)
    scatter = np.square(values - values.mean()).sum()
    expected = student_t.ppf(0.975, count - 2) * np.sqrt(scatter / (count - 2))
    assert model_half_width(values, np.zeros(count)) == pytest.approx(expected, rel=GRID_TOLERANCE)


@pytest.mark.parametrize(("count", "noise"), [(4, 0.1), (4, 1.0), (6, 0.5), (12, 2.0)])
def test_it_holds_what_a_model_adds(count: int, noise: float) -> None:
    random, spread = np.random.default_rng(7), 0.5
    inside = []
    for _ in range(REPEATS):
        errors = spread * noise * random.uniform(0.5, 1.5, count)
        values = 1.0 + spread * random.normal(size=count) + errors * random.normal(size=count)
        inside.append(abs(spread * random.normal()) <= model_half_width(values, errors))
    assert LEAST_COVERAGE <= np.mean(inside) <= MOST_COVERAGE


def test_of_models_that_agree_it_is_still_what_noise_leaves_open() -> None:
    assert model_half_width([1.0] * 5, [0.1] * 5) > 0.05
    assert model_half_width([1.0] * 5, [0.0] * 5) == 0.0
    with pytest.raises(InputError, match="4 or more"):
        model_half_width([1.0] * (FEWEST_SAMPLES - 1), [0.1] * (FEWEST_SAMPLES - 1))
