"""Predicted against observed errors: of draws of the posterior itself they agree, of a surer model they do not."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from linear_posterior import LinearPosterior, pair_posterior

from ionloop.analysis.errors.statistics import parity_data
from ionloop.analysis.model_uncertainty.figures import predicted_against_observed
from ionloop.analysis.model_uncertainty.observed import (
    coverage,
    energy_differences,
    observed_coverage,
    predicted_deviations,
)
from ionloop.analysis.model_uncertainty.words import (
    half_width_text,
    inside_text,
    plus_minus,
    student_half_width,
    with_intervals,
)
from ionloop.fitting.data_sets import LabelledConfiguration

DRAWS = 30


def labelled(truth, count: int, symbol: str = "Ar") -> list[LabelledConfiguration]:
    """Rattled crystals that ``truth`` labels."""
    found = []
    for seed in range(count):
        atoms = bulk(symbol, "fcc", a=3.9, cubic=True)
        atoms.rattle(0.15, seed=seed)
        found.append(
            LabelledConfiguration(
                atoms=atoms,
                energy=truth.get_property("energy", atoms),
                forces=truth.get_property("forces", atoms),
                stress=None,
                identifier=f"{symbol}-{seed}",
            )
        )
    return found


def coverages(posterior: LinearPosterior, scale: float = 1.0):
    """Return the coverage, averaged over truths that are drawn from the posterior, of one ``scale`` times as unsure."""
    sure = LinearPosterior(posterior.mean, scale * posterior.root)
    found = []
    for seed in range(DRAWS):
        configurations = labelled(posterior.sampled_calculator(seed), 6)
        predicted = parity_data(posterior.calculator, configurations)
        found.append(observed_coverage(sure, configurations, predicted, predicted_deviations(sure, configurations)))
    return found


def test_errors_of_draws_lie_inside_their_intervals_as_often_as_told():
    found = coverages(pair_posterior())
    for quantity in ("energy_eV", "force_eV_per_A"):
        several = [getattr(one, quantity) for one in found]
        z = np.sqrt(np.mean([one.rms_z**2 for one in several]))
        assert z == pytest.approx(1.0, abs=0.15)
        shares = [np.mean([getattr(one, f"inside_{level}") for one in several]) for level in (50, 90, 95)]
        # 30 degrees of freedom: a little wider than those of the normal distribution.
        assert shares == pytest.approx([0.5, 0.9, 0.95], abs=0.08)
    assert found[0].energy_eV.count == 6
    assert set(found[0].force_by_element_eV_per_A) == {"Ar"}
    assert sum(one.count for one in found[0].force_eV_per_A.bins) == 6 * 4 * 3


def test_a_model_that_is_too_sure_is_seen():
    found = coverages(pair_posterior(), scale=0.25)
    z = np.sqrt(np.mean([one.force_eV_per_A.rms_z**2 for one in found]))
    assert z == pytest.approx(4.0, abs=0.6)
    assert np.mean([one.energy_eV.inside_95 for one in found]) < 0.5
    first = found[0].force_eV_per_A.bins
    assert np.mean([one.observed / one.predicted for one in first]) > 2


def test_only_energies_of_one_composition_are_compared():
    vectors = np.array([[1.0, 0.0], [1.0, 0.2], [5.0, 0.0], [1.0, 0.0]])
    errors, deviations = energy_differences([1.0, 1.1, 7.0, 0.9], vectors, ["A", "A", "B", "A"])
    assert errors == pytest.approx([0.0, 0.1, -0.1])
    assert deviations == pytest.approx([0.2 / 3, 0.4 / 3, 0.2 / 3])
    assert [len(one) for one in energy_differences([1.0], vectors[:1], ["A"])] == [0, 0]


def test_what_symmetry_fixes_tests_nothing():
    posterior = pair_posterior()
    assert coverage(posterior, [0.0, 1e-12], [1e-15, 0.0]) is None
    found = coverage(posterior, [0.0, 0.1, 0.2], [0.0, 0.1, 0.0])
    assert found is not None
    assert found.count == 2
    assert found.inside_95 == 0.5, "an error where none was thought possible lies outside"


def test_configurations_without_forces_have_energies_alone():
    posterior = pair_posterior()
    atoms = bulk("Ar", "fcc", a=3.9)
    bare = [
        LabelledConfiguration(atoms=Atoms(atoms), energy=0.1 * n, forces=None, stress=None, identifier=str(n))
        for n in range(3)
    ]
    told = predicted_deviations(posterior, bare)
    found = observed_coverage(posterior, bare, parity_data(posterior.calculator, bare), told)
    assert found.force_eV_per_A is None
    assert found.force_by_element_eV_per_A == {}


def test_the_figure_shows_both_axes_alike_with_the_diagonal():
    posterior = pair_posterior()
    forces = np.random.default_rng(1).normal(0.0, 0.1, (2, 40, 3))
    one = coverage(posterior, *forces)
    assert one is not None
    figure = predicted_against_observed({"Ar": one.bins, "none": ()}, "eV/Å")
    assert [trace.name for trace in figure.data] == ["as predicted", "Ar"]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    diagonal, points = figure.data
    assert list(diagonal.x) == list(diagonal.y)
    assert min(diagonal.x) <= min(points.x)
    assert max(diagonal.y) >= max(points.y)
    assert "eV/Å" in figure.layout.xaxis.title.text


def test_numbers_are_written_with_both_intervals():
    assert with_intervals(0.404, "eV", ".2f", statistical=0.021, model=0.07) == (
        "0.40 ± 0.02 (statistical) ± 0.07 (model) eV"
    )
    assert with_intervals(0.404, "eV", ".2f", model=0.07) == "0.40 ± 0.07 (model) eV"
    assert with_intervals(4.0, "", ".1f", statistical=0.1, statistical_is="fit") == "4.0 ± 0.1 (fit)"
    assert with_intervals(-0.001, "eV", ".2f") == "0.00 eV"
    assert (plus_minus(0.4, ".2f", None), plus_minus(0.4, ".2f", 0.1)) == ("0.40", "0.40 ± 0.10")
    assert (half_width_text(None, ".3f"), half_width_text(0.07, ".3f")) == ("–", "0.070")
    assert half_width_text(np.inf, ".3f") == "∞"


def test_statistical_intervals_are_students():
    assert student_half_width(0.1, 4) == pytest.approx(0.27764, rel=1e-4)
    assert student_half_width(None, 4) is None
    assert student_half_width(0.1, 0) is None


def test_the_reference_is_counted_where_it_lies_inside():
    numbers = [(0.4, 0.45, 0.1), (0.4, 0.55, 0.1), (None, 0.4, 0.1), (0.4, None, 0.1), (0.4, 0.4, None)]
    assert inside_text("GAP", "barriers", numbers) == (
        "GAP: the reference lies inside the 95 % model interval of 1 of 2 barriers."
    )
    assert inside_text("GAP", "barriers", numbers[2:]) == ""
