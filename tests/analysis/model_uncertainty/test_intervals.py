"""Model intervals against what draws of the posterior give, one model after the other."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from linear_posterior import LinearPosterior, energy_features, pair_posterior

from ionloop.analysis.barriers.bands import Profile, profile, relax_band
from ionloop.analysis.barriers.settings import BandSettings
from ionloop.analysis.energy_volume.curves import energy_volume_point, fit_birch_murnaghan, fit_points, strained
from ionloop.analysis.fixed_cell_relaxation import relax_ions
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.analysis.model_uncertainty.intervals import (
    birch_parameters,
    curve_draws,
    curve_intervals,
    half_widths,
    path_vectors,
    slope_weights,
)
from ionloop.core.errors import InputError

SAMPLES = 120
MONTE_CARLO_TOLERANCE = 0.2
"""Standard deviations of 120 samples are known to 6.5 %: three times that."""
LATTICE_A = 4.45
"""Of the crystal, near its minimum."""


def chain() -> tuple[Atoms, np.ndarray]:
    """An atom that passes between two others, off the line, images not at the top: [7, 3, 3]."""
    atoms = Atoms("Ar3", [(0, -1.6, 0), (0, 1.6, 0), (0, 0, 0)], cell=[30.0] * 3, pbc=True)
    positions = np.repeat(atoms.positions[None], 6, axis=0)
    positions[:, 2, 0] = np.linspace(-2.0, 2.0, 6)
    positions[:, 2, 1] = 0.1 * positions[:, 2, 0]
    return atoms, positions


def along(calculator, atoms: Atoms, positions: np.ndarray) -> Profile:
    energies, forces = [], []
    for one in positions:
        image = Atoms(atoms.numbers, one, cell=atoms.cell, pbc=True)
        energies.append(calculator.get_property("energy", image))
        forces.append(calculator.get_property("forces", image))
    return profile(positions, np.array(energies), np.array(forces))


def sampled(posterior: LinearPosterior, compute) -> np.ndarray:
    """Return what a function of the calculator gives for draws, [SAMPLES, ...]."""
    return np.array([compute(posterior.sampled_calculator(seed)) for seed in range(SAMPLES)])


def test_barriers_vary_between_models_as_their_intervals_say():
    posterior, (atoms, positions) = pair_posterior(), chain()
    found = along(posterior.calculator, atoms, positions)
    assert found.maximum_A not in found.coordinate_A, "the maximum lies between images"
    vectors = path_vectors(posterior, atoms, positions, found)

    def numbers(calculator) -> list[float]:
        one = along(calculator, atoms, positions)
        return [one.forward_eV, one.reverse_eV, *one.energies_eV]

    told = np.linalg.norm([vectors.forward, vectors.reverse, *vectors.relative], axis=1)
    drawn = sampled(posterior, numbers).std(axis=0)
    assert told == pytest.approx(drawn, rel=MONTE_CARLO_TOLERANCE, abs=1e-12)
    assert told[2] == 0, "the first image is where energies count from"


def test_the_difference_of_two_barriers_varies_less_than_either():
    posterior, (atoms, positions) = pair_posterior(), chain()
    wider = positions.copy()
    wider[:, :2, 1] *= 1.05
    profiles = [along(posterior.calculator, atoms, one) for one in (positions, wider)]
    first, second = (
        path_vectors(posterior, atoms, one, found) for one, found in zip((positions, wider), profiles, strict=True)
    )
    drawn = sampled(
        posterior, lambda one: along(one, atoms, wider).forward_eV - along(one, atoms, positions).forward_eV
    )
    told = np.linalg.norm(second.forward - first.forward)
    assert told == pytest.approx(drawn.std(), rel=MONTE_CARLO_TOLERANCE)
    assert told < 0.8 * np.linalg.norm(first.forward)


@pytest.mark.slow
def test_a_path_relaxed_with_each_model_varies_as_the_fixed_one_to_first_order():
    """The envelope theorem, on a change of the model small enough that its square is nothing."""
    crystal = bulk("Ar", "fcc", a=3.8, cubic=True).repeat((2, 1, 1))
    posterior = pair_posterior()
    before, after = crystal.copy(), crystal.copy()
    after.positions[1] = crystal.positions[0]
    del before[0], after[0]
    settings = BandSettings(images=5, band_force_eV_per_A=0.01, climbing_force_eV_per_A=0.002)
    tight = FixedCellRelaxation(force_tolerance_eV_per_A=0.001)

    def relaxed(calculator):
        ends = [relax_ions(one, calculator, tight).atoms for one in (before, after)]
        band = relax_band(*ends, calculator, settings)
        return band, profile(band.positions, band.energies, band.forces)

    band, found = relaxed(posterior.calculator)
    vectors = path_vectors(posterior, before, band.positions, found)
    step = 0.05
    for direction in np.eye(3)[:1]:
        changed = posterior.calculator
        changed.weights = posterior.mean + step * posterior.root @ direction
        _, moved = relaxed(changed)
        change = moved.forward_eV - found.forward_eV
        assert change == pytest.approx(step * vectors.forward @ direction, rel=0.1, abs=1e-5)


def test_formation_energies_and_their_mean_vary_between_models_as_told():
    posterior = pair_posterior()
    crystal = bulk("Ar", "fcc", a=3.8, cubic=True).repeat((2, 2, 1))
    defects = []
    for number, shift in enumerate((0.4, 0.7, 1.0)):
        defects.append(crystal.copy())
        defects[-1].positions[3 * number] += (shift, 0.1, 0.0)
    vectors = posterior.energy_vectors(defects) - posterior.energy_vectors([crystal])

    def numbers(calculator) -> np.ndarray:
        energies = [calculator.get_property("energy", one) for one in defects]
        return np.array(energies) - calculator.get_property("energy", crystal)

    drawn = sampled(posterior, numbers)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(drawn.std(axis=0), rel=MONTE_CARLO_TOLERANCE)
    mean = np.linalg.norm(vectors.mean(axis=0))
    assert mean == pytest.approx(drawn.mean(axis=1).std(), rel=MONTE_CARLO_TOLERANCE)
    assert half_widths(posterior, vectors.mean(axis=0)) == pytest.approx(2.0423 * mean, rel=1e-4)


@pytest.mark.parametrize("fields", [(-0.2, -0.1, 0.0, 0.1, 0.3), (0.0, 0.1, 0.2), (-0.3, 0.0), (-0.1, 0.0, 0.25)])
def test_slopes_at_zero_field_are_those_of_a_parabola(fields):
    weights, values = slope_weights(fields), np.array(fields)
    two_sided = min(fields) < 0 < max(fields)
    assert weights @ (1.0 - 0.7 * values + (2.0 * values**2 if two_sided else 0.0)) == pytest.approx(-0.7)
    assert np.count_nonzero(weights) <= 3


@pytest.mark.parametrize("fields", [(0.0,), (0.1, 0.2), ()])
def test_a_slope_needs_zero_and_a_field_beside_it(fields):
    with pytest.raises(InputError, match="needs zero and a field beside it"):
        slope_weights(fields)


def test_equations_of_state_vary_between_models_as_told():
    posterior = pair_posterior(deviation_eV=0.01)
    crystal = bulk("Ar", "fcc", a=LATTICE_A)
    cells = [strained(crystal, one) for one in np.linspace(-0.03, 0.03, 7)]
    volumes = np.array([cell.get_volume() for cell in cells])

    def energies(calculator) -> np.ndarray:
        return np.array([calculator.get_property("energy", cell) for cell in cells])

    best = fit_birch_murnaghan(volumes, energies(posterior.calculator))
    vectors = posterior.energy_vectors(cells)
    told = curve_intervals(posterior, best, volumes, energies(posterior.calculator), vectors)
    assert told.without_curve == 0

    def numbers(calculator) -> list[float]:
        one = fit_birch_murnaghan(volumes, energies(calculator))
        return [one.volume_A3_per_atom, one.bulk_modulus_GPa, one.bulk_modulus_derivative, one.energy_eV_per_atom]

    drawn = sampled(posterior, numbers)
    centre = [best.volume_A3_per_atom, best.bulk_modulus_GPa, best.bulk_modulus_derivative, best.energy_eV_per_atom]
    quantiles = np.quantile(np.abs(drawn - centre), 0.95, axis=0)
    found = [told.volume_A3_per_atom, told.bulk_modulus_GPa, told.bulk_modulus_derivative, told.energy_eV_per_atom]
    # Student's t of 30 degrees over the normal distribution's.
    assert found == pytest.approx(2.0423 / 1.96 * quantiles, rel=0.3)


def test_draws_of_two_curves_of_a_model_belong_together():
    """What is common to both cancels in the difference of their minima."""
    volumes = np.linspace(18.0, 22.0, 7)
    energies = 0.01 * (volumes - 20.0) ** 2
    common, own = np.full((7, 1), 0.1), np.full((7, 1), 0.001)
    first = curve_draws(volumes, energies, np.hstack([common, own]), count=60)
    second = curve_draws(volumes, energies - 0.2, np.hstack([common, -own]), count=60)
    assert (first - second)[:, 0].std() == pytest.approx(0.002, rel=0.3)
    assert first[:, 0].std() == pytest.approx(0.1, rel=0.3)


def test_draws_without_an_equation_of_state_count_as_outside():
    posterior = pair_posterior()
    volumes = np.linspace(18.0, 22.0, 7)
    energies = 0.001 * (volumes - 20.0) ** 2
    small = np.random.default_rng(3).normal(0.0, 1e-5, (7, 7))
    # A slope that grows steeper either way, downhill or uphill all along.
    slope = np.linspace(-1, 1, 7) + 2 * np.linspace(-1, 1, 7) ** 3
    fit = fit_birch_murnaghan(volumes, energies)
    some = curve_intervals(posterior, fit, volumes, energies, small)
    assert some.without_curve == 0
    assert np.isfinite(some.bulk_modulus_GPa)
    none = curve_intervals(posterior, fit, volumes, energies, 0.1 * slope[:, None])
    assert none.without_curve > 0.05
    assert none.bulk_modulus_GPa == none.volume_A3_per_atom == np.inf


def test_the_pair_model_is_what_it_says():
    """Forces are the slopes of the energy, and the crystal of the tests is bound."""
    posterior = pair_posterior()
    atoms = bulk("Ar", "fcc", a=3.8, cubic=True)
    atoms.rattle(0.1, seed=1)
    moved = [atoms.copy(), atoms.copy()]
    for one, sign in zip(moved, (1, -1), strict=True):
        one.positions[2, 1] += sign * 1e-4
    slope = np.subtract(*(energy_features(one) for one in moved)) @ posterior.mean / 2e-4
    assert posterior.calculator.get_property("forces", atoms)[2, 1] == pytest.approx(-slope, rel=1e-5)


def test_many_curves_are_fitted_at_once_as_one_is():
    posterior, crystal = pair_posterior(), bulk("Ar", "fcc", a=LATTICE_A)
    points = [energy_volume_point(crystal, posterior.calculator, one, None) for one in np.linspace(-0.04, 0.04, 9)]
    volumes, energies = np.array([(one.volume_A3, one.energy_eV) for one in points]).T
    fit = fit_points(points)
    assert fit.bracketed
    expected = [fit.energy_eV_per_atom, fit.volume_A3_per_atom, fit.bulk_modulus_GPa, fit.bulk_modulus_derivative]
    found = birch_parameters(volumes, [energies, energies - 40_000.0, -energies])
    assert found[0] == pytest.approx(expected, rel=1e-5)
    assert found[1] == pytest.approx([expected[0] - 40_000.0, *expected[1:]], rel=1e-4)
    assert np.isinf(found[2]).all(), "a maximum is no minimum"
