from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from ionloop.analysis.errors.model_errors import ErrorStatistics, ModelErrors
from ionloop.analysis.errors.statistics import (
    FORCE_BIN_EDGES_eV_per_A,
    collect_parity_data,
    evaluate_errors,
    force_bins,
    parity_data,
)

TOLERANCE = 1e-12


@dataclass(frozen=True)
class Example:
    atoms: Atoms
    energy: float
    forces: np.ndarray | None

    @property
    def fitted_forces(self) -> np.ndarray:
        return np.full(len(self.atoms), self.forces is not None)


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


def test_an_atom_belongs_to_the_range_of_its_reference_force() -> None:
    reference = np.array([[0.3, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 3.0, 4.0], [0.6, 0.0, 0.8]])
    # Predictions far outside of the range of their reference: the reference alone decides.
    predicted = reference + np.array([[9.0], [0.1], [0.2], [0.4]])
    bins = force_bins(reference, predicted, ["Li", "S", "S", "Li"])
    found = {one.label: (one.errors.count // 3, round(one.errors.rmse, 12), sorted(one.by_element)) for one in bins}
    assert found == {
        "0 to 0.5": (1, 9.0, ["Li"]),
        "0.5 to 1": (1, 0.1, ["S"]),
        "1 to 2": (1, 0.4, ["Li"]),
        "above 5": (1, 0.2, ["S"]),
    }
    assert bins[-1].upper_eV_per_A is None
    assert bins[0].reference_rms_eV_per_A == pytest.approx(0.3 / np.sqrt(3), abs=TOLERANCE)


def test_ranges_together_are_all_forces() -> None:
    random = np.random.default_rng(1)
    example = make_example("Li70P30S110")
    reference = random.normal(scale=2.0, size=(210, 3))
    example = Example(example.atoms, 0.0, reference)
    errors = collect_parity_data([example], [0.0], [reference + random.normal(size=(210, 3))]).errors()
    bins = errors.force_by_magnitude_eV_per_A
    assert len(bins) == len(FORCE_BIN_EDGES_eV_per_A)
    squares = sum(one.errors.rmse**2 * one.errors.count for one in bins)
    assert np.sqrt(squares / 630) == pytest.approx(errors.force_eV_per_A.rmse, abs=TOLERANCE)
    for element, statistics in errors.force_by_element_eV_per_A.items():
        assert sum(one.by_element[element].count for one in bins if element in one.by_element) == statistics.count


def test_a_model_without_forces_has_a_relative_error_of_one_everywhere() -> None:
    reference = np.random.default_rng(2).normal(scale=2.0, size=(100, 3))
    bins = force_bins(reference, np.zeros((100, 3)), np.full(100, "Li"))
    assert [one.relative_error for one in bins] == pytest.approx([1.0] * len(bins), abs=TOLERANCE)
    (at_rest,) = force_bins(np.zeros((1, 3)), np.ones((1, 3)), ["Li"])
    assert at_rest.relative_error == np.inf


@pytest.mark.parametrize("edges", [(), (0.5, 1.0), (0.0, 1.0, 1.0)])
def test_ranges_must_begin_at_zero_and_ascend(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        force_bins(np.ones((1, 3)), np.ones((1, 3)), ["Li"], edges)


def test_errors_recorded_before_there_were_ranges_still_load() -> None:
    errors = collect_parity_data([make_example("LiS")], [0.1], [np.full((2, 3), 0.1)]).errors()
    recorded = errors.model_dump(mode="json", exclude={"force_by_magnitude_eV_per_A"})
    assert ModelErrors.model_validate(recorded).force_by_magnitude_eV_per_A == ()


def test_virial_errors_are_those_of_the_stress_times_the_volume() -> None:
    from ase.build import bulk
    from ase.calculators.emt import EMT

    from ionloop.analysis.errors.statistics import virial_errors
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
