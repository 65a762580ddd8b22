"""Intervals of rates hold when hops come alone, in events of several ions, and in bursts."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.hops.hop_counts import dispersion, poisson_interval, rate_interval

REPEATS = 300
LOWEST_COVERAGE, HIGHEST_COVERAGE = 0.90, 1.0
IONS, DURATION_PS, RATE_PER_PS = 10, 1000.0, 0.01


def alone(random):
    count = random.poisson(IONS * DURATION_PS * RATE_PER_PS)
    return random.uniform(0, DURATION_PS, count), np.ones(count, dtype=np.int64)


def in_events_of_four(random):
    events = random.poisson(IONS * DURATION_PS * RATE_PER_PS / 4)
    return np.repeat(random.uniform(0, DURATION_PS, events), 4), np.full(events, 4)


def in_bursts(random):
    """Ions hop eight times in 20 ps on average, each hop an event of its own."""
    bursts = random.poisson(IONS * DURATION_PS * RATE_PER_PS / 8)
    sizes = random.poisson(8, bursts)
    times = np.repeat(random.uniform(0, DURATION_PS, bursts), sizes) + random.exponential(20, sizes.sum())
    times = np.sort(times[times < DURATION_PS])
    return times, np.ones(len(times), dtype=np.int64)


def in_few_runs(random):
    """Five times ions run through twenty sites within 5 ps, each hop an event of its own."""
    runs = random.poisson(IONS * DURATION_PS * RATE_PER_PS / 20)
    times = np.repeat(random.uniform(0, DURATION_PS, runs), 20) + random.uniform(0, 5, 20 * runs)
    return np.sort(times), np.ones(len(times), dtype=np.int64)


def while_a_gate_is_open(random):
    """A gate opens and closes every 100 ps on average."""
    ends = np.cumsum(random.exponential(100.0, 100))
    count = random.poisson(2 * IONS * DURATION_PS * RATE_PER_PS)
    times = np.sort(random.uniform(0, DURATION_PS, count))
    times = times[np.searchsorted(ends, times) % 2 == random.integers(2)]
    return times, np.ones(len(times), dtype=np.int64)


@pytest.mark.parametrize("process", [alone, in_events_of_four, in_bursts, in_few_runs, while_a_gate_is_open])
def test_the_interval_holds_the_rate(process):
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(REPEATS):
        times, sizes = process(random)
        low, high = rate_interval(len(times), IONS * DURATION_PS, dispersion([times], [DURATION_PS], sizes))
        inside += low <= RATE_PER_PS <= high
    assert LOWEST_COVERAGE <= inside / REPEATS <= HIGHEST_COVERAGE


def test_replicas_of_different_rates_have_a_wider_interval():
    random = np.random.default_rng(5)
    inside = 0
    for _ in range(REPEATS):
        rates = random.gamma(4, 0.25, 3) * IONS * RATE_PER_PS
        times = [random.uniform(0, DURATION_PS, random.poisson(rate * DURATION_PS)) for rate in rates]
        count = sum(map(len, times))
        varies = dispersion(times, [DURATION_PS] * 3, np.ones(count, dtype=np.int64))
        low, high = rate_interval(count, 3 * IONS * DURATION_PS, varies)
        inside += low <= RATE_PER_PS <= high
    assert inside / REPEATS >= LOWEST_COVERAGE


def test_independent_hops_have_nearly_a_poisson_interval():
    random = np.random.default_rng(2)
    widths = []
    for _ in range(50):
        times, sizes = alone(random)
        low, high = rate_interval(len(times), 1.0, dispersion([times], [DURATION_PS], sizes))
        exact = poisson_interval(len(times), 1.0)
        widths.append((high - low) / (exact[1] - exact[0]))
    assert np.median(widths) < 1.3


def test_without_hops_the_interval_is_that_of_a_count_of_zero():
    nothing = np.zeros(0)
    assert dispersion([nothing], [DURATION_PS], np.zeros(0, dtype=np.int64)) == 1.0
    assert rate_interval(0, 1.0, 1.0) == pytest.approx((0.0, 3.689), abs=1e-3)
