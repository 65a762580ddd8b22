"""What is no diffusion: exact power laws, and paths that change, stop or differ."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.conductivity.crossover import asymptotic_slope, crossover_models
from ionloop.analysis.conductivity.diffusion import diffusion
from ionloop.analysis.conductivity.displacement_scales import (
    ScaleSlopes,
    SlopeNoise,
    scale_covariance,
    scale_lags,
    slope_matrix,
    squared_displacements,
)
from ionloop.analysis.conductivity.linearity import is_unfinished, power_law
from ionloop.analysis.conductivity.transport_settings import TransportSettings

FRAMES, IONS = 2000, 14
TOLERANCE = TransportSettings().exponent_tolerance


def law_of(curve, frames=FRAMES, series=3 * IONS):
    lags = scale_lags(frames)
    slopes = slope_matrix(lags) @ curve(np.array(lags, dtype=float))
    relative, models = scale_covariance(frames, lags) / series, crossover_models(lags)
    noise = SlopeNoise(relative, np.zeros(len(lags)), np.zeros_like(relative))
    asymptote = asymptotic_slope(slopes, noise, models)
    return power_law(slopes, asymptote, noise.covariance(asymptote.size), lags, models), asymptote, lags


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.7, 0.8, 0.9, 1.2])
def test_exact_power_laws_are_found(exponent):
    law, *_ = law_of(lambda lags: lags**exponent)
    assert law.exponent == pytest.approx(exponent, abs=0.02)
    assert law.deviates(TOLERANCE)


@pytest.mark.parametrize("series", [3, 42, 1344])
@pytest.mark.parametrize(
    "curve",
    [
        lambda lags: lags,
        lambda lags: lags + 0.5 * (1 - np.exp(-lags / 6)),
        lambda lags: lags + 5.0 * (1 - np.exp(-lags / 20)),
    ],
    ids=["straight", "rattling", "back-hops"],
)
def test_exact_crossovers_are_no_power_laws(curve, series):
    law, asymptote, lags = law_of(curve, series=series)
    assert not law.deviates(TOLERANCE)
    assert not is_unfinished(asymptote, lags, float(curve(np.array(lags[-1], dtype=float))))


def test_a_tolerance_lets_small_deviations_pass():
    law, *_ = law_of(lambda lags: lags**0.9, series=1344)
    assert law.deviates(0.03)
    assert not law.deviates(0.2)


def test_what_is_bound_never_ends_its_crossover():
    _, asymptote, lags = law_of(lambda lags: 1.0 - np.exp(-lags / 100.0))
    assert is_unfinished(asymptote, lags, 1.0)


def walk(seed, rates, frames=FRAMES, ions=IONS):
    """Hops of 3 Å along an axis, with the chance ``rates`` [n_frames]."""
    random = np.random.default_rng(seed)
    axis = random.integers(0, 3, (frames, ions, 1))
    steps = np.zeros((frames, ions, 3))
    hopping = random.random((frames, ions, 1)) < rates[:, None, None]
    np.put_along_axis(steps, axis, 3.0 * hopping * random.choice([-1.0, 1.0], axis.shape), axis=2)
    return np.cumsum(steps, axis=0) + random.normal(0, 0.2, steps.shape)


def check_of(paths):
    lags = scale_lags(min(map(len, paths)))
    squares = tuple(squared_displacements(one, lags, atoms=np.arange(IONS)) for one in paths)
    return diffusion(ScaleSlopes(squares, IONS), TransportSettings()).check


TIME = np.arange(FRAMES) / FRAMES


@pytest.mark.parametrize(
    ("rates", "later"),
    [(0.05 * (TIME < 0.5), 0.0), (0.02 + 0.06 * (TIME > 0.6), 3.4), (0.03 + 0.2 * (TIME < 0.15), 0.33)],
    ids=["freezes", "melts", "not equilibrated"],
)
def test_parts_that_differ_are_seen(rates, later):
    check = check_of([walk(0, rates)])
    assert check.changes
    assert not check.steady
    assert check.later_over_earlier == pytest.approx(later, rel=0.35, abs=0.1)


def wells(seed, bound, frames=1000, steps=6):
    """Langevin dynamics of ions in a lattice of wells that are there in the frames ``bound`` only."""
    random = np.random.default_rng(seed)
    wave, depth_eV, kT_eV, mobility, timestep = 2 * np.pi / 3.0, 0.45, 0.06, 1.0, 0.03
    ions = 3.0 * np.arange(3.0 * IONS).reshape(IONS, 3)
    path = np.empty((frames, IONS, 3))
    for frame in range(frames):
        for _ in range(steps):
            force = -0.5 * depth_eV * wave * np.sin(wave * ions) if bound[frame] else 0.0
            noise = random.normal(0.0, np.sqrt(2 * mobility * kT_eV * timestep), ions.shape)
            ions = ions + mobility * timestep * force + noise
        path[frame] = ions
    return path


@pytest.mark.parametrize("part", [0.1, 0.5, 0.85])
def test_an_ion_lattice_that_melts_or_freezes_is_seen(part):
    time = np.arange(1000) / 1000
    melts, freezes = check_of([wells(1, time < part)]), check_of([wells(2, time > part)])
    assert melts.changes
    assert freezes.changes
    assert melts.later_over_earlier > 1.0 > freezes.later_over_earlier


def test_replicas_that_differ_are_seen():
    steady = np.full(FRAMES, 0.05)
    assert check_of([factor * walk(seed, steady) for seed, factor in enumerate((1.0, 1.5, 2.0))]).scattered


def test_steady_hops_pass():
    passed = [check_of([walk(seed, np.full(FRAMES, 0.03)) for seed in (2 * n, 2 * n + 1)]) for n in range(20)]
    assert sum(one.steady and one.linear for one in passed) >= 18
