"""Where the first shell ends: gaps, shallow minima, noise."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.structure_functions.first_shells import first_shell

R_A = np.arange(0.01, 10.0, 0.02)


def peak(centre_A, width_A, height):
    return height * np.exp(-0.5 * ((R_A - centre_A) / width_A) ** 2)


def liquid():
    return np.where(R_A > 2.5, 1.0 + 1.2 * np.exp(-(R_A - 3.0) / 2.0) * np.cos(2 * np.pi * (R_A - 3.0) / 3.0), 0.0)


def test_a_gap_ends_the_shell_in_its_middle():
    found = first_shell(R_A, peak(2.05, 0.05, 30.0) + peak(3.95, 0.05, 10.0))
    assert found.peak_A == pytest.approx(2.05, abs=0.02)
    assert found.end_A == pytest.approx(3.0, abs=0.1)
    assert found.minimum == pytest.approx(0.0, abs=0.02)


def test_a_shallow_minimum_of_a_liquid_is_found_through_noise():
    noise = np.random.default_rng(1).normal(0.0, 0.03, len(R_A))
    found = first_shell(R_A, liquid() + noise)
    # Extrema of the damped cosine: tan(2πx/3) = -3/(4π), x = r - 3.
    earlier_A = 3.0 / (2 * np.pi) * np.arctan(3.0 / (4 * np.pi))
    assert found.peak_A == pytest.approx(3.0 - earlier_A, abs=0.1)
    assert found.end_A == pytest.approx(4.5 - earlier_A, abs=0.2)


@pytest.mark.parametrize("g", [np.ones(len(R_A)), np.zeros(len(R_A)), np.where(R_A > 9.5, 2.0, 0.0)])
def test_what_has_no_peak_and_minimum_has_no_shell(g):
    assert first_shell(R_A, g) is None


def test_noise_alone_is_no_shell():
    noise = np.random.default_rng(2).normal(1.0, 0.05, len(R_A))
    assert first_shell(R_A, noise) is None
