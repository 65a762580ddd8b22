"""Charges at rest: limits, polarisability, total charge, conjugate gradients, and energy that is conserved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read
from ase.md.verlet import VelocityVerlet

from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.contract import CHARGES_E, EXPONENTS_PER_A, BaselineContract
from ionloop.fitting.electrostatics.coulomb.clouds import GaussianPairTable, cloud_table
from ionloop.fitting.electrostatics.coulomb.matrix import coulomb_matrix
from ionloop.fitting.electrostatics.coulomb.slabs import Surroundings
from ionloop.fitting.electrostatics.equilibrated.charges import EquilibratedCharges
from ionloop.fitting.electrostatics.equilibrated.qeq import QEQ, QeqSection, QeqSettings
from ionloop.fitting.electrostatics.equilibrated.response import response
from ionloop.fitting.electrostatics.equilibrated.solver import Solver
from ionloop.fitting.electrostatics.joint.bonds import BondSwitch
from ionloop.fitting.electrostatics.joint.charge_models import Equilibrium
from ionloop.fitting.electrostatics.joint.large_structures import LargeStructures
from ionloop.fitting.electrostatics.species import SLATER_EXPONENTS
from ionloop.sampling.molecular_dynamics import run_langevin
from ionloop.sampling.molecular_dynamics_settings import MolecularDynamicsSettings
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.workflows.campaign.baseline_charges import baseline_settings
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.report.methods import methods_paragraph

SPACING_A = 2.5
CONTRACT = BaselineContract()
REFERENCE_E = np.array([CHARGES_E["Li"], CHARGES_E["S"]])
HARDNESS_EV = np.array([4.0, 6.0])
CHI_EV = np.array([-1.5, 1.0])
SWITCH = BondSwitch(1.5, 4.0)
CLOUDS = cloud_table(["Li", "S"], EXPONENTS_PER_A)
DRIFT_MEV_PER_ATOM_PS = 0.01


def charges_at_rest(*, bonds: bool, total: float = 0.0, solver: Solver | None = None) -> EquilibratedCharges:
    return EquilibratedCharges(REFERENCE_E, HARDNESS_EV, SWITCH if bonds else None, 8.0, total, solver)


COULOMB = LargeStructures(CLOUDS, [1.0, 1.0], 1e-8)


def evaluated(model: EquilibratedCharges, atoms: Atoms, coulomb: LargeStructures = COULOMB) -> Equilibrium:
    kinds = (atoms.numbers == 16).astype(np.int64)
    return model.evaluate(coulomb.of(atoms, kinds), CHI_EV[kinds], np.zeros(len(atoms)))


@pytest.mark.parametrize(
    ("n_atoms", "freely", "over_bonds"), [(2, 0.183, 0.084), (8, 1.75, 0.233), (32, 16.4, 0.292), (128, 177, 0.307)]
)
def test_a_chain_is_an_insulator_where_charge_passes_over_bonds(n_atoms, freely, over_bonds):
    """Polarisability per atom (e² Å²/eV): with charge that passes freely it grows as the square of the length."""
    positions = np.zeros((n_atoms, 3))
    positions[:, 0] = SPACING_A * (np.arange(n_atoms) - 0.5 * (n_atoms - 1))
    coulomb = coulomb_matrix(positions, Surroundings(None), np.zeros(n_atoms, dtype=np.int64), GaussianPairTable([0.9]))
    hardness = coulomb.values + 5.0 * np.eye(n_atoms)
    neighbours = np.eye(n_atoms, k=1) + np.eye(n_atoms, k=-1)
    conductances = (np.diag(neighbours.sum(axis=1)) - neighbours) / 20.0
    zero = np.zeros(n_atoms)
    x = positions[:, 0]
    for given, expected in ((None, freely), (conductances, over_bonds)):
        found = x @ response(zero, hardness, zero, given).matrix @ x / n_atoms
        assert found == pytest.approx(expected, rel=6e-3)


def test_in_open_space_a_field_is_a_slope_of_the_electronegativities():
    atoms, field = CONTRACT.molecule(), CONTRACT.field_V_per_A
    kinds = (atoms.numbers == 16).astype(np.int64)
    model, structure = charges_at_rest(bonds=True), COULOMB.of(atoms, kinds)
    found = model.evaluate(replace(structure, field_V_per_A=field), CHI_EV[kinds], np.zeros(6))
    tilted = model.evaluate(structure, CHI_EV[kinds], -atoms.positions @ field)
    np.testing.assert_allclose(found.charges, tilted.charges, atol=1e-10)
    assert found.passed is not None
    assert np.abs(found.charges - evaluated(model, atoms).charges).max() > 0.01
    assert found.energy_eV - found.passed.carried_e @ atoms.positions @ field == pytest.approx(
        tilted.energy_eV, abs=1e-9
    )


def test_conjugate_gradients_find_the_same_in_a_field():
    atoms, field = CONTRACT.crystal(), CONTRACT.field_V_per_A
    kinds = (atoms.numbers == 16).astype(np.int64)
    structure = replace(COULOMB.of(atoms, kinds), field_V_per_A=field)
    dense, iterated = (
        charges_at_rest(bonds=True, solver=solver).evaluate(structure, CHI_EV[kinds], np.zeros(6))
        for solver in (None, Solver(dense_atoms=0, residual_V=1e-9))
    )
    assert dense.passed is not None
    assert iterated.passed is not None
    assert iterated.energy_eV == pytest.approx(dense.energy_eV, abs=1e-6)
    np.testing.assert_allclose(iterated.passed.dipole_eA, dense.passed.dipole_eA, atol=1e-7)
    np.testing.assert_allclose(iterated.forces, dense.forces, atol=1e-6)


def test_infinite_hardness_holds_charges():
    atoms = CONTRACT.crystal()
    kinds = (atoms.numbers == 16).astype(np.int64)
    model = EquilibratedCharges(np.zeros(2), np.array([1e6, 1e6]), None, 1.0, 0.0)
    found = model.evaluate(COULOMB.of(atoms, kinds), -1e6 * REFERENCE_E[kinds], np.zeros(6))
    np.testing.assert_allclose(found.charges, REFERENCE_E[kinds], atol=2e-5)


def test_without_a_minimum_charges_are_refused():
    with pytest.raises(InputError, match="no minimum"):
        response(np.zeros(2), np.array([[1.0, 3.0], [3.0, 1.0]]), np.zeros(2), None)


@pytest.mark.parametrize("bonds", [True, False])
@pytest.mark.parametrize("place", ["crystal", "molecule"])
def test_charged_structures_have_their_total_charge_and_its_forces(place, bonds):
    atoms, model = getattr(CONTRACT, place)(), charges_at_rest(bonds=bonds, total=1.0)
    found = evaluated(model, atoms)
    assert found.charges.sum() == pytest.approx(1.0, abs=1e-12)
    energies = []
    for step in (1e-4, -1e-4):
        moved = atoms.copy()
        moved.positions[4, 1] += step
        energies.append(evaluated(model, moved).energy_eV)
    assert -(energies[0] - energies[1]) / 2e-4 == pytest.approx(found.forces[4, 1], abs=1e-6)


@pytest.mark.parametrize("bonds", [True, False])
@pytest.mark.parametrize("place", ["crystal", "molecule"])
def test_conjugate_gradients_find_what_matrices_find(place, bonds):
    atoms = getattr(CONTRACT, place)()
    expected = evaluated(charges_at_rest(bonds=bonds), atoms)
    solver = Solver(dense_atoms=0)
    model = charges_at_rest(bonds=bonds, solver=solver)
    found = evaluated(model, atoms)
    cold = solver.steps
    np.testing.assert_allclose(found.charges, expected.charges, atol=2e-6)
    assert found.energy_eV == pytest.approx(expected.energy_eV, abs=1e-7)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)
    np.testing.assert_allclose(found.strain_derivative, expected.strain_derivative, atol=2e-5)
    # Along a trajectory they start from what they had.
    for _ in range(5):
        atoms.positions[2] += [0.002, 0.001, -0.001]
        warm = evaluated(model, atoms)
    assert solver.steps < cold
    np.testing.assert_allclose(warm.charges, evaluated(charges_at_rest(bonds=bonds), atoms).charges, atol=2e-6)
    jump = CONTRACT.crystal(2)
    np.testing.assert_allclose(
        evaluated(model, jump).charges, evaluated(charges_at_rest(bonds=bonds), jump).charges, atol=2e-6
    )


class TestQeq(BaselineContract):
    kind = "qeq"

    def settings(self) -> QeqSettings:
        return QeqSettings(charges=CHARGES_E, exponents=EXPONENTS_PER_A, accuracy=1e-7)


def test_published_electronegativities_make_li7p3s11_of_neutral_phosphorus():
    """Untrained they are no charges of a thiophosphate; our notes, of another relaxed cell, round down."""
    crystal = build_crystal("li7p3s11")
    settings = QeqSettings(charges=dict.fromkeys(["Li", "P", "S"], 0.0), exponents=SLATER_EXPONENTS)
    charges = QEQ.calculator(settings).get_property("charges", crystal)
    found = [charges[np.array(crystal.get_chemical_symbols()) == symbol].mean() for symbol in ("Li", "P", "S")]
    np.testing.assert_allclose(found, [0.65, 0.03, -0.42], atol=0.01)


def test_a_campaign_on_qeq_needs_no_charges_and_says_which_elements_it_lacks():
    section = QeqSection()
    settings = baseline_settings(section, [["C", "H", "O", "H"]])
    assert set(settings.charges) == {"C", "H", "O"}
    water = Atoms("OH2", positions=[[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    dipole = QEQ.calculator(settings).get_property("dipole", water)
    assert dipole @ (water.positions[1] + water.positions[2]) > 0.1
    with pytest.raises(InputError, match="no electronegativity of La"):
        QEQ.calculator(baseline_settings(section, [["La", "Cl"]]))
    assert "no electronegativity of La" in QEQ.what_it_lacks(section, ["Cl", "La"])
    campaign = Campaign.model_validate({"name": "lps", "structure": "li7p3s11", "baseline": {"kind": "qeq"}})
    text = methods_paragraph(campaign, "Li7P3S11", {})
    assert "published electronegativities" in text
    assert "formal charges" not in text


class TetheredCharges(Calculator):
    """Charges at rest, and springs that hold the atoms."""

    implemented_properties = ("energy", "forces")

    def __init__(self, model: EquilibratedCharges, homes: np.ndarray) -> None:
        super().__init__()
        self.model, self.homes = model, homes
        self.coulomb = LargeStructures(CLOUDS, [1.0, 1.0], 1e-6)

    def forget(self) -> None:
        self.model.forget()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, list(properties), list(system_changes))
        found, away = evaluated(self.model, self.atoms, self.coulomb), self.atoms.positions - self.homes
        self.results = {"energy": found.energy_eV + 1.5 * (away**2).sum(), "forces": found.forces - 3.0 * away}


def test_a_trajectory_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    """Charges start from earlier steps, which a new process does not have: blocks of steps forget them."""
    settings = MolecularDynamicsSettings(temperature_K=300.0, steps=12, write_every=4)

    class Killed(Exception):
        pass

    def kill(done: int, of: int) -> None:
        if done == 8:
            raise Killed

    def run(name: str, progress: Callable[[int, int], None] | None = None) -> list[Atoms]:
        atoms, solver = CONTRACT.crystal(), Solver(dense_atoms=0)
        calculator = TetheredCharges(charges_at_rest(bonds=True, solver=solver), atoms.positions.copy())
        run_langevin(atoms, calculator, settings, tmp_path / name, seed=3, progress=progress)
        return read(tmp_path / name, ":")

    whole = run("whole.traj")
    with pytest.raises(Killed):
        run("killed.traj", kill)
    found = run("killed.traj")
    assert len(found) == len(whole) == 4
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(one.get_momenta(), other.get_momenta())


@pytest.mark.slow
def test_dynamics_with_warm_charges_conserve_the_energy():
    atoms = CONTRACT.crystal()
    atoms.calc = TetheredCharges(charges_at_rest(bonds=True, solver=Solver(dense_atoms=0)), atoms.positions.copy())
    atoms.set_velocities(np.random.default_rng(1).normal(0, 0.008, (6, 3)))
    dynamics = VelocityVerlet(atoms, timestep=0.25 * units.fs)
    times, energies = [], []
    for _ in range(80):
        dynamics.run(25)
        times.append(dynamics.get_time() / (1000 * units.fs))
        energies.append(1000 * atoms.get_total_energy() / len(atoms))
    assert np.ptp(energies) < 1.0
    assert abs(np.polyfit(times, energies, 1)[0]) < DRIFT_MEV_PER_ATOM_PS
