"""Equations of state: synthetic points with known parameters, and EMT copper."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.eos import birchmurnaghan
from ase.units import GPa

from ionloop.analysis.energy_volume.curves import (
    EquationOfStateError,
    doubts,
    energy_volume_point,
    fit_birch_murnaghan,
    fit_points,
    strained,
)
from ionloop.analysis.energy_volume.figures import EnergyVolumeCurve, energy_volume_figure
from ionloop.analysis.energy_volume.settings import EnergyVolumeSettings
from ionloop.analysis.fixed_cell_relaxation import RelaxationFailed, relax_ions
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.core.errors import InputError

EXACT = 1e-6
ENERGY_EV, MODULUS_GPA, DERIVATIVE, VOLUME_A3 = -4.2, 23.0, 5.1, 19.7
# The potential (Jacobsen, Stoltze, Nørskov, Surf. Sci. 1996, 366, 394, 10.1016/0039-6028(96)00816-3) was made to
# reproduce metals: copper measures 137 GPa at room temperature and 3.60 Å at 0 K.
EMT_COPPER_MODULUS_GPA, EMT_TOLERANCE_GPA = 137.0, 10.0
EMT_COPPER_LATTICE_A, LATTICE_TOLERANCE_A = 3.60, 0.02


def synthetic(noise_eV: float = 0.0, seed: int = 0, points: int = 15) -> tuple[np.ndarray, np.ndarray]:
    volumes = VOLUME_A3 * np.linspace(0.9, 1.1, points)
    energies = birchmurnaghan(volumes, ENERGY_EV, MODULUS_GPA * GPa, DERIVATIVE, VOLUME_A3)
    return volumes, energies + np.random.default_rng(seed).normal(0.0, noise_eV, points)


def test_known_parameters_come_back():
    fit = fit_birch_murnaghan(*synthetic())
    assert fit.energy_eV_per_atom == pytest.approx(ENERGY_EV, rel=EXACT)
    assert fit.volume_A3_per_atom == pytest.approx(VOLUME_A3, rel=EXACT)
    assert fit.bulk_modulus_GPa == pytest.approx(MODULUS_GPA, rel=EXACT)
    assert fit.bulk_modulus_derivative == pytest.approx(DERIVATIVE, rel=EXACT)
    assert fit.bracketed


def test_the_standard_error_of_the_bulk_modulus_is_the_spread_of_repeated_fits():
    fits = [fit_birch_murnaghan(*synthetic(noise_eV=2e-4, seed=seed)) for seed in range(200)]
    moduli = np.array([fit.bulk_modulus_GPa for fit in fits])
    told = np.sqrt(np.mean([fit.bulk_modulus_standard_error_GPa**2 for fit in fits]))
    # The relative error of a standard deviation from n values is 1/sqrt(2n), here 5 %.
    assert told == pytest.approx(moduli.std(ddof=1), rel=0.2)
    assert abs(moduli.mean() - MODULUS_GPA) < 4 * moduli.std() / np.sqrt(len(moduli))


def test_a_minimum_beyond_the_volumes_is_told():
    volumes, energies = synthetic()
    assert not fit_birch_murnaghan(volumes[:6], energies[:6]).bracketed


def test_energies_without_a_minimum_have_no_equation_of_state():
    volumes, energies = synthetic()
    with pytest.raises(EquationOfStateError):
        fit_birch_murnaghan(volumes, -energies)


def test_energies_of_two_crystals_lie_on_no_curve():
    volumes, energies = synthetic(points=9)
    energies[::2] += 0.5
    with pytest.raises(EquationOfStateError, match="do not lie on one curve"):
        fit_birch_murnaghan(volumes, energies)


def test_a_step_between_two_curves_is_refused_and_what_is_doubtful_told():
    volumes, energies = synthetic(points=9)
    assert doubts(fit_birch_murnaghan(volumes, energies)) == ()
    with pytest.raises(EquationOfStateError, match="do not lie on one curve"):
        fit_birch_murnaghan(volumes, energies + np.where(np.arange(9) > 4, 0.2, 0.0))
    assert "no crystal has a bulk modulus" in doubts(fit_birch_murnaghan(volumes, 96.485 * energies))[0]
    assert "scatter about the curve" in doubts(fit_birch_murnaghan(volumes, energies + 0.004 * (-1) ** np.arange(9)))[0]


def test_five_volumes_are_needed():
    with pytest.raises(InputError, match="5 volumes"):
        fit_birch_murnaghan([1, 2, 3, 4], [1, 2, 3, 4])


def test_emt_copper_has_its_bulk_modulus_and_lattice_constant():
    copper = bulk("Cu", a=3.55)
    points = [energy_volume_point(copper, EMT(), strain, None) for strain in EnergyVolumeSettings().strains]
    fit = fit_points(points)
    assert fit.bulk_modulus_GPa == pytest.approx(EMT_COPPER_MODULUS_GPA, abs=EMT_TOLERANCE_GPA)
    assert (4 * fit.volume_A3_per_atom) ** (1 / 3) == pytest.approx(EMT_COPPER_LATTICE_A, abs=LATTICE_TOLERANCE_A)


def test_a_supercell_has_the_same_equation_of_state_per_atom():
    cells = [bulk("Cu", a=3.6), bulk("Cu", a=3.6).repeat((2, 1, 1))]
    one, two = (
        fit_points([energy_volume_point(cell, EMT(), strain, None) for strain in EnergyVolumeSettings().strains])
        for cell in cells
    )
    assert two.bulk_modulus_GPa == pytest.approx(one.bulk_modulus_GPa, rel=1e-5)


def test_relaxation_lowers_the_energy_at_the_same_cell():
    atoms = bulk("CuAu", "cesiumchloride", a=3.1).repeat((2, 1, 1))
    atoms.rattle(0.08, seed=2)
    rigid = energy_volume_point(atoms, EMT(), 0.02, None)
    relaxed = energy_volume_point(atoms, EMT(), 0.02, FixedCellRelaxation())
    assert relaxed.converged
    assert relaxed.energy_eV < rigid.energy_eV - 0.01
    assert relaxed.volume_A3 == pytest.approx(1.02**3 * atoms.get_volume(), rel=1e-12)
    assert np.array_equal(relaxed.atoms.cell.array, rigid.atoms.cell.array)


@pytest.mark.parametrize("optimizer", ["fire", "lbfgs", "bfgs-line-search"])
def test_every_optimiser_reaches_the_tolerance_and_leaves_its_input_alone(optimizer):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    kept = atoms.positions.copy()
    settings = FixedCellRelaxation(optimizer=optimizer)
    relaxed = relax_ions(atoms, EMT(), settings)
    assert relaxed.converged
    assert relaxed.largest_force_eV_per_A <= settings.force_tolerance_eV_per_A
    assert np.array_equal(atoms.positions, kept)


def test_a_relaxation_out_of_steps_is_an_outcome_with_a_reason():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    relaxed = relax_ions(atoms, EMT(), FixedCellRelaxation(max_steps=2))
    assert not relaxed.converged
    assert "after 2 steps" in relaxed.reason


def test_a_calculator_that_fails_is_told():
    with pytest.raises(RelaxationFailed, match="NotImplementedError"):
        relax_ions(Atoms("Li"), EMT(), FixedCellRelaxation())


def test_what_has_no_volume_is_refused():
    with pytest.raises(InputError, match="periodic"):
        strained(molecule("H2O"), 0.01)
    with pytest.raises(InputError, match="leaves no cell"):
        strained(bulk("Cu"), -1.0)


def test_the_figure_counts_every_curve_from_its_own_minimum():
    volumes, energies = synthetic()
    fit = fit_birch_murnaghan(volumes, energies)
    shifted = fit.model_copy(update={"energy_eV_per_atom": fit.energy_eV_per_atom + 7.0})
    curves = [
        EnergyVolumeCurve("es-gap", tuple(volumes), tuple(energies), fit),
        EnergyVolumeCurve("reference", tuple(volumes), tuple(energies + 7.0), shifted),
        EnergyVolumeCurve("gap", tuple(volumes), tuple(energies), None),
    ]
    figure = energy_volume_figure(curves)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(lines) == 2
    assert np.allclose(lines[0].y, lines[1].y, atol=1e-6)
    assert "meV/atom" in figure.layout.yaxis.title.text
    assert all(min(trace.y) > -1e-6 for trace in figure.data)
