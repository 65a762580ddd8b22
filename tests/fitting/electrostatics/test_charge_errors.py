"""Charges by the leave-out error: one fit says what direct fits with every baseline say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.cores import subtract_baseline
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.electrostatics.baseline import baseline_calculator
from ionloop.fitting.electrostatics.charge_errors import (
    LeaveOutTensors,
    charge_error_curve,
    fit_charges_to_error,
    leave_out_tensors,
)
from ionloop.fitting.electrostatics.charges import ChargeProblem
from ionloop.fitting.native.sparse_fit.fit import run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.settings import BaselineSettings, GapSettings

EXPONENTS = {"Li": 0.7888, "S": 1.6422}
ACCURACY_eV_per_A = 1e-8
FORMAL = {"Li": 1.0, "S": -2.0}
PROBLEM = ChargeProblem(species=("Li", "S"), counts={"Li": 2, "S": 1}, mobile="Li")
DIRECT_FIT_TOLERANCE = 1e-6  # relative; rounding of the linear system and truncation of the lattice sums
CHARGE_TOLERANCE_e = 1e-6
TRUE_CHARGE_e = 0.7


def baseline(scale: float, exponents: dict[str, float]) -> BaselineSettings:
    charges = {symbol: scale * charge for symbol, charge in FORMAL.items()}
    return BaselineSettings(charges=charges, exponents=exponents, accuracy=ACCURACY_eV_per_A)


def with_electrostatics(data_set: DataSet, scale: float) -> DataSet:
    """The data with the electrostatics of known charges added."""
    calculator = baseline_calculator(baseline(scale, EXPONENTS))
    return DataSet(
        tuple(
            replace(
                item,
                energy=item.energy + calculator.get_property("energy", item.atoms),
                forces=item.forces + calculator.get_property("forces", item.atoms),
                stress=item.stress + calculator.get_property("stress", item.atoms),
            )
            for item in data_set
        ),
        data_set.isolated_atom_energies,
    )


@pytest.fixture(scope="module")
def charged(lithium_sulfide: DataSet) -> DataSet:
    return with_electrostatics(lithium_sulfide, TRUE_CHARGE_e)


@pytest.fixture(scope="module")
def task(charged: DataSet, small_settings: GapSettings) -> FitInputs:
    return FitInputs(charged, small_settings, 0)


@pytest.fixture(scope="module")
def tensors(task: FitInputs) -> LeaveOutTensors:
    (found,) = leave_out_tensors(task, PROBLEM, [EXPONENTS], FitResources(), accuracy=ACCURACY_eV_per_A)
    return found


@pytest.mark.parametrize("scale", [0.0, 0.35, 1.0])
def test_errors_are_those_of_direct_fits(tensors: LeaveOutTensors, task: FitInputs, scale: float) -> None:
    rest = task.data_set
    if scale:
        rest = subtract_baseline(rest, baseline_calculator(baseline(scale, EXPONENTS)))
    direct = run_fit(replace(task, data_set=rest), FitResources()).leave_out_errors
    assert direct is not None
    expected = direct.summary()
    found = tensors.summary({symbol: scale * charge for symbol, charge in FORMAL.items()})
    assert found.force_eV_per_A == pytest.approx(expected.force_eV_per_A, rel=DIRECT_FIT_TOLERANCE)
    assert found.energy_eV_per_atom == pytest.approx(expected.energy_eV_per_atom, rel=DIRECT_FIT_TOLERANCE)
    assert found.virial_eV_per_atom == pytest.approx(expected.virial_eV_per_atom, rel=DIRECT_FIT_TOLERANCE)
    assert found.force_by_element_eV_per_A == pytest.approx(
        expected.force_by_element_eV_per_A, rel=DIRECT_FIT_TOLERANCE
    )


def test_the_minimum_is_that_of_the_curve(tensors: LeaveOutTensors) -> None:
    fitted = fit_charges_to_error([tensors], resamples=0)
    best = fitted.charges["Li"]
    curve = charge_error_curve(tensors, FORMAL, [best - 1e-3, best, best + 1e-3])
    assert curve.force_eV_per_A[1] == min(curve.force_eV_per_A)
    assert curve.force_eV_per_A[1] == pytest.approx(fitted.with_baseline.force_eV_per_A)
    # The error is a quartic in the charge: three points and zero slope at none are enough for all others.
    scales = np.linspace(0.0, 1.0, 6)
    squares = np.square(charge_error_curve(tensors, FORMAL, scales.tolist()).force_eV_per_A)
    coefficients = np.polyfit(scales**2, squares, 2)
    np.testing.assert_allclose(np.polyval(coefficients, scales**2), squares, rtol=1e-9)
    assert best == pytest.approx(np.sqrt(-coefficients[1] / (2 * coefficients[0])), abs=CHARGE_TOLERANCE_e)


def test_charges_of_purely_electrostatic_data_are_found(lithium_sulfide: DataSet, small_settings: GapSettings) -> None:
    """Nothing is left for the GAP to learn: the only minimum is at the data's charges, in every bootstrap sample."""
    isolated = lithium_sulfide.isolated_atom_energies
    nothing = DataSet(
        tuple(
            replace(
                item,
                energy=sum(isolated[symbol] for symbol in item.atoms.symbols),
                forces=np.zeros_like(item.forces),
                stress=np.zeros(6),
            )
            for item in lithium_sulfide
        ),
        isolated,
    )
    task = FitInputs(with_electrostatics(nothing, TRUE_CHARGE_e), small_settings, 0)
    found = leave_out_tensors(task, PROBLEM, [EXPONENTS], FitResources(), accuracy=ACCURACY_eV_per_A)
    fitted = fit_charges_to_error(found)
    assert fitted.charges["Li"] == pytest.approx(TRUE_CHARGE_e, abs=CHARGE_TOLERANCE_e)
    assert fitted.charges["S"] == pytest.approx(-2 * TRUE_CHARGE_e, abs=CHARGE_TOLERANCE_e)
    assert fitted.uncertainties["Li"] < CHARGE_TOLERANCE_e
    assert fitted.without_baseline.force_eV_per_A > 1e4 * fitted.with_baseline.force_eV_per_A


