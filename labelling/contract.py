"""What every reference engine must satisfy, as a test class to inherit.

A test of an engine is a subclass in a pytest file that defines ``settings`` and, where the default cell does not
suit the engine, ``atoms``::

    class TestMyEngine(EngineContract):
        def settings(self):
            return MySettings()
"""

# The name of a test says what it checks.
# ruff: noqa: D102

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms

from ..core.states import State
from .calculator import make_calculator
from .common_settings import CommonSettings
from .outcome import Evaluation, LabelOutcome
from .registry import ENGINES, engine_of
from .runner import isolated_atom_energy, label
from .settings import settings_hash


class EngineContract:
    """Shapes, units, derivatives, determinism and invariance of an engine's labels."""

    energy_tolerance_eV: ClassVar[float] = 1e-5
    force_tolerance_eV_per_A: ClassVar[float] = 1e-4
    stress_tolerance_eV_per_A3: ClassVar[float] = 1e-5
    displacement_A: ClassVar[float] = 1e-3
    strain: ClassVar[float] = 1e-3

    def settings(self) -> CommonSettings:
        """Return the settings of the engine under test."""
        raise TypeError(f"{type(self).__name__} must define settings()")

    def atoms(self) -> Atoms:
        """Return the structure to test with: four atoms without symmetry in a triclinic cell."""
        return Atoms(
            "LiPS2",
            positions=[[0.05, -0.02, 0.01], [2.41, 0.03, 0.3], [3.48, 1.62, 0.17], [0.23, 2.31, 0.42]],
            cell=[[5.0, 0.0, 0.0], [0.3, 5.2, 0.0], [-0.2, 0.4, 5.6]],
            pbc=True,
        )

    def test_is_registered_under_the_name_in_its_settings(self) -> None:
        settings = self.settings()
        engine = engine_of(settings)
        assert ENGINES.get(engine.name) is engine
        assert settings.model_dump()["engine"] == engine.name

    def test_label_has_the_shapes_and_the_states_of_a_finished_one(self, tmp_path: Path) -> None:
        outcome = self._label(self.atoms(), tmp_path)
        n_atoms = len(self.atoms())
        assert outcome.forces is not None
        assert outcome.forces.shape == (n_atoms, 3)
        assert outcome.stress is None or outcome.stress.shape == (6,)
        assert outcome.charges is None or outcome.charges.shape == (n_atoms,)
        assert outcome.dipole is None or outcome.dipole.shape == (3,)
        assert outcome.engine_version
        assert [attempt.state for attempt in outcome.attempts] == [State.FINISHED]

    def test_document_of_a_label_gives_the_label_back(self, tmp_path: Path) -> None:
        outcome = self._label(self.atoms(), tmp_path)
        assert LabelOutcome.from_document(outcome.to_document()).to_document() == outcome.to_document()

    def test_equal_structures_get_equal_bits(self, tmp_path: Path) -> None:
        first, second = (self._evaluation(self.atoms(), tmp_path / name) for name in ("first", "second"))
        assert first.energy == second.energy
        np.testing.assert_array_equal(first.forces, second.forces)

    def test_forces_are_the_derivative_of_the_energy(self, tmp_path: Path) -> None:
        outcome = self._evaluation(self.atoms(), tmp_path / "centre")
        # One component of one atom each: an inconsistent engine is so in nearly all of them.
        for atom, axis in ((0, 0), (1, 1), (2, 2)):
            energies = []
            for sign in (1, -1):
                moved = self.atoms()
                moved.positions[atom, axis] += sign * self.displacement_A
                energies.append(self._energy(moved, tmp_path / f"{atom}{axis}{sign}"))
            derivative = -(energies[0] - energies[1]) / (2 * self.displacement_A)
            np.testing.assert_allclose(
                outcome.forces[atom, axis], derivative, rtol=0, atol=self.force_tolerance_eV_per_A
            )

    def test_stress_is_the_derivative_of_the_energy(self, tmp_path: Path) -> None:
        outcome = self._evaluation(self.atoms(), tmp_path / "centre")
        if outcome.stress is None:
            return
        # A diagonal and a shear component, with the index of the latter in Voigt's order.
        for (a, b), voigt in (((1, 1), 1), ((0, 2), 4)):
            energies = []
            for sign in (1, -1):
                deformation = np.eye(3)
                deformation[a, b] += sign * self.strain / 2
                deformation[b, a] += sign * self.strain / 2
                strained = self.atoms()
                strained.set_cell(strained.cell.array @ deformation, scale_atoms=True)
                energies.append(self._energy(strained, tmp_path / f"{a}{b}{sign}"))
            derivative = (energies[0] - energies[1]) / (2 * self.strain) / self.atoms().get_volume()
            np.testing.assert_allclose(outcome.stress[voigt], derivative, rtol=0, atol=self.stress_tolerance_eV_per_A3)

    def test_moving_the_whole_crystal_changes_nothing(self, tmp_path: Path) -> None:
        moved = self.atoms()
        moved.positions += [0.37, -0.21, 0.53]
        moved.wrap()
        here = self._evaluation(self.atoms(), tmp_path / "here")
        there = self._evaluation(moved, tmp_path / "there")
        np.testing.assert_allclose(here.energy, there.energy, rtol=0, atol=self.energy_tolerance_eV)
        np.testing.assert_allclose(here.forces, there.forces, rtol=0, atol=self.force_tolerance_eV_per_A)

    def test_calculator_for_dynamics_agrees_with_the_label_after_any_history(self, tmp_path: Path) -> None:
        outcome = self._evaluation(self.atoms(), tmp_path)
        calculator = make_calculator(self.settings())
        elsewhere = self.atoms()
        elsewhere.positions[0] += 0.1
        elsewhere.calc = calculator
        elsewhere.get_forces()
        forces = calculator.get_property("forces", self.atoms())
        np.testing.assert_array_equal(forces, outcome.forces)

    def test_isolated_atom_has_an_energy_and_no_force(self, tmp_path: Path) -> None:
        for symbol in sorted(set(self.atoms().symbols)):
            outcome = isolated_atom_energy(symbol, self.settings(), tmp_path / symbol)
            assert outcome.state is State.FINISHED, outcome.reason
            assert outcome.evaluation is not None
            np.testing.assert_allclose(outcome.evaluation.forces, 0.0, atol=self.force_tolerance_eV_per_A)

    def test_limits_and_bounds_leave_the_hash_alone(self) -> None:
        settings = self.settings()
        other = settings.model_copy(update={"wall_time_limit_s": 1.0, "maximum_force_eV_per_A": 5.0})
        assert settings_hash(other) == settings_hash(settings)

    def _label(self, atoms: Atoms, scratch: Path) -> LabelOutcome:
        outcome = label(atoms, self.settings(), scratch)
        assert outcome.state is State.FINISHED, outcome.reason
        return outcome

    def _evaluation(self, atoms: Atoms, scratch: Path) -> Evaluation:
        evaluation = self._label(atoms, scratch).evaluation
        assert evaluation is not None
        return evaluation

    def _energy(self, atoms: Atoms, scratch: Path) -> float:
        return self._evaluation(atoms, scratch).energy
