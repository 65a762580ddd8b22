"""Points that join those of an earlier fit: bounded in number, new, and where the earlier ones say least."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.native.sparse_fit.fit import fit_native, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.native.sparse_fit.growth import growth_limit, most_new_points, uncovered_points
from ionloop.fitting.native.sparse_fit.solve import SingularFitError
from ionloop.fitting.settings import GapSettings

JITTER_eV2 = 1e-8
NOISE_eV2 = 1e-6


def polynomial(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T) ** 4


def unit_vectors(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def join(candidates: np.ndarray, kept: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return uncovered_points(candidates, kept, most, polynomial, (JITTER_eV2, NOISE_eV2), random)


def variance_left(candidates: np.ndarray, points: np.ndarray) -> np.ndarray:
    covariance = polynomial(points, points) + JITTER_eV2 * np.eye(len(points))
    mixed = polynomial(points, candidates)
    return polynomial(candidates, candidates).diagonal() - np.einsum(
        "ij,ij->j", mixed, np.linalg.solve(covariance, mixed)
    )


@pytest.mark.parametrize("count", [1, 15, 500])
def test_growth_ends_at_the_limit_and_every_generation_has_a_share(count: int) -> None:
    n_points = count
    added = []
    for _ in range(20):
        added.append(most_new_points(n_points, count))
        n_points += added[-1]
    assert n_points == growth_limit(count) == 3 * count // 2
    assert added == sorted(added, reverse=True)
    assert all(new == 0 or new >= (growth_limit(count) - count) // 2 for new in added[:1])
    assert most_new_points(2 * count, count) == 0


def test_a_first_fit_with_few_environments_is_filled_up() -> None:
    assert most_new_points(40, 500) == 460
    assert most_new_points(450, 500) == 150


def test_kept_points_are_not_taken_again() -> None:
    candidates = unit_vectors(40, 6)
    assert join(candidates[:25], candidates[:25], 10).size == 0
    chosen = join(candidates, candidates[:25], 10)
    assert len(chosen) == 10
    assert chosen.min() >= 25


def test_a_new_kind_of_environment_is_taken_first() -> None:
    """One among many that resemble the kept ones."""
    random = np.random.default_rng(0)
    known = unit_vectors(1, 6) + 1e-2 * random.normal(size=(200, 6))
    known /= np.linalg.norm(known, axis=1)[:, None]
    candidates = np.concatenate([known[:120], unit_vectors(1, 6, seed=3), known[120:]])
    assert all(join(candidates, known[::8], 1, seed)[0] == 120 for seed in range(20))


def test_points_are_added_until_the_rest_is_below_the_noise() -> None:
    """In two dimensions a polynomial of fourth order has five independent functions."""
    candidates, kept = unit_vectors(100, 2), unit_vectors(2, 2, seed=1)
    chosen = join(candidates, kept, 50)
    assert len(chosen) == 3
    assert variance_left(candidates, np.concatenate([kept, candidates[chosen]])).max() < NOISE_eV2


def test_new_points_leave_less_variance_than_random_ones() -> None:
    candidates, kept = unit_vectors(300, 5), unit_vectors(20, 5, seed=1)
    left, left_by_random = [], []
    for seed in range(5):
        chosen = join(candidates, kept, 25, seed)
        others = np.random.default_rng(seed).choice(300, 25, replace=False)
        left.append(variance_left(candidates, np.concatenate([kept, candidates[chosen]])).sum())
        left_by_random.append(variance_left(candidates, np.concatenate([kept, candidates[others]])).sum())
    assert np.mean(left) < np.mean(left_by_random)


def test_the_choice_is_a_function_of_the_seed() -> None:
    candidates, kept = unit_vectors(60, 6), unit_vectors(10, 6, seed=1)
    np.testing.assert_array_equal(join(candidates, kept, 9, 1), join(candidates, kept, 9, 1))
    assert not np.array_equal(join(candidates, kept, 9, 1), join(candidates, kept, 9, 2))


def test_no_candidates_and_equal_kept_points() -> None:
    kept = unit_vectors(3, 4)
    assert join(np.zeros((0, 4)), kept, 5).size == 0
    with pytest.raises(SingularFitError, match="fit without an earlier model"):
        uncovered_points(kept, np.repeat(kept, 2, axis=0), 1, polynomial, (-1e-3, NOISE_eV2), np.random.default_rng(0))


def test_points_of_other_descriptors_cannot_be_kept(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    earlier = fit_native(lithium_sulfide, small_settings, seed=0).sparse_points
    other = small_settings.model_copy(update={"soap": small_settings.soap.model_copy(update={"n_max": 4})})
    with pytest.raises(InputError, match=r"sparse points of soap Li .* do not fit"):
        run_fit(FitInputs(lithium_sulfide, other, 0, earlier=earlier), FitResources())
