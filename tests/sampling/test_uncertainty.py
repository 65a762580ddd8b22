import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.emt import EMT

from ionloop.core.errors import InputError
from ionloop.sampling.selections.selecting import select
from ionloop.sampling.selections.variance import VarianceSelection
from ionloop.sampling.uncertainty import frame_variances


class Unsure(Calculator):
    """Unsure of an atom by how far it is from the origin."""

    implemented_properties = ("energy", "local_variance")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "local_variance": np.linalg.norm(atoms.positions, axis=1)}


def frames(count: int) -> list[Atoms]:
    found = []
    for seed in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.02 + 0.01 * seed, seed=seed)
        found.append(atoms)
    return found


def test_mean_and_maximum_of_each_frame():
    structures = frames(3)
    found = frame_variances(Unsure(), structures)
    for row, atoms in zip(found, structures, strict=True):
        lengths = np.linalg.norm(atoms.positions, axis=1)
        assert row == pytest.approx([lengths.mean(), lengths.max()])
    assert frame_variances(Unsure(), []).shape == (0, 2)


def test_a_calculator_that_does_not_know_is_refused():
    with pytest.raises(PropertyNotImplementedError):
        frame_variances(EMT(), frames(1))


def test_the_least_certain_frames_are_chosen():
    uncertainties = [0.1, 0.9, 0.3, 0.8, 0.2]
    outcome = select(frames(5), [], VarianceSelection(count=2, pool=1), 0, uncertainties)
    assert outcome.indices == (1, 3)
    assert outcome.scores == (0.9, 0.8)


def test_a_pool_is_thinned_and_starts_with_the_least_certain():
    structures = frames(6)
    # Two frames that are almost alike, both uncertain: only one of them is worth a label.
    structures[4] = structures[5].copy()
    structures[4].positions[0, 0] += 1e-4
    uncertainties = [0.5, 0.4, 0.3, 0.0, 0.89, 0.9]
    outcome = select(structures, [], VarianceSelection(count=3, pool=2), 0, uncertainties)
    assert outcome.indices[0] == 5
    assert 4 not in outcome.indices


def test_without_uncertainties_the_method_is_refused():
    with pytest.raises(InputError, match="one uncertainty per candidate"):
        select(frames(3), [], VarianceSelection(count=1), 0)
