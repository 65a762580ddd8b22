"""Sparse points: distinct, reproducible, and spread over the data."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.native.sparse_fit.sparse_points import (
    cur_points,
    distinct_rows,
    farthest_points,
    leverage_scores,
    select_points,
    single_layer,
    thin,
    uniform_points,
)
from ionloop.fitting.settings import SparseMethod

METHODS: tuple[SparseMethod, ...] = ("cur_points", "farthest_points", "random")
SCORE_TOLERANCE = 1e-8


def unit_vectors(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def test_the_first_of_equal_descriptors_stays() -> None:
    vectors = unit_vectors(4, 3)
    doubled = np.concatenate([vectors, vectors[[2, 0]], vectors[[1]] + 1e-12])
    np.testing.assert_array_equal(distinct_rows(doubled), [0, 1, 2, 3])


def test_equal_sums_do_not_make_equal_descriptors() -> None:
    np.testing.assert_array_equal(distinct_rows(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])), [0, 1])


def test_equal_distances_are_taken_once() -> None:
    np.testing.assert_array_equal(distinct_rows(np.array([[3.0], [2.0], [3.0], [2.5]])), [0, 1, 3])


@pytest.mark.parametrize("count", [20, 60])
def test_leverage_scores_are_those_of_the_leading_singular_vectors(count: int) -> None:
    """Few and many descriptors, compared with their dimension."""
    vectors = unit_vectors(count, 30)
    scores, n_leading = leverage_scores(vectors)
    left, _, _ = np.linalg.svd(vectors, full_matrices=False)
    assert n_leading == min(count, 30) // 2
    np.testing.assert_allclose(scores, np.sum(left[:, :n_leading] ** 2, axis=1), atol=SCORE_TOLERANCE)


def test_cur_prefers_what_stands_out() -> None:
    """One descriptor in a direction of its own among many in a plane."""
    random = np.random.default_rng(0)
    vectors = np.zeros((200, 4))
    vectors[:, :2] = random.normal(size=(200, 2))
    vectors[77] = [0.0, 0.0, 30.0, 0.0]
    found = [77 in cur_points(vectors, 20, np.random.default_rng(seed)) for seed in range(20)]
    assert all(found)


def test_farthest_points_cover_clusters() -> None:
    centres = np.eye(5)
    vectors = np.repeat(centres, 10, axis=0) + 1e-3 * unit_vectors(50, 5)
    chosen = farthest_points(vectors, 5, np.random.default_rng(0))
    assert sorted(chosen // 10) == [0, 1, 2, 3, 4]


def test_uniform_points_span_the_distances() -> None:
    values = np.concatenate([np.full(1000, 2.0) + 1e-4 * np.arange(1000), [3.0, 4.0, 5.0]])
    chosen = uniform_points(values[:, None], 4, np.random.default_rng(0))
    assert {1000, 1001, 1002, 0} == set(chosen.tolist())


def test_evenly_spaced_points_leave_no_gaps() -> None:
    """Whatever the data crowd at; fewer distances than points are taken as they are."""
    values = np.concatenate([2.0 + 1e-4 * np.arange(1000), [3.0, 5.0]])[:, None]
    chosen = select_points(values, 7, "evenly_spaced", np.random.default_rng(0))
    np.testing.assert_allclose(chosen[:, 0], np.linspace(2.0, 5.0, 7))
    few = select_points(values[-2:], 7, "evenly_spaced", np.random.default_rng(0))
    np.testing.assert_array_equal(few, values[-2:])
    with pytest.raises(InputError, match="evenly_spaced is for pairs"):
        select_points(unit_vectors(9, 3), 4, "evenly_spaced", np.random.default_rng(0))


def test_empty_bins_are_filled_at_random_with_others() -> None:
    values = np.array([1.0, 1.001, 1.002, 9.0])
    chosen = uniform_points(values[:, None], 3, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 3
    assert {0, 3} < set(chosen.tolist())


@pytest.mark.parametrize("method", METHODS)
def test_choices_are_reproducible_distinct_and_complete(method: SparseMethod) -> None:
    candidates = unit_vectors(40, 6)
    chosen, again, other = (select_points(candidates, 12, method, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(chosen, again)
    assert not np.array_equal(chosen, other)
    assert len(np.unique(chosen, axis=0)) == 12
    everything = select_points(candidates, 100, method, np.random.default_rng(1))
    np.testing.assert_array_equal(everything, candidates)


def test_uniform_is_refused_for_environments() -> None:
    with pytest.raises(InputError, match="uniform is for pairs and triplets; choose cur_points"):
        select_points(unit_vectors(9, 6), 3, "uniform", np.random.default_rng(0))


def test_lists_of_points_are_checked() -> None:
    points = single_layer({(3, 3): np.array([[2.0], [3.0]]), (3,): unit_vectors(4, 5)})
    assert points.n_points == 6
    np.testing.assert_array_equal(points.columns((3,)), [2, 3, 4, 5])
    with pytest.raises(InputError, match="finite numbers"):
        single_layer({(3,): np.array([[np.nan]])})
    with pytest.raises(InputError, match="none are given"):
        single_layer({(3,): np.zeros((0, 4))})


def test_thinning_keeps_the_order() -> None:
    kept = thin(np.arange(100), 10, np.random.default_rng(0))
    assert len(kept) == 10
    assert np.all(np.diff(kept) > 0)
    np.testing.assert_array_equal(thin(np.arange(5), 10, np.random.default_rng(0)), np.arange(5))
