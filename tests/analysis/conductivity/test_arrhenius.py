from __future__ import annotations

import numpy as np
import pytest
from ase.units import kB

from ionloop.analysis.conductivity.arrhenius import ChargeCarriers, fit_arrhenius
from ionloop.core.errors import InputError

# Li7P3S11 in Hajibabaei, Kim, J. Phys. Chem. Lett. 2021, 12, 8115; the refit is this project's, V = 829.35 Å³.
SGPR_TEMPERATURES_K = (600.0, 700.0, 800.0, 1000.0)
SGPR_DIFFUSIVITIES = (0.12, 0.20, 0.32, 0.61)
LI7P3S11 = ChargeCarriers(ions=14, charge_e=1.0, volume_A3=829.35)
TRUE_ENERGY_EV, TRUE_PREFACTOR = 0.25, 8.0
REPEATS, FEWEST_IN_INTERVAL = 100, 90


def test_the_row_of_sgpr():
    found = fit_arrhenius(SGPR_TEMPERATURES_K, SGPR_DIFFUSIVITIES, carriers=LI7P3S11)
    assert found.activation_energy_eV.value == pytest.approx(0.2114, abs=5e-5)
    assert found.extrapolated_conductivity_mS_per_cm is not None
    assert found.extrapolated_conductivity_mS_per_cm.value == pytest.approx(20.4, abs=0.05)
    assert found.extrapolated_diffusivity_A2_per_ps.value == pytest.approx(found.diffusivity_A2_per_ps(300.0))
    # The paper's 0.21 eV and 20.1 mS/cm.
    assert found.activation_energy_eV.contains(0.21)
    assert found.extrapolated_conductivity_mS_per_cm.contains(20.1)


@pytest.mark.parametrize("with_errors", [True, False])
def test_the_truth_lies_within_the_intervals(with_errors):
    temperatures = np.array([500.0, 600.0, 700.0, 800.0, 1000.0])
    truth = TRUE_PREFACTOR * np.exp(-TRUE_ENERGY_EV / (kB * temperatures))
    at_room = TRUE_PREFACTOR * np.exp(-TRUE_ENERGY_EV / (kB * 300.0))
    relative = np.array([0.2, 0.15, 0.1, 0.08, 0.05]) if with_errors else np.full(5, 0.1)
    energies = extrapolated = 0
    for seed in range(REPEATS):
        values = truth * np.exp(np.random.default_rng(seed).normal(0, relative))
        found = fit_arrhenius(temperatures, values, relative * values if with_errors else None)
        energies += found.activation_energy_eV.contains(TRUE_ENERGY_EV)
        extrapolated += found.extrapolated_diffusivity_A2_per_ps.contains(at_room)
    assert energies >= FEWEST_IN_INTERVAL
    assert extrapolated >= FEWEST_IN_INTERVAL


def test_points_are_weighted_by_their_errors():
    temperatures = (600.0, 700.0, 800.0, 900.0)
    values = TRUE_PREFACTOR * np.exp(-TRUE_ENERGY_EV / (kB * np.array(temperatures)))
    spoilt = values * np.array([3.0, 1.0, 1.0, 1.0])
    errors = values * np.array([1e3, 0.01, 0.01, 0.01])
    found = fit_arrhenius(temperatures, spoilt, errors)
    assert found.activation_energy_eV.value == pytest.approx(TRUE_ENERGY_EV, abs=1e-3)


def test_scatter_beyond_the_errors_widens_them():
    sharp = fit_arrhenius(SGPR_TEMPERATURES_K, SGPR_DIFFUSIVITIES, [1e-4] * 4)
    assert sharp.scatter_ratio is not None
    assert sharp.scatter_ratio > 10
    assert sharp.activation_energy_eV.standard_error > 0.002


def test_the_bootstrap_agrees_with_the_propagated_error():
    errors = 0.05 * np.array(SGPR_DIFFUSIVITIES)
    found = fit_arrhenius(SGPR_TEMPERATURES_K, SGPR_DIFFUSIVITIES, errors)
    inverse = 1.0 / (kB * np.array(SGPR_TEMPERATURES_K))
    expected = 0.05 / np.sqrt(np.sum((inverse - inverse.mean()) ** 2)) * max(found.scatter_ratio or 0.0, 1.0)
    assert found.activation_energy_eV.standard_error == pytest.approx(expected, rel=0.05)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match="3 different temperatures"):
        fit_arrhenius([600, 600, 700], [0.1, 0.1, 0.2])
    with pytest.raises(InputError, match="above zero"):
        fit_arrhenius([600, 700, 800], [0.1, 0.0, 0.2])
    with pytest.raises(InputError, match="standard error"):
        fit_arrhenius([600, 700, 800], [0.1, 0.15, 0.2], [0.01, 0.0, 0.01])
