"""The interaction of two Slater clouds against tabulated values and against its Fourier integral."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.coulomb.slater import NEARLY_EQUAL, SERIES_LIMIT, SlaterPairTable, slater_coulomb

TABULATED_TOLERANCE = 1e-10  # 1/Å, the digits that are tabulated
TABULATED_SLOPE_TOLERANCE = 1e-8  # 1/Å²
INTEGRAL_TOLERANCE = 1e-9  # 1/Å, of the quadrature
EXPANSION_TOLERANCE = 1e-10  # 1/Å, of J where the exponents nearly agree


def fourier_integral(a: float, b: float, distance: float) -> float:
    """J = (2/π) ∫ f_a f_b sin(kR)/(kR) dk with f = (1 + k²/4ζ²)⁻², the transform of the density."""

    def integrand(k: float) -> float:
        damping = 1.0
        for exponent in (a, b):
            if not math.isinf(exponent):
                damping /= (1 + k**2 / (4 * exponent**2)) ** 2
        return damping * float(np.sinc(k * distance / math.pi))

    # The integrand falls as k^-4 at least and oscillates with R: far enough, without thousands of periods.
    value, _ = quad(integrand, 0, 400 / max(distance, 0.04), limit=4000, epsabs=1e-13, epsrel=1e-13)
    return 2 / math.pi * value


@pytest.mark.parametrize(
    ("a", "b", "distance", "value", "slope"),
    [
        (1.2, 1.2, 1.0, 0.63549526368, -0.18469961),
        (0.7888, 1.6422, 1.5, 0.49668774792, -0.14254699),
        (0.7888, 1.5603, 2.45, 0.37331791262, -0.10934946),
        (1.5603, 1.6422, 2.05, 0.47434658187, -0.20126260),
    ],
)
def test_tabulated_values(a: float, b: float, distance: float, value: float, slope: float) -> None:
    for first, second in ((a, b), (b, a)):
        j, j_slope = slater_coulomb(first, second, distance)
        assert j == pytest.approx(value, abs=TABULATED_TOLERANCE)
        assert j_slope == pytest.approx(slope, abs=TABULATED_SLOPE_TOLERANCE)


@pytest.mark.parametrize("distance", [1e-6, 0.01, 0.1, 0.5, 1.5, 4.0])
@pytest.mark.parametrize(
    ("a", "b"),
    [(1.2, 1.2), (0.8, 1.6), (1.2, 1.2001), (1.19, 1.21), (1.18, 1.22), (0.5, 3.0), (0.8, math.inf)],
)
def test_agrees_with_the_fourier_integral(a: float, b: float, distance: float) -> None:
    j, _ = slater_coulomb(a, b, distance)
    assert j == pytest.approx(fourier_integral(a, b, distance), abs=INTEGRAL_TOLERANCE)


@pytest.mark.parametrize(("a", "b"), [(1.2, 1.2), (0.8, 1.6), (1.5, 1.52), (0.8, math.inf), (math.inf, math.inf)])
def test_slope_is_the_derivative(a: float, b: float) -> None:
    distances = np.array([0.04, 0.1, 0.16, 0.3, 1.0, 3.0, 8.0])
    step = 1e-5
    _, slope = slater_coulomb(a, b, distances)
    numerical = (slater_coulomb(a, b, distances + step)[0] - slater_coulomb(a, b, distances - step)[0]) / (2 * step)
    np.testing.assert_allclose(slope, numerical, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1.2, 1.2), (0.7888, 1.6422), (1.5603, 1.5603)])
def test_limit_at_the_origin(a: float, b: float) -> None:
    j, slope = slater_coulomb(a, b, 0.0)
    assert j == pytest.approx(a * b * (a**2 + 3 * a * b + b**2) / (a + b) ** 3, abs=1e-14)
    assert slope == 0.0


def test_point_charge_is_the_limit_of_a_large_exponent() -> None:
    distances = np.array([0.3, 1.0, 2.5])
    point, point_slope = slater_coulomb(0.8, math.inf, distances)
    sharp, sharp_slope = slater_coulomb(0.8, 1e5, distances)
    np.testing.assert_allclose(point, sharp, atol=1e-9)
    np.testing.assert_allclose(point_slope, sharp_slope, atol=1e-8)
    np.testing.assert_allclose(point, 1 / distances - np.exp(-1.6 * distances) * (0.8 + 1 / distances), rtol=1e-13)
    bare, bare_slope = slater_coulomb(math.inf, math.inf, distances)
    np.testing.assert_allclose(bare, 1 / distances, rtol=1e-15)
    np.testing.assert_allclose(bare_slope, -1 / distances**2, rtol=1e-15)


def test_switch_to_the_expansion_for_nearly_equal_exponents_is_invisible() -> None:
    mean, distances = 1.3, np.linspace(0.3, 8.0, 40)
    for sign in (-1, 1):
        half_differences = mean * NEARLY_EQUAL * np.array([1 - 1e-9, 1 + 1e-9])
        below, above = (slater_coulomb(mean + sign * h, mean - sign * h, distances) for h in half_differences)
        np.testing.assert_allclose(below[0], above[0], atol=EXPANSION_TOLERANCE)
        np.testing.assert_allclose(below[1], above[1], atol=10 * EXPANSION_TOLERANCE)


def test_series_joins_the_closed_form() -> None:
    for a, b in ((1.2, 1.2), (0.8, 1.6), (1.5, 1.52), (0.8, math.inf)):
        largest = a if math.isinf(b) else max(a, b)
        edge = SERIES_LIMIT / (2 * largest)
        inside, outside = slater_coulomb(a, b, edge * (1 - 1e-12)), slater_coulomb(a, b, edge * (1 + 1e-12))
        assert inside[0] == pytest.approx(outside[0], abs=EXPANSION_TOLERANCE)
        assert inside[1] == pytest.approx(outside[1], abs=10 * EXPANSION_TOLERANCE)


def test_cutoffs_bound_the_correction() -> None:
    exponents = [0.8, 1.6, math.inf]
    table = SlaterPairTable(exponents)
    threshold = 1e-7
    cutoffs = table.cutoffs(np.full((3, 3), 14.4), threshold)
    assert cutoffs[2, 2] == 0
    for first in range(3):
        for second in range(3):
            if first == second == 2:
                continue
            rows = table.pair_index(np.array([first]), np.array([second]))
            beyond = np.linspace(cutoffs[first, second] + 0.01, cutoffs[first, second] + 20, 200)
            _, slope = table.correction(np.repeat(rows, 200), beyond)
            assert 14.4 * np.abs(slope).max() < threshold
            _, inside = table.correction(rows, np.array([cutoffs[first, second] - 0.2]))
            assert 14.4 * abs(inside[0]) > threshold


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0.0, 1.0, 1.0), "0.0"),
        ((1.0, -2.0, 1.0), "-2.0"),
        ((1.0, 1.0, -1.0), "distance"),
        ((math.inf, math.inf, 0.0), "infinite"),
    ],
)
def test_meaningless_input_is_refused(arguments: tuple[float, float, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        slater_coulomb(*arguments)
