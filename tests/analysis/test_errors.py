from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from ionloop.analysis.errors import (
    ErrorStatistics,
    ModelErrors,
    collect_parity_data,
    evaluate_errors,
    parity_data,
)

TOLERANCE = 1e-12


@dataclass(frozen=True)
class Example:
    atoms: Atoms
    energy: float
    forces: np.ndarray


def make_example(symbols: str, energy: float = 0.0) -> Example:
    n_atoms = len(Atoms(symbols))
    positions = np.arange(3 * n_atoms).reshape(n_atoms, 3) * 0.7
    return Example(Atoms(symbols, positions=positions), energy, np.zeros((n_atoms, 3)))


def test_statistics_of_known_errors() -> None:
    statistics = ErrorStatistics.from_errors([[3.0, -4.0], [0.0, 0.0]])
    assert statistics == ErrorStatistics(rmse=2.5, mae=1.75, maximum=4.0, count=4)


def test_no_errors_have_no_statistics() -> None:
    with pytest.raises(ValueError, match="no errors"):
        ErrorStatistics.from_errors([])


def test_energies_count_per_atom_and_forces_per_component() -> None:
    examples = [make_example("Li2S", energy=-3.0), make_example("S", energy=1.0)]
    forces = [np.zeros((3, 3)), np.array([[0.0, 0.6, 0.0]])]
    errors = collect_parity_data(examples, [-6.0, 1.0], forces).errors()
    assert errors.energy_eV_per_atom.rmse == pytest.approx(np.sqrt(0.5), abs=TOLERANCE)
    assert errors.energy_eV_per_atom.maximum == 1.0
    assert errors.force_eV_per_A.count == 12
    assert errors.force_eV_per_A.mae == pytest.approx(0.6 / 12, abs=TOLERANCE)


def test_elements_are_told_apart() -> None:
    example = make_example("LiSLi")
    errors = collect_parity_data([example], [0.0], [[[1, 1, 1], [0, 0, 0], [1, 1, 1]]]).errors()
    assert set(errors.force_by_element_eV_per_A) == {"Li", "S"}
    assert errors.force_by_element_eV_per_A["Li"].rmse == 1.0
    assert errors.force_by_element_eV_per_A["S"].rmse == 0.0


def test_overall_error_is_the_mean_over_elements_weighted_by_their_atoms() -> None:
    random = np.random.default_rng(0)
    examples = [make_example("Li7P3S11"), make_example("Li3PS4")]
    forces = [random.normal(size=(len(example.atoms), 3)) for example in examples]
    errors = collect_parity_data(examples, [0.0, 0.0], forces).errors()
    by_element = errors.force_by_element_eV_per_A.values()
    mean = sum(item.rmse**2 * item.count for item in by_element) / sum(item.count for item in by_element)
    assert errors.force_eV_per_A.rmse == pytest.approx(np.sqrt(mean), abs=TOLERANCE)
    assert errors.force_eV_per_A.maximum == max(item.maximum for item in by_element)


def test_a_calculator_has_no_error_on_its_own_labels_and_atoms_stay_untouched() -> None:
    calculator = LennardJones(sigma=1.0)
    atoms = make_example("Li2S").atoms
    own = Example(atoms, calculator.get_property("energy", atoms), calculator.get_property("forces", atoms))
    errors = evaluate_errors(calculator, [own])
    assert errors.energy_eV_per_atom.maximum == 0.0
    assert errors.force_eV_per_A.maximum == 0.0
    assert atoms.calc is None


def test_parity_data_keep_the_order() -> None:
    calculator = LennardJones(sigma=1.0)
    examples = [make_example("LiS", energy=4.0), make_example("P", energy=5.0)]
    parity = parity_data(calculator, examples)
    assert parity.elements.tolist() == ["Li", "S", "P"]
    assert parity.reference_energies.tolist() == [2.0, 5.0]
    expected = calculator.get_property("forces", examples[0].atoms)
    np.testing.assert_array_equal(parity.predicted_forces[:2], expected)


def test_predictions_that_do_not_belong_are_refused() -> None:
    example = make_example("LiS")
    with pytest.raises(ValueError, match="no configurations"):
        collect_parity_data([], [], [])
    with pytest.raises(ValueError, match="1 configurations, but 2 energies"):
        collect_parity_data([example], [0.0, 0.0], [np.zeros((2, 3))])
    with pytest.raises(ValueError, match=r"\(3, 3\) for a configuration of 2 atoms"):
        collect_parity_data([example], [0.0], [np.zeros((3, 3))])


def test_errors_survive_json() -> None:
    errors = collect_parity_data([make_example("LiS")], [0.1], [np.full((2, 3), 0.1)]).errors()
    assert ModelErrors.model_validate_json(errors.model_dump_json()) == errors


def test_virial_errors_are_those_of_the_stress_times_the_volume() -> None:
    from ase.build import bulk
    from ase.calculators.emt import EMT

    from ionloop.analysis.errors import virial_errors
    from ionloop.fitting.data_sets import LabelledConfiguration

    atoms = bulk("Cu", cubic=True)
    exact = EMT().get_property("stress", atoms)
    shift = np.array([1e-3, 0, 0, 0, 0, -2e-3])
    forces = np.zeros((4, 3))
    shifted = LabelledConfiguration(atoms, 0.0, forces, exact + shift, "shifted")
    without = LabelledConfiguration(atoms, 0.0, forces, None, "without")
    found = virial_errors(EMT(), [shifted, without])
    assert found is not None
    assert found.count == 6
    assert found.maximum == pytest.approx(2e-3 * atoms.get_volume() / 4)
    assert virial_errors(EMT(), [without]) is None
