"""What every kind of baseline must satisfy, as a test class to inherit.

A test of a kind is a subclass in a pytest file that defines ``kind`` and ``settings``::

    class TestMyBaseline(BaselineContract):
        kind = "my-baseline"

        def settings(self):
            return MySettings(charges={"Li": 0.4, "S": -0.8})

Kinds that are fitted with a model also give ``calculator``, one with parameters that are not zero.
"""

# The name of a test says what it checks.
# ruff: noqa: D102

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from pydantic import ValidationError

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ..settings import CommonBaselineSettings
from .base import BaselineKind
from .in_field import AnswersFields, born_charges_of
from .registry import BASELINES, KIND, baseline_in, kind_of_baseline

CHARGES_E = {"Li": 0.4, "S": -0.8}
EXPONENTS_PER_A = {"Li": 0.79, "S": 1.64}


PLACES = ("crystal", "triclinic", "slab", "molecule")


class BaselineContract:
    """Identity, derivatives, charges, invariances and sizes; of Li and S in crystals, a slab and in space."""

    kind: ClassVar[str]
    energy_tolerance_eV: ClassVar[float] = 1e-6
    force_tolerance_eV_per_A: ClassVar[float] = 2e-5
    stress_tolerance_eV_per_A3: ClassVar[float] = 1e-6
    charge_tolerance_e: ClassVar[float] = 1e-10
    evaluates_wires: ClassVar[bool] = False
    displacement_A: ClassVar[float] = 1e-4
    strain: ClassVar[float] = 1e-4
    born_tolerance_e: ClassVar[float] = 1e-6
    field_V_per_A: ClassVar[FloatArray] = np.array([0.21, -0.13, 0.08])

    def settings(self) -> CommonBaselineSettings:
        """Return settings for Li and S."""
        raise TypeError(f"{type(self).__name__} must define settings()")

    def calculator(self) -> Calculator:
        """Return a calculator of the kind; of kinds that are fitted, one with parameters that are not zero."""
        return self._baseline.calculator(self.settings())

    def crystal(self, repetitions: int = 1) -> Atoms:
        """Return Li4S2 in a skewed cell, without symmetry, repeated along the first axis."""
        atoms = Atoms("Li4S2", cell=[[5.0, 0.0, 0.0], [0.3, 5.2, 0.0], [-0.2, 0.4, 5.6]], pbc=True)
        atoms.set_scaled_positions(
            [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.27, 0.25, 0.25], [0.75, 0.75, 0.72]]
        )
        atoms.positions += np.random.default_rng(9).normal(0.0, 0.12, atoms.positions.shape)
        return atoms * (repetitions, 1, 1)

    def molecule(self) -> Atoms:
        """Return a molecule Li4S2 without a cell."""
        positions = [[0, 0, 0], [2.3, 0.2, 0], [0.1, 2.4, 0.3], [2.2, 2.1, 1.9], [1.1, 1.2, 1.6], [1.3, 0.9, -1.7]]
        return Atoms("Li4S2", positions=positions)

    def triclinic(self) -> Atoms:
        """Return Li4S2 in a cell with angles of 36 to 135 degrees."""
        atoms = self.crystal()
        atoms.set_cell([[5.0, 0.0, 0.0], [4.4, 3.2, 0.0], [-5.1, 1.9, 6.0]], scale_atoms=True)
        return atoms

    def slab(self) -> Atoms:
        """Return a polar slab of Li4S2, skewed in its plane; the cell has a volume, and vacuum on one side."""
        atoms = self.crystal()
        atoms.set_cell([[5.0, 0.4, 0.3], [-2.0, 4.6, 0.0], [0.5, -0.3, 11.0]])
        atoms.pbc = [True, True, False]
        return atoms

    @property
    def _baseline(self) -> BaselineKind:
        return BASELINES.get(self.kind)

    def test_is_registered_with_settings_of_its_type(self) -> None:
        kind, settings = self._baseline, self.settings()
        assert kind.name == self.kind == settings.kind_name
        assert isinstance(settings, kind.settings_type)
        assert kind_of_baseline(settings) is kind
        document = settings.model_dump(mode="json")
        assert kind_of_baseline(document) is kind
        assert baseline_in(document) == settings
        with pytest.raises(ValidationError):
            kind.settings_type.model_validate({**document, KIND: "another"})
        for described in (kind.settings_type, kind.section_type):
            for name, field in described.model_fields.items():
                assert field.description, f"{name} of {described.__name__} says nothing of itself"

    def test_a_section_becomes_settings(self) -> None:
        section = self._baseline.section_type(charges=CHARGES_E, accuracy=1e-5)
        assert section.kind_name == self.kind
        settings = self._baseline.settings(section, CHARGES_E, EXPONENTS_PER_A)
        assert (settings.charges, settings.exponents, settings.accuracy) == (CHARGES_E, EXPONENTS_PER_A, 1e-5)
        assert self._baseline.methods(section)

    @pytest.mark.parametrize("place", PLACES)
    def test_forces_are_the_derivative_of_the_energy(self, place: str) -> None:
        calculator, atoms = self.calculator(), getattr(self, place)()
        forces = calculator.get_property("forces", atoms)
        for atom, axis in ((0, 0), (3, 1), (5, 2)):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * self.displacement_A
                energies.append(calculator.get_property("energy", moved))
            derivative = -(energies[0] - energies[1]) / (2 * self.displacement_A)
            np.testing.assert_allclose(forces[atom, axis], derivative, rtol=0, atol=self.force_tolerance_eV_per_A)
        np.testing.assert_allclose(forces.sum(axis=0), 0, rtol=0, atol=self.force_tolerance_eV_per_A)

    @pytest.mark.parametrize("place", ["crystal", "triclinic", "slab"])
    def test_stress_is_the_derivative_of_the_energy(self, place: str) -> None:
        calculator, atoms = self.calculator(), getattr(self, place)()
        stress = calculator.get_property("stress", atoms)
        for (a, b), voigt in (((1, 1), 1), ((2, 2), 2), ((0, 2), 4), ((0, 1), 5)):
            energies = []
            for sign in (1, -1):
                deformation = np.eye(3)
                deformation[a, b] += sign * self.strain / 2
                deformation[b, a] += sign * self.strain / 2
                strained = atoms.copy()
                strained.set_cell(strained.cell.array @ deformation, scale_atoms=True)
                energies.append(calculator.get_property("energy", strained))
            # Along the diagonal both signs strain one component, else two halves one.
            derivative = (energies[0] - energies[1]) / (2 * self.strain) / atoms.get_volume()
            np.testing.assert_allclose(stress[voigt], derivative, rtol=0, atol=self.stress_tolerance_eV_per_A3)

    def test_there_is_no_stress_in_open_space(self) -> None:
        with pytest.raises(PropertyNotImplementedError):
            self.calculator().get_property("stress", self.molecule(), allow_calculation=True)

    def test_wires_are_refused_or_evaluated(self) -> None:
        atoms = self.crystal()
        atoms.pbc = [False, True, False]
        if self.evaluates_wires:
            assert np.isfinite(self.calculator().get_property("energy", atoms))
            return
        with pytest.raises(InputError, match="periodic"):
            self.calculator().get_property("energy", atoms)

    @pytest.mark.parametrize("place", PLACES)
    def test_a_neutral_composition_is_neutral(self, place: str) -> None:
        charges = self.calculator().get_property("charges", getattr(self, place)())
        assert charges.shape == (6,)
        assert np.abs(charges).max() > 0.01
        np.testing.assert_allclose(charges.sum(), 0, rtol=0, atol=self.charge_tolerance_e)

    @pytest.mark.parametrize("place", PLACES)
    def test_turning_shifting_and_ordering_change_nothing(self, place: str) -> None:
        calculator, atoms = self.calculator(), getattr(self, place)()
        energy, forces, charges = (calculator.get_property(name, atoms) for name in ("energy", "forces", "charges"))
        turned = atoms.copy()
        turned.positions += [0.7, -0.2, 0.4]
        turned.wrap()
        turned.rotate(33.0, (1, 2, -1), rotate_cell=True)
        order = [3, 0, 5, 1, 4, 2]
        turned = turned[order]
        found = calculator.get_property("energy", turned)
        np.testing.assert_allclose(found, energy, rtol=0, atol=self.energy_tolerance_eV)
        np.testing.assert_allclose(calculator.get_property("charges", turned), charges[order], atol=1e-8)
        lengths = np.linalg.norm(calculator.get_property("forces", turned), axis=1)
        expected = np.linalg.norm(forces[order], axis=1)
        np.testing.assert_allclose(lengths, expected, rtol=0, atol=self.force_tolerance_eV_per_A)

    def test_twice_the_crystal_has_twice_the_energy(self) -> None:
        calculator = self.calculator()
        energy, charges = (calculator.get_property(name, self.crystal()) for name in ("energy", "charges"))
        double = self.crystal(2)
        found = calculator.get_property("energy", double)
        np.testing.assert_allclose(found, 2 * energy, rtol=0, atol=10 * self.energy_tolerance_eV)
        np.testing.assert_allclose(calculator.get_property("charges", double), np.tile(charges, 2), atol=1e-8)

    def test_results_do_not_depend_on_what_was_evaluated_before(self) -> None:
        fresh, used = self.calculator(), self.calculator()
        used.get_property("forces", self.crystal(2))
        used.get_property("forces", self.molecule())
        for name in ("energy", "forces", "stress", "charges"):
            np.testing.assert_array_equal(
                fresh.get_property(name, self.crystal()), used.get_property(name, self.crystal())
            )

    def test_elements_that_it_does_not_know_are_refused(self) -> None:
        atoms = self.crystal()
        atoms.symbols[0] = "Cs"
        with pytest.raises(InputError, match="Cs"):
            self.calculator().get_property("energy", atoms)

    def test_it_has_the_charges_of_species_that_it_claims(self) -> None:
        kind, atoms = self._baseline, self.crystal()
        by_species = kind.species_charges(self.settings())
        assert (by_species is not None) == kind.has_species_charges
        if by_species is None:
            return
        charges = self.calculator().get_property("charges", atoms)
        np.testing.assert_array_equal(charges, [by_species[symbol] for symbol in atoms.symbols])

    def _answers_fields(self) -> AnswersFields | None:
        """Return the calculator if it says what a field does; else there must be a reason, or charges of species."""
        reason, calculator = self._baseline.why_no_field(self.settings()), self.calculator()
        if reason or self._baseline.has_species_charges:
            assert not (reason and self._baseline.has_species_charges)
            if isinstance(calculator, AnswersFields):
                with pytest.raises(InputError, match="no field can act"):
                    calculator.in_field(self.crystal(), self.field_V_per_A)
            return None
        assert isinstance(calculator, AnswersFields)
        return calculator

    def _energy_in_field_eV(self, calculator: AnswersFields, atoms: Atoms, field_V_per_A: FloatArray) -> float:
        """Return the energy, with the work on what atoms carry from where all are at the origin."""
        found = calculator.in_field(atoms, field_V_per_A)
        return found.energy_eV - float(found.carried_e @ atoms.positions @ field_V_per_A)

    def _polarisation_eA(self, calculator: AnswersFields, atoms: Atoms) -> FloatArray:
        found = calculator.in_field(atoms, np.zeros(3))
        return np.asarray(found.carried_e @ atoms.positions + found.passed_dipole_eA, dtype=np.float64)

    @pytest.mark.parametrize("place", PLACES)
    def test_forces_in_a_field_are_the_derivative_of_the_energy_in_it(self, place: str) -> None:
        calculator, atoms, field = self._answers_fields(), getattr(self, place)(), self.field_V_per_A
        if calculator is None:
            return
        found = calculator.in_field(atoms, field)
        np.testing.assert_allclose(found.forces.sum(axis=0), 0, rtol=0, atol=self.force_tolerance_eV_per_A)
        for atom, axis in ((0, 0), (3, 1), (5, 2)):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * self.displacement_A
                energies.append(self._energy_in_field_eV(calculator, moved, field))
            derivative = -(energies[0] - energies[1]) / (2 * self.displacement_A)
            np.testing.assert_allclose(found.forces[atom, axis], derivative, atol=self.force_tolerance_eV_per_A)
        polarised = found.carried_e @ atoms.positions + found.passed_dipole_eA
        for axis, unit in enumerate(np.eye(3)):
            up, down = (self._energy_in_field_eV(calculator, atoms, field + sign * 1e-3 * unit) for sign in (1, -1))
            np.testing.assert_allclose(-(up - down) / 2e-3, polarised[axis], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("place", PLACES)
    def test_born_charges_are_derivatives_of_the_polarisation(self, place: str) -> None:
        calculator, atoms = self._answers_fields(), getattr(self, place)()
        if calculator is None:
            return
        born = born_charges_of(calculator, atoms)
        np.testing.assert_allclose(born.sum(axis=0), 0, rtol=0, atol=self.born_tolerance_e)
        for atom, axis in ((0, 0), (3, 1), (5, 2)):
            dipoles = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * self.displacement_A
                dipoles.append(self._polarisation_eA(calculator, moved))
            derivative = (dipoles[0] - dipoles[1]) / (2 * self.displacement_A)
            np.testing.assert_allclose(born[atom, :, axis], derivative, rtol=0, atol=self.born_tolerance_e)
        if not atoms.pbc.any():
            # In open space it is the dipole of the charges, whatever way they took.
            dipole = self.calculator().get_property("charges", atoms) @ atoms.positions
            np.testing.assert_allclose(self._polarisation_eA(calculator, atoms), dipole, rtol=0, atol=1e-9)

    def test_shifting_and_wrapping_change_nothing_in_a_field(self) -> None:
        calculator, atoms, field = self._answers_fields(), self.crystal(), self.field_V_per_A
        if calculator is None:
            return
        found = calculator.in_field(atoms, field)
        shifted = atoms.copy()
        shifted.positions += [0.7, -0.2, 0.4]
        energies = [self._energy_in_field_eV(calculator, one, field) for one in (atoms, shifted)]
        np.testing.assert_allclose(energies[1], energies[0], rtol=0, atol=self.energy_tolerance_eV)
        shifted.wrap()
        there = calculator.in_field(shifted, field)
        np.testing.assert_allclose(there.energy_eV, found.energy_eV, rtol=0, atol=self.energy_tolerance_eV)
        np.testing.assert_allclose(there.forces, found.forces, rtol=0, atol=self.force_tolerance_eV_per_A)
        np.testing.assert_allclose(there.passed_dipole_eA, found.passed_dipole_eA, rtol=0, atol=1e-9)
        # Twice the crystal is polarised twice as much, over bonds to images as over others.
        twice = calculator.in_field(self.crystal(2), field)
        np.testing.assert_allclose(twice.energy_eV, 2 * found.energy_eV, rtol=0, atol=10 * self.energy_tolerance_eV)
        np.testing.assert_allclose(twice.passed_dipole_eA, 2 * found.passed_dipole_eA, rtol=0, atol=1e-8)
