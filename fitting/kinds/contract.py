"""What every kind of model must satisfy, as a test class to inherit.

A test of a kind is a subclass in a pytest file that defines ``kind`` and ``settings``, for kinds on a baseline also
``baseline``::

    class TestMyModel(ModelContract):
        kind = "my-model"

        def settings(self):
            return MySettings(cutoff_A=4.0)
"""

# The name of a test says what it checks.
# ruff: noqa: D102

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones

from ...core.errors import InputError
from ...core.settings import FrozenSettings
from .. import models
from ..data_sets import DataSet, LabelledConfiguration, isolated_atom, read_extxyz
from ..electrostatics.registry import kind_of_baseline
from ..models import compute_inputs_hash, fit_model, load_model, load_posterior, read_manifest
from ..online.driver import NOVELTY, load_driver
from ..posterior.base import NoPosterior
from ..settings import BaselineSettings, CommonBaselineSettings
from .base import ModelKind
from .registry import MODELS

ISOLATED_ENERGIES_EV = {"Li": -3.0, "S": -7.5}
SEED = 5
SAMPLES = 80
SAMPLING_TOLERANCE = 0.3
"""Relative; standard deviations of so many samples scatter by 8 %."""


class ModelContract:
    """Folders, derivatives, invariances, isolated atoms, identity and the capabilities that a kind claims."""

    kind: ClassVar[str]
    energy_tolerance_eV: ClassVar[float] = 1e-8
    isolated_tolerance_eV: ClassVar[float] = 1e-8
    force_tolerance_eV_per_A: ClassVar[float] = 1e-5
    stress_tolerance_eV_per_A3: ClassVar[float] = 1e-6
    displacement_A: ClassVar[float] = 1e-4
    strain: ClassVar[float] = 1e-4

    def settings(self) -> FrozenSettings:
        """Return settings that are quickly fitted."""
        raise TypeError(f"{type(self).__name__} must define settings()")

    def baseline(self) -> CommonBaselineSettings | None:
        """Return the baseline, for kinds that need one."""
        return BaselineSettings(charges={"Li": 0.4, "S": -0.8}) if self._model.needs_baseline else None

    def atoms(self, seed: int) -> Atoms:
        """Return a structure without symmetry: six atoms of Li and S in a skewed cell."""
        random = np.random.default_rng(seed)
        atoms = Atoms("Li4S2", cell=[[5.0, 0.0, 0.0], [0.3, 5.2, 0.0], [-0.2, 0.4, 5.6]], pbc=True)
        places = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.27, 0.25, 0.25], [0.75, 0.75, 0.72]]
        atoms.set_scaled_positions(places)
        atoms.positions += random.normal(0.0, 0.12, atoms.positions.shape)
        return atoms

    def data_set(self) -> DataSet:
        """Return labels of a Lennard-Jones crystal, and the energies of its isolated atoms."""
        calculator = LennardJones(sigma=2.0, epsilon=0.3, rc=4.0, smooth=True)
        configurations = []
        for seed in range(6):
            atoms = self.atoms(seed)
            alone = sum(ISOLATED_ENERGIES_EV[symbol] for symbol in atoms.symbols)
            configurations.append(
                LabelledConfiguration(
                    atoms,
                    calculator.get_property("energy", atoms) + alone,
                    calculator.get_property("forces", atoms),
                    calculator.get_property("stress", atoms),
                    f"cell-{seed}",
                )
            )
        atoms_alone = tuple(isolated_atom(*energy) for energy in ISOLATED_ENERGIES_EV.items())
        return DataSet(tuple(configurations), isolated_atoms=atoms_alone)

    @property
    def _model(self) -> ModelKind:
        return MODELS.get(self.kind)

    def _fit(self, folder: Path) -> Path:
        fit_model(self.kind, self.data_set(), self.settings(), self.baseline(), folder, seed=SEED)
        return folder

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A fitted model, which no test changes."""
        return cls()._fit(tmp_path_factory.mktemp("contract") / "model")

    @pytest.fixture
    def calculator(self, folder: Path) -> Calculator:
        return load_model(folder)

    def test_is_registered_with_settings_of_its_type(self) -> None:
        kind, settings = self._model, self.settings()
        assert kind.name == self.kind
        assert isinstance(settings, kind.settings_type)
        assert "kind" not in kind.settings_type.model_fields
        assert kind.settings_in(settings.model_dump(mode="json")) == settings
        for name, field in kind.settings_type.model_fields.items():
            assert field.description, f"{name} says nothing of itself"

    def test_a_folder_says_what_it_is_and_may_be_moved(self, folder: Path, tmp_path: Path) -> None:
        manifest = read_manifest(folder)
        assert (manifest.kind, manifest.settings, manifest.seed) == (self.kind, self.settings(), SEED)
        assert (folder / self._model.potential_file).is_file()
        assert set(manifest.elements) == set(ISOLATED_ENERGIES_EV)
        moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
        here, there = load_model(folder), load_model(moved)
        assert here.get_property("energy", self.atoms(9)) == there.get_property("energy", self.atoms(9))

    def test_equal_inputs_have_one_identity_and_give_equal_bits(self, folder: Path, tmp_path: Path) -> None:
        again = self._fit(tmp_path / "again")
        assert read_manifest(again).inputs_hash == read_manifest(folder).inputs_hash
        forces = [load_model(one).get_property("forces", self.atoms(9)) for one in (folder, again)]
        np.testing.assert_array_equal(*forces)
        fewer = DataSet(self.data_set().configurations[1:], isolated_atoms=self.data_set().isolated_atoms)
        other = compute_inputs_hash(self.kind, fewer, self.settings(), self.baseline(), SEED)
        assert other != read_manifest(folder).inputs_hash

    def test_a_fit_that_ends_early_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def end(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(models, "_publish", end)
        with pytest.raises(KeyboardInterrupt):
            self._fit(tmp_path / "model")
        assert list(tmp_path.iterdir()) == []

    def test_forces_are_the_derivative_of_the_energy(self, calculator: Calculator) -> None:
        forces = calculator.get_property("forces", self.atoms(9))
        for atom, axis in ((0, 0), (3, 1), (5, 2)):
            energies = []
            for sign in (1, -1):
                moved = self.atoms(9)
                moved.positions[atom, axis] += sign * self.displacement_A
                energies.append(calculator.get_property("energy", moved))
            derivative = -(energies[0] - energies[1]) / (2 * self.displacement_A)
            np.testing.assert_allclose(forces[atom, axis], derivative, rtol=0, atol=self.force_tolerance_eV_per_A)

    def test_stress_is_the_derivative_of_the_energy(self, calculator: Calculator) -> None:
        stress = calculator.get_property("stress", self.atoms(9))
        for (a, b), voigt in (((1, 1), 1), ((0, 2), 4)):
            energies = []
            for sign in (1, -1):
                deformation = np.eye(3)
                deformation[a, b] += sign * self.strain / 2
                deformation[b, a] += sign * self.strain / 2
                strained = self.atoms(9)
                strained.set_cell(strained.cell.array @ deformation, scale_atoms=True)
                energies.append(calculator.get_property("energy", strained))
            derivative = (energies[0] - energies[1]) / (2 * self.strain) / self.atoms(9).get_volume()
            np.testing.assert_allclose(stress[voigt], derivative, rtol=0, atol=self.stress_tolerance_eV_per_A3)

    def test_an_isolated_atom_has_the_energy_that_it_was_given(self, calculator: Calculator) -> None:
        for symbol, energy_eV in ISOLATED_ENERGIES_EV.items():
            alone = Atoms(symbol, cell=[30.0] * 3, pbc=False)
            found = calculator.get_property("energy", alone)
            np.testing.assert_allclose(found, energy_eV, rtol=0, atol=self.isolated_tolerance_eV)

    def test_moving_turning_and_renumbering_change_nothing(self, calculator: Calculator) -> None:
        atoms = self.atoms(9)
        energy, forces = (calculator.get_property(name, atoms) for name in ("energy", "forces"))
        turned = atoms.copy()
        turned.positions += [0.7, -0.2, 0.4]
        turned.wrap()
        turned.rotate(33.0, (1, 2, -1), rotate_cell=True)
        order = [3, 0, 5, 1, 4, 2]
        found = calculator.get_property("energy", turned[order])
        np.testing.assert_allclose(found, energy, rtol=0, atol=100 * self.energy_tolerance_eV)
        lengths = np.linalg.norm(calculator.get_property("forces", turned[order]), axis=1)
        expected = np.linalg.norm(forces[order], axis=1)
        np.testing.assert_allclose(lengths, expected, rtol=0, atol=self.force_tolerance_eV_per_A)

    def test_results_do_not_depend_on_what_was_evaluated_before(self, folder: Path) -> None:
        fresh, used = load_model(folder), load_model(folder)
        for seed in (7, 8):
            used.get_property("forces", self.atoms(seed))
        for name in ("energy", "forces", "stress"):
            np.testing.assert_array_equal(
                fresh.get_property(name, self.atoms(9)), used.get_property(name, self.atoms(9))
            )

    def test_elements_that_it_does_not_know_are_refused(self, calculator: Calculator) -> None:
        atoms = self.atoms(9)
        atoms.symbols[0] = "Cs"
        with pytest.raises(InputError, match="Cs"):
            calculator.get_property("energy", atoms)

    def test_it_has_the_capabilities_that_it_claims(self, folder: Path) -> None:
        kind = self._model
        for evaluator in kind.evaluators[:1]:
            calculator = load_model(folder, backend=evaluator)
            if kind.gives_atom_energies:
                energies = calculator.get_property("energies", self.atoms(9))
                energy = calculator.get_property("energy", self.atoms(9))
                np.testing.assert_allclose(energies.sum(), energy, rtol=0, atol=100 * self.energy_tolerance_eV)
            if kind.predicts_variance(evaluator):
                variance = np.asarray(calculator.get_property("local_variance", self.atoms(9)))
                assert variance.shape == (6,)
                assert (variance >= 0).all()
        assert (read_manifest(folder).baseline is not None) == kind.needs_baseline
        assert kind.needs_baseline or not kind.has_charges
        backend = kind.fit_backends[0]
        assert not kind.gives_leave_out_errors(backend) or read_manifest(folder).leave_out_errors is not None

    def test_what_it_says_of_its_errors_is_how_its_samples_scatter(self, folder: Path) -> None:
        if not self._model.has_posterior:
            with pytest.raises(NoPosterior):
                load_posterior(folder)
            return
        posterior = load_posterior(folder)
        first, second = self.atoms(9), self.atoms(10)
        samples = [posterior.sampled_calculator(seed) for seed in range(SAMPLES)]
        calculator = load_model(folder)
        energies, forces = (
            np.array([[one.get_property(name, atoms) for atoms in (first, second)] for one in [calculator, *samples]])
            for name in ("energy", "forces")
        )
        rises = energies[1:, 1] - energies[1:, 0]
        predicted = posterior.difference_std_eV(first, second)
        assert np.std(rises) == pytest.approx(predicted, rel=SAMPLING_TOLERANCE)
        assert abs(rises.mean() - (energies[0, 1] - energies[0, 0])) < SAMPLING_TOLERANCE * predicted
        stds = posterior.force_stds(first)
        assert stds.shape == (6, 3)
        # Samples have the energies' scale, forces have their own: of an element the ratio is one number.
        ratios = forces[1:, 0].std(axis=0) / stds
        for symbol in ("Li", "S"):
            own = ratios[np.array(first.get_chemical_symbols()) == symbol]
            np.testing.assert_allclose(own, own.mean(), rtol=2 * SAMPLING_TOLERANCE)
        again = posterior.sampled_calculator(0).get_property("energy", first)
        assert again == energies[1, 0]
        assert posterior.factor(0.95) > 1.95
        assert posterior.label_vectors(first).shape[0] == posterior.energy_vectors([first]).shape[1]

    def test_an_earlier_model_is_grown_from_or_refused(self, folder: Path, tmp_path: Path) -> None:
        arguments = (self.kind, self.data_set(), self.settings(), self.baseline(), tmp_path / "later")
        if self._model.grows(self._model.fit_backends[0]):
            later = fit_model(*arguments, seed=SEED, earlier_model=folder)
            assert later.earlier_model == read_manifest(folder).inputs_hash
        else:
            with pytest.raises(InputError, match="does not grow"):
                fit_model(*arguments, seed=SEED, earlier_model=folder)

    def test_labels_join_it_in_place_or_it_says_why(self, folder: Path, tmp_path: Path) -> None:
        kind, manifest, baseline = self._model, read_manifest(folder), self.baseline()
        under = None if baseline is None else kind_of_baseline(baseline)
        data = read_extxyz(folder / models.TRAINING_SET_FILE)
        reason = kind.why_not_learning(manifest.backend, under)
        assert kind.learns_in_place or reason
        if reason:
            with pytest.raises(InputError):
                kind.learning(folder, manifest, data)
            return
        learning, whole = kind.learning(folder, manifest, data), load_model(folder)
        assert set(learning.thresholds) == set(ISOLATED_ENERGIES_EV)
        before = learning.calculator()
        for name in ("forces", "stress"):
            found, expected = before.get_property(name, self.atoms(9)), whole.get_property(name, self.atoms(9))
            np.testing.assert_allclose(found, expected, rtol=0, atol=self.force_tolerance_eV_per_A)
        new = LabelledConfiguration(self.atoms(9), -33.0, np.zeros((6, 3)), None, "new")
        learning.add([new])
        learning.save(tmp_path / "state")
        atoms, driver = self.atoms(9), load_driver(tmp_path / "state")
        assert not np.array_equal(before.get_property("forces", atoms), driver.get_property("forces", atoms))
        assert np.array_equal(learning.calculator().get_property("forces", atoms), driver.get_property("forces", atoms))
        novelty = driver.get_property(NOVELTY, atoms)
        assert novelty.shape == (6,)
        assert (novelty >= 0).all()
        assert (novelty <= 1).all()

    def test_it_tells_what_a_fit_takes_or_that_nobody_knows(self) -> None:
        kind = self._model
        found = kind.estimate(self.atoms(0), self.settings(), kind.fit_backends[0], 50)
        assert found is None or (found.memory_bytes > 0 and found.time_s > 0)
