"""Weights of labels: read and written under gap_fit's names, and refused where they cannot be meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import (
    DataSet,
    LabelledConfiguration,
    LabelWeights,
    isolated_atom,
    read_extxyz,
    write_extxyz,
)
from ionloop.fitting.label_weights import read_weights, weight_columns, weight_entries
from ionloop.fitting.settings import Regularisation

N_ATOMS = 3
sigmas = st.floats(1e-6, 1e6)


def rows(width: int) -> st.SearchStrategy[np.ndarray]:
    size = N_ATOMS * width
    return st.lists(sigmas, min_size=size, max_size=size).map(lambda values: np.reshape(values, (N_ATOMS, width)))


@st.composite
def weights(draw: st.DrawFn) -> LabelWeights:
    def some(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
        return st.none() | strategy

    by_atom = rows(1).map(lambda column: np.repeat(column, 3, axis=1))
    return LabelWeights(
        draw(some(sigmas)),
        draw(some(sigmas)),
        draw(some(sigmas)),
        draw(some(rows(3) | by_atom)),
        draw(some(rows(3))),
        draw(some(st.lists(st.booleans(), min_size=N_ATOMS, max_size=N_ATOMS))),
    )


@given(weights(), st.sampled_from([str.lower, str.upper, str.capitalize]))
def test_what_is_written_is_read_in_any_case_of_letters(given_weights: LabelWeights, change: object) -> None:
    entries = dict(entry.split("=") for entry in weight_entries(given_weights))
    info = {change(key): np.array(text.strip('"').split(), dtype=float) for key, text in entries.items()}
    columns = {change(key): values for key, values in weight_columns(given_weights).items()}
    found = read_weights(info, columns)
    assert (found or LabelWeights()).content() == given_weights.content()


def test_weights_and_isolated_atoms_survive_a_file(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    first, second, third, *rest = lithium_sulfide
    by_component = np.random.default_rng(0).uniform(0.01, 1.0, (first.n_atoms, 3))
    mask = np.arange(first.n_atoms) % 2 == 0
    data_set = DataSet(
        (
            replace(first, weights=LabelWeights(1 / 3, 0.2, 7.0, component_virial_eV=np.full((3, 3), 0.7))),
            replace(second, weights=LabelWeights(atom_force_eV_per_A=by_component, unfitted_forces=mask)),
            replace(third, forces=None, stress=None),
            *rest,
        ),
        {"S": -2.5},
        (replace(isolated_atom("Li", -1 / 3), weights=LabelWeights(energy_eV=1e-5)),),
    )
    write_extxyz(tmp_path / "set.xyz", data_set)
    again = read_extxyz(tmp_path / "set.xyz")
    assert again.content_hash == data_set.content_hash
    assert [str(one.atoms.symbols) for one in again.isolated_atoms] == ["Li"]
    assert dict(again.isolated_atom_energies) == {"Li": -1 / 3, "S": -2.5}
    np.testing.assert_array_equal(again.configurations[1].fitted_forces, ~mask)
    assert not again.configurations[2].fitted_forces.any()


def test_all_of_it_changes_the_content(lithium_sulfide: DataSet) -> None:
    first, *rest = lithium_sulfide
    ones, mask = np.ones((first.n_atoms, 3)), np.zeros(first.n_atoms, dtype=bool)
    changed = [
        replace(first, forces=None),
        *(
            replace(first, weights=one)
            for one in (
                LabelWeights(energy_eV=1.0),
                LabelWeights(force_eV_per_A=1.0),
                LabelWeights(virial_eV=1.0),
                LabelWeights(atom_force_eV_per_A=ones),
                LabelWeights(component_virial_eV=np.ones((3, 3))),
                LabelWeights(unfitted_forces=mask),
            )
        ),
    ]
    energies = dict(lithium_sulfide.isolated_atom_energies)
    hashes = {DataSet((item, *rest), energies).content_hash for item in [first, *changed]}
    isolated = tuple(isolated_atom(*energy) for energy in energies.items())
    hashes.add(DataSet((first, *rest), energies, isolated).content_hash)
    assert len(hashes) == len(changed) + 2


def test_data_without_any_of_it_have_the_content_hash_of_earlier_releases() -> None:
    positions = np.arange(9.0).reshape(3, 3)
    atoms = Atoms("Li2S", positions=positions, cell=[9, 9, 9], pbc=True)
    regularisation = Regularisation(force_eV_per_A=0.3)
    first = LabelledConfiguration(
        atoms, -1.5, positions / 7, np.arange(6.0) / 3, "one", "hot", regularisation=regularisation
    )
    second = LabelledConfiguration(atoms, -1.25, np.zeros((3, 3)), None, "two")
    known = "637210df8550c372931e0c4f1cc3f121ad3946e46442aa9f9795e350efcc7975"
    assert DataSet((first, second), {"S": -2.5, "Li": -0.1}).content_hash == known


@pytest.mark.parametrize(
    ("entries", "columns", "message"),
    [
        ({"energy_sigma": 0.0}, {}, "energy_sigma is 0: a standard deviation is positive"),
        ({"Force_Sigma": -0.1}, {}, "force_sigma is -0.1"),
        ({"virial_sigma": np.nan}, {}, "virial_sigma is nan"),
        ({"energy_sigma": np.array([0.1, 0.2])}, {}, "energy_sigma has 2 values; needed is one number"),
        ({"energy_sigma": "small"}, {}, "energy_sigma is 'small'; needed are numbers"),
        ({"energy_sigma": True}, {}, "energy_sigma is True; needed are numbers"),
        ({"energy_sigma": 0.1, "ENERGY_SIGMA": 0.2}, {}, "energy_sigma is there twice"),
        ({"virial_component_sigma": np.ones(6)}, {}, "needed is nine numbers"),
        ({"force_atom_sigma": np.ones(3)}, {}, "force_atom_sigma is an entry of the frame; it must be a column"),
        ({}, {"energy_sigma": np.ones(3)}, "energy_sigma is a column of the frame; it must be an entry"),
        ({}, {"force_atom_sigma": np.ones((3, 3))}, "needed is one per atom"),
        ({}, {"force_atom_sigma": np.array([0.1, 0.0, 0.1])}, "force_atom_sigma or force_component_sigma is 0"),
        ({}, {"force_component_sigma": np.ones(3)}, r"needed is \[n_atoms, 3\]"),
        ({}, {"force_mask": np.array([1, 0, 0])}, "force_mask is not a logical column"),
        ({"hessian_sigma": 0.1}, {}, "hessian_sigma cannot be used: second derivatives are not fitted"),
        ({"config_weight": 2.0}, {}, "config_weight is a factor in the loss of another program"),
        ({"config_energy_weight": 0.0}, {}, "config_energy_weight is a factor"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused_by_name(
    entries: dict[str, object], columns: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_weights(entries, columns)


def test_what_changes_nothing_is_no_weight() -> None:
    assert read_weights({"config_weight": 1, "energy": -3.0}, {"forces": np.zeros((3, 3))}) is None
    # gap_fit passes over whole numbers; they were meant.
    assert read_weights({"energy_sigma": 1}, {}).energy_eV == 1.0


def test_the_standard_deviation_of_a_masked_force_means_nothing() -> None:
    masked = LabelWeights(atom_force_eV_per_A=np.array([[0.0] * 3, [0.1] * 3]), unfitted_forces=np.array([True, False]))
    np.testing.assert_array_equal(masked.atom_force_eV_per_A, [[1.0] * 3, [0.1] * 3])
    with pytest.raises(ValueError, match="read-only"):
        masked.atom_force_eV_per_A[0, 0] = 2.0


def test_weights_of_another_number_of_atoms_are_refused(lithium_sulfide: DataSet) -> None:
    with pytest.raises(InputError, match="are for 2 atoms; it has 12"):
        replace(lithium_sulfide.configurations[0], weights=LabelWeights(unfitted_forces=np.zeros(2, dtype=bool)))


def test_an_isolated_atom_keeps_its_type_in_a_file(tmp_path: Path) -> None:
    pair = LabelledConfiguration(Atoms("Li2", positions=np.eye(3)[:2] * 3), -4.0, None, None, "pair")
    atom = replace(isolated_atom("Li", -1.5), config_type="gas", regularisation=Regularisation())
    write_extxyz(tmp_path / "set.xyz", DataSet((pair,), isolated_atoms=(atom,)))
    (again,) = read_extxyz(tmp_path / "set.xyz").isolated_atoms
    assert (again.config_type, again.energy, again.regularisation) == ("gas", -1.5, Regularisation())
