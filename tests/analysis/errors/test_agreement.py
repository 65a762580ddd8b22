import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from ionloop.analysis.errors.agreement import compare_calculators
from ionloop.analysis.errors.model_errors import FORCE_TOLERANCE_EV_PER_A


class Shifted(Calculator):
    """EMT, with one force component off by a given amount."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        other = EMT()
        self.results = {name: np.array(other.get_property(name, atoms)) for name in ("energy", "forces", "stress")}
        self.results["forces"][1, 2] += self.shift


def structures() -> list[Atoms]:
    found = []
    for seed in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        found.append(atoms)
    return found


def test_a_calculator_agrees_with_itself():
    agreement = compare_calculators(EMT(), Shifted(0.0), structures())
    assert agreement.holds
    assert agreement.force_eV_per_A == pytest.approx(0, abs=1e-12)
    assert agreement.stress_eV_per_A3 == pytest.approx(0, abs=1e-12)
    assert agreement.configurations == 3


@pytest.mark.parametrize(("factor", "holds"), [(0.5, True), (-0.5, True), (2.0, False), (-2.0, False)])
def test_one_component_beyond_the_tolerance_is_found(factor, holds):
    shift = factor * FORCE_TOLERANCE_EV_PER_A
    agreement = compare_calculators(EMT(), Shifted(shift), structures())
    assert agreement.holds == holds
    assert agreement.force_eV_per_A == pytest.approx(abs(shift), rel=1e-6)


def test_a_molecule_has_no_stress_to_compare():
    molecule = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.4]])
    assert compare_calculators(EMT(), EMT(), [molecule]).stress_eV_per_A3 is None


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="without structures"):
        compare_calculators(EMT(), EMT(), [])
