"""What is labelled next is what lowers the variance of what is asked for most."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.core.arrays import FloatArray
from ionloop.fitting.posterior.base import ModelPosterior
from ionloop.fitting.posterior.informative import choose_informative

DIMENSIONS = 7
TOLERANCE = 1e-12


class LinearModel(ModelPosterior):
    """Weights with unit covariance; the label of structure n tells some of their sums."""

    degrees_of_freedom = 10

    def __init__(self, rows: list[FloatArray]) -> None:
        self._rows = rows

    def energy_vectors(self, structures: object) -> FloatArray:
        return np.eye(DIMENSIONS)

    def label_vectors(self, atoms: Atoms) -> FloatArray:
        return self._rows[int(atoms.info["place"])]

    def force_stds(self, atoms: Atoms) -> FloatArray:
        raise NotImplementedError

    def sampled_calculator(self, seed: int) -> Calculator:
        raise NotImplementedError


def left(rows: list[FloatArray], chosen: tuple[int, ...], targets: FloatArray) -> float:
    precision = np.eye(DIMENSIONS) + sum((rows[place] @ rows[place].T for place in chosen), np.zeros((DIMENSIONS,) * 2))
    return float(np.trace(targets @ np.linalg.inv(precision) @ targets.T) / np.square(targets).sum())


def test_choices_are_the_greedy_ones_and_say_what_is_left() -> None:
    random = np.random.default_rng(3)
    rows = [random.normal(0, scale, (DIMENSIONS, 2)) for scale in random.uniform(0.1, 2, 9)]
    candidates = [Atoms(info={"place": place}) for place in range(9)]
    targets = random.normal(size=(2, DIMENSIONS))
    chosen: tuple[int, ...] = ()
    for found in choose_informative(LinearModel(rows), targets, candidates, 4):
        best = min(
            (place for place in range(9) if place not in chosen), key=lambda one: left(rows, (*chosen, one), targets)
        )
        chosen = (*chosen, best)
        assert found.candidate == best
        np.testing.assert_allclose(found.remaining, left(rows, chosen, targets), rtol=0, atol=TOLERANCE)
    best_of_all = min(left(rows, one, targets) for one in combinations(range(9), 4))
    assert left(rows, chosen, targets) < 1.1 * best_of_all


def test_what_tells_nothing_is_not_chosen() -> None:
    rows = [np.zeros((DIMENSIONS, 1)), np.eye(DIMENSIONS)[:, :1]]
    candidates = [Atoms(info={"place": place}) for place in range(2)]
    model = LinearModel(rows)
    found = choose_informative(model, np.eye(DIMENSIONS)[:1], candidates, 2)
    assert [(one.candidate, round(one.remaining, 12)) for one in found] == [(1, 0.5)]
    assert choose_informative(model, np.zeros((1, DIMENSIONS)), candidates, 2) == []
    assert choose_informative(model, np.eye(DIMENSIONS)[:1], [], 2) == []
