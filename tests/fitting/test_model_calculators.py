from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.calculators import EsGapCalculator, GapCalculator
from ionloop.fitting.data_sets import DataSet
from ionloop.fitting.electrostatics.baseline import baseline_calculator
from ionloop.fitting.gap_fit import POTENTIAL_FILE, FitLimits, fit_gap
from ionloop.fitting.settings import BaselineSettings, GapSettings

FORCE_TOLERANCE_eV_per_A = 1e-5
STRESS_TOLERANCE_eV_per_A3 = 1e-6
DISPLACEMENT_A = 1e-4
STRAIN = 1e-5
ENERGY_SUM_TOLERANCE_eV = 1e-9

MakeCalculator = Callable[[], Calculator]


@pytest.fixture(scope="module")
def potential_file(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("gap")
    pairs = [("Li", "Li"), ("Li", "S"), ("S", "S")]
    fit_gap(folder, lithium_sulfide, pairs, small_settings, seed=0, limits=FitLimits())
    return folder / POTENTIAL_FILE


@pytest.fixture(params=["gap", "es-gap"])
def make_calculator(request: pytest.FixtureRequest, potential_file: Path, baseline: BaselineSettings) -> MakeCalculator:
    def make() -> Calculator:
        gap = GapCalculator(potential_file, ("Li", "S"))
        return gap if request.param == "gap" else EsGapCalculator(gap, baseline_calculator(baseline))

    return make


@pytest.fixture
def atoms(lithium_sulfide: DataSet) -> Atoms:
    return lithium_sulfide.configurations[0].atoms.copy()


def test_forces_are_the_gradient_of_the_energy(make_calculator: MakeCalculator, atoms: Atoms) -> None:
    atoms.calc = make_calculator()
    numerical = calculate_numerical_forces(atoms, eps=DISPLACEMENT_A, iatoms=[0, 5, 11])
    np.testing.assert_allclose(atoms.get_forces()[[0, 5, 11]], numerical, atol=FORCE_TOLERANCE_eV_per_A)


def test_stress_is_the_derivative_with_respect_to_strain(make_calculator: MakeCalculator, atoms: Atoms) -> None:
    atoms.calc = make_calculator()
    numerical = calculate_numerical_stress(atoms, eps=STRAIN)
    np.testing.assert_allclose(atoms.get_stress(), numerical, atol=STRESS_TOLERANCE_eV_per_A3)
    assert np.abs(numerical).max() > 100 * STRESS_TOLERANCE_eV_per_A3


def test_free_energy_is_the_energy(make_calculator: MakeCalculator, atoms: Atoms) -> None:
    atoms.calc = make_calculator()
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


@pytest.mark.slow
def test_results_do_not_depend_on_what_was_evaluated_before(make_calculator: MakeCalculator, atoms: Atoms) -> None:
    def evaluate(calculator: Calculator, structure: Atoms) -> bytes:
        structure = structure.copy()
        structure.calc = calculator
        numbers = (structure.get_potential_energy(), structure.get_forces(), structure.get_stress())
        return b"".join(np.asarray(values).tobytes() for values in numbers)

    random = np.random.default_rng(0)
    expected = evaluate(make_calculator(), atoms)
    used = make_calculator()
    # Small steps, as in molecular dynamics, keep neighbour lists alive; large ones and other cells rebuild
    # them.
    walker = atoms.copy()
    for step_A in [0.001] * 20 + [0.05] * 10 + [1.0] * 2:
        walker.positions += random.normal(0.0, step_A, walker.positions.shape)
        evaluate(used, walker)
    evaluate(used, atoms.repeat((1, 1, 2)))
    assert evaluate(used, atoms) == expected
    energy_first = make_calculator()
    energy_first.get_property("energy", atoms.copy())
    assert evaluate(energy_first, atoms) == expected


def test_arrays_and_entries_of_the_atoms_play_no_part(make_calculator: MakeCalculator, atoms: Atoms) -> None:
    calculator = make_calculator()
    energy = calculator.get_property("energy", atoms)
    decorated = atoms.copy()
    decorated.info.update(energy=5.0, cutoff=1.0, config_type="x", virial=np.eye(3))
    decorated.arrays["forces"] = np.ones((12, 3))
    decorated.set_tags(range(12))
    decorated.set_initial_charges(np.ones(12))
    decorated.set_masses(np.full(12, 6.0))
    assert calculator.get_property("energy", decorated) == energy
    assert decorated.info["energy"] == 5.0


def test_an_unknown_element_is_refused(make_calculator: MakeCalculator, atoms: Atoms) -> None:
    atoms.symbols[0] = "Na"
    with pytest.raises(InputError, match="fitted for Li, S and knows nothing about Na"):
        make_calculator().get_property("energy", atoms)


def test_copies_and_pickles_work(make_calculator: MakeCalculator, atoms: Atoms) -> None:
    calculator = make_calculator()
    energy = calculator.get_property("energy", atoms)
    for again in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        again.reset()
        assert again.get_property("energy", atoms) == energy


def test_energies_of_the_atoms_add_up(potential_file: Path, atoms: Atoms) -> None:
    calculator = GapCalculator(potential_file, ("Li", "S"))
    energies = calculator.get_property("energies", atoms)
    assert energies.shape == (12,)
    assert energies.sum() == pytest.approx(calculator.get_property("energy", atoms), abs=ENERGY_SUM_TOLERANCE_eV)


def test_a_cluster_has_no_stress(potential_file: Path) -> None:
    cluster = Atoms("LiS", positions=[[0, 0, 0], [0, 0, 2.4]])
    cluster.calc = GapCalculator(potential_file, ("Li", "S"))
    assert np.isfinite(cluster.get_potential_energy())
    np.testing.assert_allclose(cluster.get_forces().sum(axis=0), 0.0, atol=FORCE_TOLERANCE_eV_per_A)


@pytest.mark.parametrize("content", ["", "garbage", "<GAP></GAP>"])
def test_an_unreadable_potential_is_a_clear_error(content: str, atoms: Atoms, tmp_path: Path) -> None:
    (tmp_path / "gap.xml").write_text(content)
    working_directory = Path.cwd()
    with pytest.raises(IonloopError, match=r"the potential .*gap\.xml"):
        GapCalculator(tmp_path / "gap.xml", ("Li", "S")).get_property("energy", atoms)
    assert Path.cwd() == working_directory


def test_missing_sparse_points_are_a_clear_error(potential_file: Path, atoms: Atoms, tmp_path: Path) -> None:
    (tmp_path / "gap.xml").write_text(potential_file.read_text())
    working_directory = Path.cwd()
    with pytest.raises(IonloopError, match=r"lacks its files gap\.xml\.sparseX"):
        GapCalculator(tmp_path / "gap.xml", ("Li", "S")).get_property("energy", atoms)
    assert Path.cwd() == working_directory
