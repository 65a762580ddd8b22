"""Novelty orders materials; its slope is measured on what was left out; verdicts follow from both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.experts.expert import read_expert
from ionloop.fitting.experts.sufficiency import (
    ElementError,
    Outcome,
    Slopes,
    choose_experts,
    frames_to_label,
    judge,
    kernel_of,
    left_out_errors,
    mean_novelty,
    nearest_materials,
    slopes_of,
)
from ionloop.fitting.native.sparse_fit.fit_inputs import FitResources

from .materials import SETTINGS, cell, fitted

SLOPES = Slopes({"Li": 2.0, "S": 2.0}, {"Li": 2.0, "S": 2.0}, {"Li": 2.0, "S": 2.0})
NOVELTY_TOLERANCE = 1e-3
"""Of a point itself, which the regularisation keeps from zero; of the others it is lower still."""


@pytest.fixture(scope="module")
def experts(sulphide, phosphide):
    return read_expert(sulphide), read_expert(phosphide)


class TestNovelty:
    def test_it_is_what_points_leave_of_the_prior(self, experts):
        kernel = kernel_of(experts[:1], ("Li", "S"))
        atoms = cell("S", 70)
        delta_squared = SETTINGS.soap.delta_eV**2
        from ionloop.fitting.online.novelty import environments_of

        own = environments_of(kernel.descriptors, [atoms]).descriptors[16]
        points = kernel.points(16)
        within = kernel.covariance(16, points, points) / delta_squared
        across = kernel.covariance(16, points, own) / delta_squared
        left = 1.0 - np.einsum("ij,ij->j", across, np.linalg.lstsq(within, across, rcond=1e-8)[0])
        expected = float(np.sqrt(np.maximum(left, 0.0)).mean())
        assert mean_novelty(kernel, [atoms])["S"] == pytest.approx(expected, abs=20 * NOVELTY_TOLERANCE)

    def test_it_is_one_for_elements_that_nobody_knows(self, experts):
        kernel = kernel_of(experts[:1], ("Li", "P"))
        found = mean_novelty(kernel, [cell("P", 3)])
        assert found["P"] == 1.0
        assert 0.0 < found["Li"] < 1.0

    def test_it_grows_with_displacements(self, experts):
        kernel = kernel_of(experts, ("Li", "S"))
        means = []
        for displacement_A in (0.0, 0.2, 0.4):
            moved = cell("S", 71)
            moved.rattle(displacement_A, seed=4)
            means.append(sum(mean_novelty(kernel, [moved]).values()))
        assert means[0] < means[1] < means[2]

    def test_the_nearest_material_is_the_one_that_it_is(self, experts):
        assert [name for name, _ in nearest_materials(experts, cell("P", 72))] == ["phosphide", "sulphide"]


class TestSlopes:
    def test_an_exact_proportion_is_found(self):
        errors = [ElementError(str(place), "Li", s, 2.5 * s) for place, s in enumerate((0.1, 0.2, 0.4))]
        found = slopes_of([*errors, ElementError("x", "S", 0.2, 0.3)])
        assert found.by_element["Li"] == pytest.approx(2.5)
        assert (found.lowest["Li"], found.highest["Li"]) == (pytest.approx(2.5), pytest.approx(2.5))
        assert found.of("Ge") == pytest.approx(2.5)

    def test_a_single_material_is_halved(self, experts):
        errors = left_out_errors(experts[:1], FitResources())
        assert {one.element for one in errors} == {"Li", "S"}
        assert all(0.0 < one.novelty < 1.0 and one.rmse_eV_per_A > 0.0 for one in errors)

    def test_each_material_is_predicted_by_the_others(self, experts, tmp_path):
        second = replace(read_expert(fitted(tmp_path, "sulphide", seeds=range(6, 12))), name="second")
        errors = left_out_errors([experts[0], second], FitResources())
        assert [one.material for one in errors] == ["sulphide"] * 2 + ["second"] * 2
        # Left out, what was fitted is newer than to its own model.
        own = mean_novelty(kernel_of([second], ()), [one.atoms for one in second.data_set])
        assert errors[2].novelty > own["Li"]

    def test_materials_that_share_no_elements_teach_nothing(self, experts):
        assert left_out_errors(experts, FitResources()) == ()
        with pytest.raises(InputError, match="each has an element that is in no other"):
            slopes_of(())

    def test_too_few_configurations_are_refused(self, experts):
        few = replace(experts[0].data_set, configurations=experts[0].data_set.configurations[:3])
        with pytest.raises(InputError, match="too few to measure"):
            left_out_errors([replace(experts[0], data_set=few)], FitResources())


@pytest.mark.parametrize(
    ("novelty", "known", "outcome"),
    [
        ({"Li": 0.04, "S": 0.04}, ("Li", "S"), Outcome.USE),
        ({"Li": 0.04, "S": 0.06}, ("Li", "S"), Outcome.ADD_LABELS),
        ({"Li": 0.04, "S": 0.5}, ("Li", "S"), Outcome.START_EXPERT),
        ({"Li": 0.04, "S": 0.04}, ("Li",), Outcome.START_EXPERT),
    ],
)
def test_verdicts_follow_from_the_expected_error(novelty, known, outcome):
    verdict = judge({"relaxed cell": {"Li": 0.01, "S": 0.01}, "dynamics": novelty}, SLOPES, 0.1, known)
    assert verdict.outcome is outcome
    assert verdict.unknown == tuple(sorted({"Li", "S"} - set(known)))
    assert verdict.elements[-1].expected_eV_per_A == pytest.approx(2.0 * novelty["S"])


class TestChoice:
    def test_the_expert_that_helps_most_comes_first_and_others_only_where_needed(self, experts):
        chosen = choose_experts(experts, [cell("P", 73)], SLOPES, tolerance_eV_per_A=100.0)
        assert [one.name for one in chosen] == ["phosphide"]
        both = choose_experts(experts, [cell("P", 73), cell("S", 73)], SLOPES, tolerance_eV_per_A=1e-6)
        assert {one.name for one in both} == {"sulphide", "phosphide"}

    def test_points_can_be_bounded(self, experts):
        structures = [cell("P", 73), cell("S", 73)]
        assert len(choose_experts(experts, structures, SLOPES, 1e-6, most_points=30)) == 1


class TestFramesToLabel:
    def test_what_is_known_needs_no_label(self, experts):
        kernel = kernel_of(experts, ())
        assert frames_to_label(kernel, [cell("S", 0)], SLOPES, tolerance_eV_per_A=3.0) == ()

    def test_equal_frames_need_one(self, experts):
        kernel = kernel_of(experts[:1], ("Li", "P"))
        frames = [cell("P", 80)] * 4
        assert len(frames_to_label(kernel, frames, SLOPES, tolerance_eV_per_A=0.1)) == 1

    def test_all_are_known_afterwards(self, experts):
        kernel = kernel_of(experts[:1], ("Li", "P"))
        frames = [cell("P", seed) for seed in range(80, 86)]
        chosen = frames_to_label(kernel, frames, SLOPES, tolerance_eV_per_A=0.4)
        assert 1 <= len(chosen) < 6
        assert len(set(chosen)) == len(chosen)

    def test_a_tolerance_that_cannot_be_reached_asks_for_all(self, experts):
        kernel = kernel_of(experts[:1], ("Li", "P"))
        frames = [cell("P", seed) for seed in range(80, 83)]
        assert sorted(frames_to_label(kernel, frames, SLOPES, tolerance_eV_per_A=1e-9)) == [0, 1, 2]
