"""Audits: a Poisson process that nothing but the seed decides, and intervals that hold what they say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.sampling.on_the_fly.audits import audit_steps, audit_times_ps
from ionloop.sampling.on_the_fly.errors import FrameError, alarm_quality, audited_errors, error_interval
from ionloop.sampling.on_the_fly.settings import OnTheFlySettings

STANDARD_ERRORS_ALLOWED = 4.0
COVERAGE = (0.90, 0.98)
"""Of intervals that say 95 %, from 600 samples: a standard error is 1 %."""


def test_audits_come_at_their_rate_and_half_as_often_after_every_doubling() -> None:
    every_ps, first_ps, processes = 0.5, 20.0, 200
    counts = dict.fromkeys(((0, 20), (20, 40), (40, 80), (80, 160)), 0)
    for seed in range(processes):
        for window in counts:
            counts[window] += len(audit_times_ps(seed, *window, every_ps, first_ps))
    expected = {(0, 20): 40.0, (20, 40): 40 * math.log(2), (40, 80): 40 * math.log(2), (80, 160): 40 * math.log(2)}
    for window, count in counts.items():
        mean = expected[window] * processes
        assert abs(count - mean) < STANDARD_ERRORS_ALLOWED * math.sqrt(mean)


@given(st.integers(0, 2**31), st.lists(st.floats(0.0, 100.0), min_size=1, max_size=6))
def test_windows_together_have_the_times_of_the_whole(seed: int, bounds: list[float]) -> None:
    edges = [0.0, *sorted(bounds), 100.0]
    whole = audit_times_ps(seed, 0.0, 100.0, 1.0, 30.0)
    parts = [audit_times_ps(seed, *pair, 1.0, 30.0) for pair in itertools.pairwise(edges)]
    assert [time_ps for part in parts for time_ps in part] == whole
    assert whole == sorted(whole)


def test_audits_of_legs_are_ends_of_blocks_spread_over_all_walkers() -> None:
    settings = OnTheFlySettings(walkers=3, leg_ps=0.5, length_ps=10, write_every=10, audit_every_ps=0.5)
    found = [audit_steps(settings, 7, leg, walker) for leg in range(20) for walker in range(3)]
    steps = [step for one in found for step in one]
    assert all(0 < step <= 500 and step % 10 == 0 for step in steps)
    assert abs(len(steps) - 60) < STANDARD_ERRORS_ALLOWED * math.sqrt(60)
    assert np.std([len(one) for one in found]) > 0.5


def errors_of(random: np.random.Generator, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw frames whose own errors differ by factors, as those of trajectories at several temperatures do."""
    scales = 0.2 * np.exp(0.3 * random.standard_normal(frames))
    squares = [(scale * random.standard_normal(126) ** 2).sum() * scale for scale in scales]
    return np.array(squares), np.full(frames, 126)


@pytest.mark.parametrize("frames", [5, 8, 30])
def test_intervals_hold_the_error_as_often_as_they_say(frames: int) -> None:
    truth = 0.2 * math.exp(0.3**2)
    random = np.random.default_rng(frames)
    held = [one.low <= truth <= one.high for one in (error_interval(*errors_of(random, frames)) for _ in range(600))]
    assert COVERAGE[0] < np.mean(held) < COVERAGE[1]


def frame(error: float, *, is_audit: bool, ratio: float, seed: int = 0) -> FrameError:
    forces = np.zeros((4, 3))
    forces[:2, 0] = error
    return FrameError(("Li", "Li", "S", "S"), forces, 0.001 * error, is_audit, ratio)


def test_only_audits_measure_by_element_and_for_energies() -> None:
    frames = [frame(0.1, is_audit=True, ratio=0.5), frame(0.3, is_audit=True, ratio=0.5)]
    frames += [frame(9.0, is_audit=False, ratio=1.5)]
    found = audited_errors(frames)
    assert found.forces.frames == 2
    assert found.forces.rmse == pytest.approx(math.sqrt((2 * 0.01 + 2 * 0.09) / 24))
    assert found.forces.low < found.forces.rmse < found.forces.high
    assert found.by_element["Li"].rmse == pytest.approx(math.sqrt((2 * 0.01 + 2 * 0.09) / 12))
    assert found.by_element["S"].rmse == 0.0
    assert found.energies.rmse == pytest.approx(0.001 * math.sqrt((0.01 + 0.09) / 2))
    # Of two or three frames an interval would reach from nothing to anything.
    several = [frame(error, is_audit=True, ratio=0.5) for error in (0.1, 0.2, 0.3, 0.4)]
    assert [math.isinf(audited_errors(several[:n]).forces.high) for n in (1, 3, 4)] == [True, True, False]
    assert math.isnan(audited_errors([]).forces.rmse)


def test_an_alarm_is_judged_by_what_it_chose_and_by_the_audits_that_it_missed() -> None:
    frames = [
        frame(0.5, is_audit=False, ratio=1.4),
        frame(0.1, is_audit=False, ratio=1.2),
        frame(0.4, is_audit=True, ratio=0.9),
        frame(0.45, is_audit=True, ratio=1.1),
        frame(0.05, is_audit=True, ratio=0.2),
    ]
    found = alarm_quality(frames, 0.1)
    assert (found.alarms, found.bad_alarms, found.precision) == (3, 2, pytest.approx(2 / 3))
    assert (found.audits, found.bad_audits, found.recall) == (3, 2, 0.5)
    assert found.correlation == pytest.approx(np.corrcoef([4, 1, 2, 3, 0], [4, 3, 1, 2, 0])[0, 1])
    over = [0.5 / 1.4, 0.1 / 1.2, 0.4 / 0.9, 0.45 / 1.1, 0.05 / 0.2]
    assert found.calibration_eV_per_A == pytest.approx((np.median(over), np.quantile(over, 0.9)))
    empty = alarm_quality([], 0.1)
    assert empty.calibration_eV_per_A is None
    assert (empty.precision, empty.recall, empty.correlation) == (None, None, None)
