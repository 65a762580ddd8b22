"""Locality: cells, centres, induced forces, their statistics and the bound they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed, Calculator
from ase.calculators.lj import LennardJones
from pydantic import ValidationError

from ionloop.analysis.locality import curves as curves_module
from ionloop.analysis.locality.curves import (
    OVERALL,
    Displacements,
    LocalityCurve,
    LocalityResult,
    choose_centres,
    distances_A,
    forces_of,
    induced_response,
    largest_radius_A,
    locality_cell,
    locality_curves,
    smallest_supercell,
)
from ionloop.analysis.locality.settings import LocalitySettings
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.sampling.structures.crystals import CRYSTALS, build_crystal

HALF_FORMAL = {"Li": 0.5, "P": 2.5, "S": -1.0}
LI7P3S11_COUNTS = {"Li": 14, "P": 6, "S": 22}
# Half-formal point charges in Li7P3S11, displacements of 0.1 Å, at 4, 6 and 8 Å: known to two digits.
EXPECTED_EV_PER_A = {"P": (0.51, 0.31, 0.16), "S": (0.24, 0.12, 0.08), "Li": (0.10, 0.06, 0.03)}
RELATIVE_STATISTICAL_TOLERANCE = 0.25
ROUNDING_EV_PER_A = 0.01
NUMERICAL_ZERO_EV_PER_A = 1e-12
# Between them lies no shell of argon but the first, at 3.7 Å.
RADII = (3.0, 3.5, 4.0)


def displacements(**changes: Any) -> Displacements:
    return Displacements(**{"radii_A": RADII, "samples": 4, "displacement_A": 0.1, "seed": 7, **changes})


def argon() -> tuple[Atoms, Calculator]:
    return bulk("Ar", "fcc", a=5.3, cubic=True).repeat((2, 2, 2)), LennardJones(sigma=3.4, epsilon=0.01, rc=4.5)


def test_point_charges_in_li7p3s11_induce_the_known_forces():
    crystal = build_crystal("li7p3s11")
    cell = locality_cell(crystal, 8.0)
    calculator = SlaterEwald(HALF_FORMAL, accuracy=1e-4)
    draws = displacements(radii_A=(4.0, 6.0, 8.0), samples=6)
    responses = [
        (centre.symbol, induced_response(forces_of(calculator), cell, centre.index, draws))
        for centre in choose_centres(crystal, 14, seed=1)
    ]
    curves = locality_curves(responses, LI7P3S11_COUNTS)
    for symbol, expected in EXPECTED_EV_PER_A.items():
        assert curves[symbol].value_eV_per_A == pytest.approx(
            expected, rel=RELATIVE_STATISTICAL_TOLERANCE, abs=ROUNDING_EV_PER_A
        )


def test_the_largest_sphere_is_half_the_shortest_lattice_vector():
    assert largest_radius_A(np.diag([4.0, 5.0, 6.0])) == pytest.approx(2.0)
    # The face-centred lattice: nearest neighbours, although no cell vector of the skewed cell is that short.
    skewed = np.array([[1, 0, 0], [0, 1, 0], [3, 2, 1]]) @ bulk("Ar", "fcc", a=5.3).cell.array
    assert largest_radius_A(skewed) == pytest.approx(5.3 / np.sqrt(2) / 2)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("radius", [4.0, 6.0, 9.0])
def test_the_supercell_is_large_enough_and_no_smaller_one_is(name, radius):
    cell = build_crystal(name).cell.array
    best = smallest_supercell(cell, radius)
    assert largest_radius_A(cell * np.array(best)[:, np.newaxis]) >= radius
    for axis in range(3):
        fewer = np.array(best)
        fewer[axis] -= 1
        if fewer[axis]:
            assert largest_radius_A(cell * fewer[:, np.newaxis]) < radius


def test_a_sphere_of_six_angstrom_fits_twice_the_cell_of_li7p3s11():
    assert smallest_supercell(build_crystal("li7p3s11").cell.array, 6.0) == (2, 1, 1)


def test_a_supercell_that_is_too_small_is_refused_with_one_that_is_not():
    with pytest.raises(InputError, match=r"at most 3\.09 Å.*take \[2, 1, 1\]"):
        locality_cell(build_crystal("li7p3s11"), 6.0, (1, 1, 1))


def test_a_molecule_is_refused():
    with pytest.raises(InputError, match="periodic in three directions"):
        locality_cell(Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 4]]), 3.0)


def test_a_sphere_that_no_sensible_cell_holds_is_refused():
    with pytest.raises(InputError, match="choose smaller radii"):
        smallest_supercell(np.eye(3), 100.0)


def test_centres_are_of_every_species_and_more_include_fewer():
    crystal = build_crystal("li7p3s11")
    few, many = choose_centres(crystal, 2, seed=3), choose_centres(crystal, 8, seed=3)
    assert {symbol: sum(c.symbol == symbol for c in many) for symbol in ("Li", "P", "S")} == {"Li": 8, "P": 6, "S": 8}
    assert set(few) < set(many)
    assert all(crystal.symbols[centre.index] == centre.symbol for centre in many)
    assert choose_centres(crystal, 2, seed=4) != few


def test_only_far_atoms_are_displaced_and_all_radii_share_the_draw():
    atoms, _ = argon()
    draws = displacements()
    near, far = (draws.displaced(atoms, 5, radius, 1).positions - atoms.positions for radius in (3.0, 5.0))
    outside = distances_A(atoms, 5) > 5.0
    assert np.array_equal(np.any(far != 0, axis=1), outside)
    assert np.array_equal(near[outside], far[outside])
    assert np.array_equal(np.any(near != 0, axis=1), distances_A(atoms, 5) > 3.0)
    other = draws.displaced(atoms, 5, 5.0, 2).positions - atoms.positions
    assert not np.any(other[outside] == far[outside])


def test_displacements_have_the_size_asked_for():
    draw = displacements(displacement_A=0.2).draw(4000, 0, 0)
    assert np.std(draw) == pytest.approx(0.2, rel=0.03)
    assert np.mean(draw) == pytest.approx(0.0, abs=0.01)


def test_a_pair_potential_feels_nothing_beyond_its_cutoff():
    atoms, calculator = argon()
    found = induced_response(forces_of(calculator), atoms, 0, displacements())
    sizes = np.linalg.norm(found, axis=-1)
    assert np.all(sizes[:2] > 1e-4)
    assert np.all(sizes[2] < NUMERICAL_ZERO_EV_PER_A)


def test_a_run_that_was_interrupted_repeats_nothing_and_ends_alike():
    atoms, calculator = argon()
    whole = induced_response(forces_of(calculator), atoms, 0, displacements())
    calls: list[np.ndarray] = []

    class Interrupted(Exception):
        pass

    def stop(found: np.ndarray, done: int) -> None:
        calls.append(found.copy())
        if done == 5:
            raise Interrupted

    with pytest.raises(Interrupted):
        induced_response(forces_of(calculator), atoms, 0, displacements(), on_sample=stop)
    evaluated = []

    def counted(moved: Atoms) -> np.ndarray:
        evaluated.append(moved)
        return forces_of(calculator)(moved)

    again = induced_response(counted, atoms, 0, displacements(), known=calls[-1])
    assert np.array_equal(again, whole)
    assert len(evaluated) == whole.shape[0] * whole.shape[1] - 5 + 1
    assert np.array_equal(induced_response(counted, atoms, 0, displacements(), known=whole), whole)


def test_a_displacement_that_the_engine_cannot_do_is_left_out():
    atoms, calculator = argon()
    calls = 0

    def sometimes(moved: Atoms) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise CalculationFailed("unconverged")
        return forces_of(calculator)(moved)

    found = induced_response(sometimes, atoms, 0, displacements())
    assert np.sum(np.isnan(found)) == 3
    curves = locality_curves([("Ar", found)], {"Ar": 32})
    sound = np.linalg.norm(found[:, 1:], axis=-1).mean(axis=1)
    assert curves["Ar"].value_eV_per_A == pytest.approx(sound)


def test_arrays_of_any_leading_shape_are_followed():
    atoms, calculator = argon()
    stacked = induced_response(
        lambda moved: np.stack([forces_of(calculator)(moved)] * 2), atoms, 0, displacements(samples=2)
    )
    assert stacked.shape == (3, 2, 2, 3)
    plain = induced_response(forces_of(calculator), atoms, 0, displacements(samples=2))
    assert np.array_equal(stacked[:, :, 1], plain)


def gaussian_responses(scale: float, centres: int, samples: int, seed: int) -> list[tuple[str, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [
        (symbol, size * scale * generator.normal(size=(2, samples, 3)))
        for symbol, size in (("Li", 1.0), ("S", 2.0))
        for _ in range(centres)
    ]


def test_statistics_of_gaussian_forces_are_the_known_ones():
    curves = locality_curves(gaussian_responses(0.1, 20, 200, seed=1), {"Li": 3, "S": 1})
    # The mean length of a vector of three normal components is sqrt(8/π) times their standard deviation.
    assert curves["Li"].value_eV_per_A == pytest.approx([0.1 * np.sqrt(8 / np.pi)] * 2, rel=0.03)
    assert curves["Li"].deviation_eV_per_A == pytest.approx([0.1 * np.sqrt(3 - 8 / np.pi)] * 2, rel=0.05)
    assert curves["S"].component_rms_eV_per_A == pytest.approx([0.2, 0.2], rel=0.03)
    assert curves[OVERALL].component_rms_eV_per_A == pytest.approx([0.1 * np.sqrt(0.75 + 0.25 * 4)] * 2, rel=0.03)
    assert curves[OVERALL].value_eV_per_A == pytest.approx([0.125 * np.sqrt(8 / np.pi)] * 2, rel=0.03)
    assert curves[OVERALL].centres == 40


def test_the_error_is_the_scatter_of_repeated_tests(monkeypatch):
    # The mean of thirty errors is asked for: each may be rougher than one that is shown.
    monkeypatch.setattr(curves_module, "BOOTSTRAP", 60)
    repeated = [locality_curves(gaussian_responses(0.1, 10, 10, seed=seed), {"Li": 1, "S": 1}) for seed in range(30)]
    for name, error in (("value", "error"), ("component_rms", "component_rms_error")):
        for symbol in ("Li", OVERALL):
            scatter = np.std([getattr(curves[symbol], f"{name}_eV_per_A") for curves in repeated])
            claimed = np.mean([getattr(curves[symbol], f"{error}_eV_per_A") for curves in repeated])
            # Resampling centres and samples together counts the samples' scatter twice, at most a factor √2.
            assert 0.8 < claimed / scatter < 1.8


def test_there_is_no_overall_curve_where_a_species_has_no_centre():
    assert set(locality_curves(gaussian_responses(0.1, 2, 3, seed=0), {"Li": 1, "P": 1, "S": 1})) == {"Li", "S"}


def test_no_whole_sample_is_an_error():
    with pytest.raises(ValueError, match="whole"):
        locality_curves([("Li", np.full((2, 3, 3), np.nan))], {"Li": 1})


def result(**changes: Any) -> LocalityResult:
    def curve(*values: float) -> LocalityCurve:
        errors = tuple(0.1 * value for value in values)
        return LocalityCurve(
            value_eV_per_A=values,
            deviation_eV_per_A=errors,
            error_eV_per_A=errors,
            component_rms_eV_per_A=values,
            component_rms_error_eV_per_A=errors,
            centres=3,
        )

    curves = {"Li": curve(0.4, 0.1), OVERALL: curve(0.8, 0.2)}
    return LocalityResult(
        **{"protocol": "displacement", "potential": "reference", "radii_A": (4.0, 6.0), "atoms": 84, "before": curves}
        | changes
    )


def test_the_bound_is_read_between_radii_on_the_logarithm():
    bound = result().bound(5.0, baseline=False)
    assert bound is not None
    assert bound.force_eV_per_A == pytest.approx(0.4)
    assert bound.by_element_eV_per_A == pytest.approx({"Li": 0.2})
    assert bound.error_eV_per_A == pytest.approx(0.05)


def test_the_frozen_sphere_is_twice_the_cutoff():
    found = result(protocol="frozen-sphere").bound(3.0, baseline=False)
    assert found is not None
    assert found.force_eV_per_A == pytest.approx(0.2)


def test_after_charges_that_were_fitted_with_the_model_it_is_where_that_sees_nothing():
    found = result().model_copy(update={"after": result().before})
    bound = found.bound(2.5, baseline=True, is_fitted=True)
    assert bound is not None
    assert bound.force_eV_per_A == pytest.approx(0.4)
    assert found.bound(5.0, baseline=True, is_fitted=True) is None
    assert found.bound(5.0, baseline=False, is_fitted=True) is not None


def test_nothing_is_extrapolated():
    assert result().bound(3.9, baseline=False) is None
    assert result().bound(6.1, baseline=False) is None
    assert result().bound(5.0, baseline=True) is None


def test_results_survive_their_document():
    assert LocalityResult.model_validate(result().model_dump(mode="json")) == result()


@pytest.mark.parametrize("radii", [[5, 4], [4, 4]])
def test_radii_must_ascend(radii):
    with pytest.raises(ValidationError, match="ascend"):
        LocalitySettings(radii_A=radii)


def test_evaluations_are_counted():
    assert LocalitySettings(radii_A=(3, 4), samples=5).evaluations(2) == 21
    frozen = LocalitySettings(
        protocol="frozen-sphere",
        radii_A=(8,),
        frozen_sphere={"equilibration_steps": 10, "frames": 4, "steps_per_frame": 5},
    )
    assert frozen.evaluations(2) == 62
