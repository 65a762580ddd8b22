"""Charges fitted to induced forces: the tensors, the minimum, its uncertainty."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, SlaterEwald
from ionloop.fitting.electrostatics.charges import (
    CentreResponse,
    ChargeProblem,
    PairTensorEvaluator,
    charge_products,
    fit_charges,
    locality_criterion,
    scale_curve,
    species_pairs,
)
from ionloop.sampling.structures.crystals import build_crystal

SPECIES = ("Li", "P", "S")
COUNTS = {"Li": 14, "P": 6, "S": 22}
FORMAL = {"Li": 1.0, "P": 5.0, "S": -2.0}
# Not in the ratio of formal charges, and neutral: 14 * 0.4 + 6 * 1.3 = 13.4.
KNOWN = {"Li": 0.4, "P": 1.3, "S": -13.4 / 22}
# Truncation of seven lattice sums.
TENSOR_TOLERANCE_EV = 2e-5
NUMERICAL_PRECISION_E = 1e-10
# Spacing of the grid that the minimum is compared with.
GRID_STEP_E = 0.01


def problem(**changes) -> ChargeProblem:
    return ChargeProblem(**{"species": SPECIES, "counts": COUNTS, "mobile": "Li", **changes})


def responses(charges: dict[str, float], noise_eV_per_A: float = 0.0, seed: int = 0, centres: int = 3):
    """Random tensors, and the induced forces of ``charges`` with noise on top."""
    generator = np.random.default_rng(seed)
    made = []
    for symbol in SPECIES * centres:
        tensors = generator.normal(size=(5, len(species_pairs(SPECIES)), 3))
        forces = np.einsum("p,spx->sx", charge_products([charges[one] for one in SPECIES]), tensors)
        made.append(CentreResponse(symbol, forces + generator.normal(0, noise_eV_per_A, forces.shape), tensors))
    return made


@pytest.mark.parametrize("exponents", [{}, SLATER_EXPONENTS], ids=["points", "slater"])
def test_the_tensors_give_energy_forces_and_stress_for_any_charges(exponents):
    atoms = build_crystal("li7p3s11")
    atoms.rattle(0.05, seed=1)
    tensors = PairTensorEvaluator(SPECIES, exponents)(atoms)
    products = charge_products([KNOWN[symbol] for symbol in SPECIES])
    atoms.calc = SlaterEwald(KNOWN, exponents)
    assert products @ tensors.energy == pytest.approx(atoms.get_potential_energy(), abs=TENSOR_TOLERANCE_EV)
    forces = np.einsum("p,pix->ix", products, tensors.forces)
    assert np.allclose(forces, atoms.get_forces(), atol=TENSOR_TOLERANCE_EV)
    assert np.allclose(products @ tensors.stress, atoms.get_stress(), atol=TENSOR_TOLERANCE_EV / atoms.get_volume())


def test_a_molecule_has_tensors_without_stress():
    atoms = build_crystal("gamma-li3ps4")
    atoms.pbc = False
    assert PairTensorEvaluator(SPECIES)(atoms).stress is None


def test_known_charges_are_found_again():
    fitted = fit_charges(responses(KNOWN), problem())
    assert fitted.charges == pytest.approx(KNOWN, abs=NUMERICAL_PRECISION_E)
    assert max(fitted.uncertainties.values()) < NUMERICAL_PRECISION_E
    assert max(fitted.after_eV_per_A.values()) < NUMERICAL_PRECISION_E


def test_the_sign_of_all_charges_is_that_of_a_positive_mobile_ion():
    opposite = {symbol: -charge for symbol, charge in KNOWN.items()}
    assert fit_charges(responses(opposite), problem()).charges == pytest.approx(KNOWN, abs=NUMERICAL_PRECISION_E)


def test_one_parameter_scales_the_formal_charges():
    scaled = {symbol: 0.37 * charge for symbol, charge in FORMAL.items()}
    fitted = fit_charges(responses(scaled), problem(proportions=FORMAL))
    assert fitted.charges == pytest.approx(scaled, abs=NUMERICAL_PRECISION_E)
    assert fitted.transferable


@pytest.mark.slow
def test_the_minimum_is_that_of_a_brute_grid():
    noisy = responses(KNOWN, noise_eV_per_A=1.0, seed=3)
    fitted = fit_charges(noisy, problem(), resamples=0)
    grid = np.arange(-1.5, 1.5 + GRID_STEP_E, GRID_STEP_E)
    lowest, at = min(
        (locality_criterion(noisy, charges), charges)
        for li, p in itertools.product(grid[grid >= 0][::2], grid[::2])
        for charges in [(li, p, -(14 * li + 6 * p) / 22)]
    )
    found = [fitted.charges[symbol] for symbol in SPECIES]
    assert locality_criterion(noisy, found) <= lowest
    assert np.allclose(found, at, atol=2 * GRID_STEP_E)


def test_fitted_charges_are_neutral_and_lower_every_criterion_than_nearby_ones():
    noisy = responses(KNOWN, noise_eV_per_A=0.5, seed=4)
    fitted = fit_charges(noisy, problem(), resamples=0)
    q = np.array([fitted.charges[symbol] for symbol in SPECIES])
    assert sum(COUNTS[s] * fitted.charges[s] for s in SPECIES) == pytest.approx(0, abs=NUMERICAL_PRECISION_E)
    for direction in problem().basis.T:
        for step in (-1e-4, 1e-4):
            assert locality_criterion(noisy, q + step * direction) > locality_criterion(noisy, q)


@pytest.mark.slow
def test_uncertainties_are_the_spread_over_repeated_experiments():
    noise = 1.0
    repeated = [
        fit_charges(responses(KNOWN, noise, seed=seed, centres=8), problem(), resamples=0).charges["P"]
        for seed in range(100, 140)
    ]
    claimed = fit_charges(responses(KNOWN, noise, seed=0, centres=8), problem()).uncertainties["P"]
    # Forty experiments know their spread to a tenth, eight centres theirs to a quarter.
    assert 0.5 < claimed / np.std(repeated) < 2.0


def test_the_same_seed_gives_the_same_uncertainties():
    noisy = responses(KNOWN, noise_eV_per_A=0.5)
    first, again = (fit_charges(noisy, problem(), seed=5, resamples=20) for _ in range(2))
    assert first == again


def test_forces_that_no_charges_explain_give_none():
    repelled = [
        CentreResponse(one.symbol, -one.reference, one.tensors)
        for one in responses({symbol: 0.5 * charge for symbol, charge in FORMAL.items()})
    ]
    assert set(fit_charges(repelled, problem(proportions=FORMAL)).charges.values()) == {0.0}


def test_a_species_without_centres_is_named():
    with pytest.raises(InputError, match="induced forces on P"):
        fit_charges([one for one in responses(KNOWN) if one.symbol != "P"], problem())


def test_proportions_that_are_not_neutral_are_refused():
    with pytest.raises(InputError, match="neutral"):
        fit_charges(responses(KNOWN), problem(proportions={"Li": 1.0, "P": 4.0, "S": -2.0}))


def test_the_scale_curve_is_lowest_at_the_fitted_scale():
    scaled = {symbol: 0.5 * charge for symbol, charge in FORMAL.items()}
    curve = scale_curve(responses(scaled, noise_eV_per_A=0.01), FORMAL, [0.0, 0.25, 0.5, 0.75])
    assert np.argmin(curve.criterion_eV2_per_A2) == 2
    fitted = fit_charges(responses(scaled, noise_eV_per_A=0.01), problem(proportions=FORMAL), resamples=0)
    for symbol in SPECIES:
        assert curve.rms_eV_per_A[symbol][0] == pytest.approx(fitted.before_eV_per_A[symbol])
        assert curve.mean_eV_per_A[symbol][2] < curve.rms_eV_per_A[symbol][2]