def test_the_bootstrap_depends_on_its_seed_only(tensors: LeaveOutTensors) -> None:
    first, again, other = (fit_charges_to_error([tensors], seed=seed, resamples=20) for seed in (1, 1, 2))
    assert first == again
    assert first.uncertainties["Li"] > 0
    assert first.uncertainties != other.uncertainties
    assert first.charges == other.charges


def test_one_scale_and_free_charges_agree_where_neutrality_leaves_one(
    tensors: LeaveOutTensors, task: FitInputs
) -> None:
    problem = replace(PROBLEM, proportions=FORMAL)
    (scaled,) = leave_out_tensors(task, problem, [EXPONENTS], FitResources(), accuracy=ACCURACY_eV_per_A)
    one = fit_charges_to_error([scaled], resamples=0)
    assert one.transferable
    assert one.charges == pytest.approx(fit_charges_to_error([tensors], resamples=0).charges, abs=CHARGE_TOLERANCE_e)


def test_exponents_are_chosen_by_the_same_error(task: FitInputs, tensors: LeaveOutTensors) -> None:
    sets = [{symbol: factor * value for symbol, value in EXPONENTS.items()} for factor in (0.5, 1.0)]
    both = leave_out_tensors(task, PROBLEM, sets, FitResources(), accuracy=ACCURACY_eV_per_A)
    fits = [fit_charges_to_error([one], resamples=0) for one in both]
    best = fit_charges_to_error(both, resamples=0)
    assert best == min(fits, key=lambda fit: fit.with_baseline.force_eV_per_A)
    assert fits[1].charges == pytest.approx(fit_charges_to_error([tensors], resamples=0).charges, abs=1e-4)


def test_without_electrostatics_in_the_data_charges_are_small(
    lithium_sulfide: DataSet, small_settings: GapSettings
) -> None:
    found = leave_out_tensors(FitInputs(lithium_sulfide, small_settings, 0), PROBLEM, [EXPONENTS], FitResources())
    assert abs(fit_charges_to_error(found, resamples=0).charges["Li"]) < TRUE_CHARGE_e / 2


def test_configurations_that_are_not_neutral_are_named(charged: DataSet, small_settings: GapSettings) -> None:
    first, *rest = charged.configurations
    atoms = first.atoms.copy()
    del atoms[-1]
    broken = replace(first, atoms=atoms, forces=first.forces[:-1])
    task = FitInputs(DataSet((broken, *rest), charged.isolated_atom_energies), small_settings, 0)
    with pytest.raises(InputError, match=r"li2s-0 .* is not neutral .*transferable: true"):
        leave_out_tensors(task, PROBLEM, [EXPONENTS], FitResources())


def test_charges_that_were_not_allowed_are_refused(tensors: LeaveOutTensors) -> None:
    with pytest.raises(InputError, match="not among those that were fitted"):
        tensors.summary({"Li": 0.5, "S": -0.5})
