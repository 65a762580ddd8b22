"""Intervals of curves from blocks: they hold where frames are independent, and are refused where they are not."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from ionloop.analysis.block_intervals import interval, neighbour_correlation


def averaged(blocks, runs):
    # Blocks are (sum, number); merging adds both.
    return interval(blocks, runs, lambda one, other: tuple(map(operator.add, one, other)), lambda b: b[0] / b[1])


def made(values):
    return [(value, 1) for value in values]


def test_intervals_hold_in_95_of_100_for_independent_frames():
    random, held = np.random.default_rng(4), []
    for _ in range(200):
        values = random.normal(0.0, 1.0, (20, 5))
        found = averaged(made(values), [0] * 20)
        assert found.half_width is not None
        held.append(np.abs(values.mean(axis=0)) <= found.half_width)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("decay_frames", [5.0, 10.0])
def test_intervals_hold_where_blocks_are_as_long_as_fluctuations_take_to_decay(decay_frames):
    random, held, stay = np.random.default_rng(6), [], np.exp(-1.0 / decay_frames)
    for _ in range(60):
        frames = random.normal(0.0, 1.0, (200, 30))
        frames[1:] *= np.sqrt(1.0 - stay**2)
        for at in range(1, 200):
            frames[at] += stay * frames[at - 1]
        found = averaged(made(frames.reshape(20, 10, 30).mean(axis=1)), [0] * 20)
        assert found.half_width is not None
        held.append(np.abs(frames.mean(axis=0)) <= found.half_width)
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)


def test_blocks_that_go_on_from_each_other_are_merged_or_refused():
    random = np.random.default_rng(5)
    walk = np.cumsum(random.normal(0.0, 1.0, (20, 30)), axis=0)
    refused = averaged(made(walk), [0] * 20)
    assert refused.half_width is None
    assert "not independent" in refused.reason
    pairs = np.repeat(random.normal(0.0, 1.0, (10, 200)), 2, axis=0)
    assert averaged(made(pairs), [0] * 20).blocks == 10


def test_the_end_of_one_run_is_no_neighbour_of_the_beginning_of_the_next():
    levels = np.repeat([[0.0], [5.0]], 3, axis=0)
    assert neighbour_correlation(levels, [0, 1, 2, 3, 4, 5]) == 0.0
    assert neighbour_correlation(levels, [0] * 6) > 0.3


@pytest.mark.parametrize(("number", "said"), [(1, "one frame"), (4, "4 blocks")])
def test_too_few_frames_have_no_interval_and_say_so(number, said):
    found = averaged(made(np.zeros((number, 2))), [0] * number)
    assert found.half_width is None
    assert said in found.reason


def test_what_never_changes_has_an_interval_of_nothing():
    found = averaged(made(np.full((6, 3), 4.0 / 3.0)), [0] * 6)
    assert found.half_width is not None
    assert found.half_width.max() < 1e-12
