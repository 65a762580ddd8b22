"""The shortcuts of the driver: they find what the long way finds, and ask the calculator as seldom as possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.emt import EMT

from ionloop.sampling.force_evaluation import ForceEvaluation, StepGuard
from ionloop.sampling.guard import ContactGuard, StepState, TrajectoryGuard
from ionloop.sampling.molecular_dynamics import clear_calculator
from ionloop.sampling.structures.crystals import build_crystal

CLOSE_FRACTION = 0.82  # of the covalent radii: contacts come and go within some steps


def state_of(atoms: Atoms) -> StepState:
    return StepState(atoms, np.zeros((len(atoms), 3)), 0.0, 0.0, 0.0, 0.0, 0.0, 300.0, 3 * len(atoms) - 3)


@pytest.mark.parametrize("strained", [False, True])
def test_contacts_are_those_of_a_search_at_every_step(strained: bool) -> None:
    random = np.random.default_rng(3)
    atoms = build_crystal("li7p3s11")
    guard = TrajectoryGuard(contacts=ContactGuard(covalent_fraction=CLOSE_FRACTION, minimum_distances_A={"Li-Li": 2.4}))
    step_guard = StepGuard(guard, atoms)
    rest, cell, found = atoms.positions.copy(), atoms.cell.array.copy(), []
    for step in range(150):
        atoms.positions += random.normal(0, 0.04, atoms.positions.shape) - 0.05 * (atoms.positions - rest)
        if strained and step % 10 == 0:
            atoms.set_cell(cell * random.uniform(0.97, 1.03), scale_atoms=True)
        expected = guard.violation(state_of(atoms), 300)
        assert step_guard.violation(state_of(atoms), 300) == expected
        found.append(expected is not None)
    assert 10 < sum(found) < 140


def test_named_elements_alone_are_watched_when_the_rest_is_off() -> None:
    guard = TrajectoryGuard(contacts=ContactGuard(covalent_fraction=0, minimum_distances_A={"Li-Li": 1.0}))
    atoms = Atoms("Li2S2", positions=[[0, 0, 0], [2, 0, 0], [5, 0, 0], [5.1, 0, 0]])
    step_guard = StepGuard(guard, atoms)
    assert step_guard.violation(state_of(atoms), 300) is None
    atoms.positions[1, 0] = 0.9
    assert "Li0 and Li1 are 0.90" in str(step_guard.violation(state_of(atoms), 300))


class Counting(EMT):
    """Writes down what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[list[str], list[str]]] = []

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        self.asked.append((list(properties), list(system_changes)))
        super().calculate(atoms, properties, system_changes)


def test_one_calculation_gives_everything_and_knows_what_changed() -> None:
    atoms, calculator = bulk("Cu", cubic=True), Counting()
    evaluation = ForceEvaluation(calculator, clear_calculator)
    evaluation(atoms)
    atoms.rattle(0.1, seed=1)
    evaluation(atoms)
    atoms.set_cell(1.01 * atoms.cell)
    evaluation(atoms, stress=True)
    evaluation.forget()
    potential = evaluation(atoms, stress=True)
    both, three = ["energy", "forces"], ["energy", "forces", "stress"]
    assert calculator.asked == [
        (both, all_changes),
        (both, ["positions"]),
        (three, ["positions", "cell"]),
        (three, all_changes),
    ]
    atoms.calc = EMT()
    assert potential.energy_eV == atoms.get_potential_energy()
    np.testing.assert_array_equal(potential.forces, atoms.get_forces())
    np.testing.assert_array_equal(potential.stress, atoms.get_stress(voigt=False))


def test_atoms_moved_later_are_not_taken_for_those_calculated() -> None:
    class Careless(Calculator):
        """Keeps no copy of the atoms, as some calculators do not."""

        implemented_properties = ("energy", "forces")

        def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = ()) -> None:
            self.results = {"energy": atoms.positions.sum(), "forces": np.zeros((len(atoms), 3))}

    atoms, calculator = bulk("Cu", cubic=True), Careless()
    ForceEvaluation(calculator, clear_calculator)(atoms)
    atoms.positions += 1.0
    assert calculator.get_potential_energy(atoms) == pytest.approx(atoms.positions.sum())


def test_calculator_with_its_own_way_of_being_asked_is_asked_that_way() -> None:
    class Special(EMT):
        asked: tuple[str, ...] = ()

        def get_property(self, name: str, atoms: Any = None, allow_calculation: bool = True) -> Any:
            self.asked = (*self.asked, name)
            return super().get_property(name, atoms, allow_calculation)

    calculator = Special()
    ForceEvaluation(calculator, clear_calculator)(bulk("Cu"), stress=True)
    assert calculator.asked == ("forces", "energy", "stress")


def test_missing_property_is_named() -> None:
    class Forceless(EMT):
        implemented_properties = ("energy",)

    with pytest.raises(PropertyNotImplementedError, match="Forceless gives no forces and no stress"):
        ForceEvaluation(Forceless(), clear_calculator)(bulk("Cu"), stress=True)
