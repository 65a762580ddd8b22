from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms

from ionloop.analysis.errors.by_anion import errors_by_anion, network_of
from ionloop.analysis.errors.statistics import collect_parity_data
from ionloop.core.errors import InputError

TOLERANCE = 1e-12
TETRAHEDRON_A = 2.05 / np.sqrt(3.0) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


@dataclass(frozen=True)
class Example:
    atoms: Atoms
    energy: float
    forces: np.ndarray
    fitted_forces: np.ndarray


def example(free: int, masked: int | None = None) -> Example:
    """A PS4 with three Li, and Li2S units far from it."""
    far = np.array([[15.0, 15.0, 5.0 + 4 * number] for number in range(free)]).reshape(-1, 3)
    lithium = np.array([[1.0 + 3 * number, 18.0, 1.0] for number in range(3 + 2 * free)])
    atoms = Atoms(
        f"PS4S{free}Li{3 + 2 * free}" if free else "PS4Li3",
        np.concatenate([[[6.0, 6, 6]], 6 + TETRAHEDRON_A, far, lithium]),
        cell=[24.0] * 3,
        pbc=True,
    )
    compared = np.full(len(atoms), True)
    if masked is not None:
        compared[masked] = False
    return Example(atoms, -1.0, np.ones((len(atoms), 3)), compared)


def test_errors_are_those_of_each_composition_and_anion():
    examples = [example(0), example(1, masked=0), example(0)]
    predicted = []
    for number, one in enumerate(examples):
        forces = one.forces.copy()
        forces[:5] += 0.1 * (number + 1)
        forces[5 : 5 + (number == 1)] += 0.7
        predicted.append(forces)
    energies = [-1.0 + 0.8, -1.0, -1.0 - 0.8]
    found = errors_by_anion(collect_parity_data(examples, energies, predicted), examples, network_of("P-S"))
    assert set(found) == {"Li3PS4", "Li5PS5"}
    alone, beside = found["Li3PS4"], found["Li5PS5"]
    assert (alone.configurations, beside.configurations) == (2, 1)
    assert alone.energy_eV_per_atom.rmse == pytest.approx(0.1, abs=TOLERANCE)
    ps4 = alone.force_by_anion_eV_per_A["PS4"]
    assert ps4.force_eV_per_A.rmse == pytest.approx(np.sqrt((0.1**2 + 0.3**2) / 2), abs=TOLERANCE)
    assert (ps4.configurations, ps4.force_eV_per_A.count, ps4.reference_rms_eV_per_A) == (2, 30, 1.0)
    assert beside.force_by_anion_eV_per_A["PS4"].force_eV_per_A.count == 12
    assert beside.force_by_anion_eV_per_A["free ligands"].force_eV_per_A.rmse == pytest.approx(0.7, abs=TOLERANCE)
    assert beside.force_by_anion_eV_per_A["Li"].force_eV_per_A.maximum == 0


@pytest.mark.parametrize("pair", ["P", "P-S-S", "P-P", "P-Xx", "-"])
def test_a_pair_is_two_elements(pair):
    with pytest.raises(InputError, match=f"--by-anion: '{pair}'"):
        network_of(pair)


def test_what_has_no_centre_is_refused():
    examples = [example(0)]
    data = collect_parity_data(examples, [0.0], [examples[0].forces])
    with pytest.raises(InputError, match="holds Ge"):
        errors_by_anion(data, examples, network_of("Ge-S"))
