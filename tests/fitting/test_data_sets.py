from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import (
    DataSet,
    ExtxyzKeys,
    LabelledConfiguration,
    isolated_atom,
    mean_energy_per_atom,
    read_extxyz,
    write_extxyz,
)
from ionloop.fitting.settings import Regularisation

DIVISION_TOLERANCE = 1e-14


def test_content_hash_survives_writing_and_reading(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    first, second, *rest = lithium_sulfide
    # Names that a reader could take for a number or a truth value, and a configuration without a stress.
    odd = replace(
        first,
        identifier="12e45",
        config_type="T",
        regularisation=Regularisation(force_eV_per_A=0.3, force_by_element_eV_per_A={"S": 0.1}),
    )
    data_set = DataSet((odd, replace(second, identifier="0007", stress=None), *rest), {"S": -2.5, "Li": -1 / 3})
    write_extxyz(tmp_path / "set.xyz", data_set)
    again = read_extxyz(tmp_path / "set.xyz")
    assert again.content_hash == data_set.content_hash
    assert [item.identifier for item in again][:2] == ["12e45", "0007"]
    assert again.configurations[0].config_type == "T"
    assert again.configurations[0].regularisation == odd.regularisation
    assert again.configurations[1].stress is None
    assert dict(again.isolated_atom_energies) == {"Li": -1 / 3, "S": -2.5}


def test_charges_and_dipole_are_written_and_read_and_change_no_content(
    lithium_sulfide: DataSet, tmp_path: Path
) -> None:
    first, *rest = lithium_sulfide
    charges = np.linspace(-0.5, 0.5, first.n_atoms)
    charged = DataSet((replace(first, charges=charges, dipole=np.array([0.1, -0.2, 1 / 3])), *rest))
    write_extxyz(tmp_path / "set.xyz", charged)
    again = read_extxyz(tmp_path / "set.xyz")
    np.testing.assert_array_equal(again.configurations[0].charges, charges)
    np.testing.assert_array_equal(again.configurations[0].dipole, [0.1, -0.2, 1 / 3])
    assert again.configurations[1].charges is None
    assert again.content_hash == charged.content_hash == DataSet((first, *rest)).content_hash


def test_content_hash_sees_every_change(lithium_sulfide: DataSet) -> None:
    first, *rest = lithium_sulfide
    moved = first.atoms.copy()
    moved.positions[0, 0] += 1e-12
    assert first.stress is not None
    changed = [
        replace(first, energy=first.energy + 1e-12),
        replace(first, forces=first.forces * (1 + 1e-12)),
        replace(first, stress=first.stress * (1 + 1e-12)),
        replace(first, stress=None),
        replace(first, atoms=moved),
        replace(first, config_type="hot"),
        replace(first, regularisation=Regularisation()),
    ]
    energies = lithium_sulfide.isolated_atom_energies
    hashes = {DataSet((item, *rest), energies).content_hash for item in [first, *changed]}
    hashes.add(DataSet((first, *rest), {**energies, "Li": 0.0}).content_hash)
    hashes.add(DataSet((*rest, first), energies).content_hash)
    assert len(hashes) == len(changed) + 3


def test_virial_is_written_as_nine_plain_numbers(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    write_extxyz(tmp_path / "set.xyz", lithium_sulfide)
    text = (tmp_path / "set.xyz").read_text()
    assert "_JSON" not in text
    configuration = lithium_sulfide.configurations[0]
    frames = read(tmp_path / "set.xyz", index=":")
    virial = frames[len(lithium_sulfide.isolated_atom_energies)].info["REF_virial"]
    assert configuration.stress is not None
    expected = -configuration.atoms.get_volume() * configuration.stress
    np.testing.assert_allclose(virial.ravel()[[0, 4, 8, 5, 2, 1]], expected, rtol=DIVISION_TOLERANCE)


def test_foreign_file_with_a_virial_alone(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text(
        '1\nLattice="2 0 0 0 2 0 0 0 2" Properties=species:S:1:pos:R:3:dft_force:R:3 E=-1 '
        'V="8 1 2 1 16 3 2 3 24" pbc="T T T"\nLi 0 0 0 0.1 0.2 0.3\n'
    )
    data_set = read_extxyz(tmp_path / "a.xyz", ExtxyzKeys(energy="E", forces="dft_force", virial="V"))
    (configuration,) = data_set
    assert configuration.identifier == "a-0"
    np.testing.assert_allclose(configuration.stress, [-1, -2, -3, -3 / 8, -2 / 8, -1 / 8])


def test_file_of_ase_with_calculator_results(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    configuration = lithium_sulfide.configurations[0]
    atoms = configuration.atoms.copy()
    atoms.calc = SinglePointCalculator(
        atoms, energy=configuration.energy, forces=configuration.forces, stress=configuration.stress
    )
    write(tmp_path / "ase.xyz", atoms, format="extxyz")
    (again,) = read_extxyz(tmp_path / "ase.xyz", ExtxyzKeys("energy", "forces", "stress", "virial"))
    assert again.energy == pytest.approx(configuration.energy)
    np.testing.assert_allclose(again.forces, configuration.forces, atol=1e-7)
    np.testing.assert_allclose(again.stress, configuration.stress, atol=1e-12)


def test_missing_labels_are_named_for_every_frame(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    write_extxyz(tmp_path / "set.xyz", lithium_sulfide)
    with pytest.raises(InputError, match=r"dft_energy missing; the frame has .*REF_energy") as caught:
        read_extxyz(tmp_path / "set.xyz", ExtxyzKeys(energy="dft_energy"))
    assert all(f"frame {index}:" in str(caught.value) for index in range(len(lithium_sulfide)))


def test_forces_under_another_name_are_not_taken_for_missing_ones(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    write_extxyz(tmp_path / "set.xyz", lithium_sulfide)
    with pytest.raises(InputError, match=r"dft_forces missing; the frame has .*REF_forces"):
        read_extxyz(tmp_path / "set.xyz", ExtxyzKeys(forces="dft_forces"))


def test_isolated_atoms_of_a_file_are_labels_unless_they_stand_in(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    means = mean_energy_per_atom(lithium_sulfide.configurations)
    path = tmp_path / "set.xyz"
    write_extxyz(path, DataSet(lithium_sulfide.configurations, means))
    # Earlier releases did not mark what stands in.
    for text in (path.read_text(), path.read_text().replace(" stands_in=T", "")):
        path.write_text(text)
        assert not read_extxyz(path).isolated_atoms
        assert dict(read_extxyz(path).isolated_atom_energies) == means
    path.write_text(path.read_text().replace(f"REF_energy={means['S']!r}", "REF_energy=-2.5"))
    (label,) = read_extxyz(path).isolated_atoms[1:]
    assert (str(label.atoms.symbols), label.energy, label.forces, label.atoms.pbc.any()) == ("S", -2.5, None, False)
    frames = path.read_text() + path.read_text().replace("-2.5", "-2.6")
    path.write_text(frames)
    with pytest.raises(InputError, match=r"the isolated atom of Li has the energy -2.6 eV, another one -2.5"):
        read_extxyz(path)


def test_isolated_atoms_agree_with_the_zero_of_energy() -> None:
    with pytest.raises(InputError, match=r"isolated atom of Li has the energy -1.5 eV as a label, and -1.0 eV"):
        DataSet((), {"Li": -1.0}, (isolated_atom("Li", -1.5),))
    with pytest.raises(InputError, match="Li has two isolated atoms"):
        DataSet((), {}, (isolated_atom("Li", -1.5), isolated_atom("Li", -1.5)))
    pair = replace(isolated_atom("Li", -1.5), atoms=Atoms("Li2", positions=np.eye(3)[:2]))
    with pytest.raises(InputError, match="has 2 atoms"):
        DataSet((), {}, (pair,))


def test_unreadable_files_are_input_errors(tmp_path: Path) -> None:
    (tmp_path / "garbage.xyz").write_text("garbage\nmore\n")
    with pytest.raises(InputError, match="not a readable extended-XYZ file"):
        read_extxyz(tmp_path / "garbage.xyz")
    with pytest.raises(InputError, match="does not exist"):
        read_extxyz(tmp_path / "missing.xyz")


def test_unusable_regularisation_in_a_file_is_named(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    write_extxyz(tmp_path / "set.xyz", lithium_sulfide)
    text = (tmp_path / "set.xyz").read_text().replace(" pbc=", " sigma_force=-1.0 pbc=")
    (tmp_path / "set.xyz").write_text(text)
    with pytest.raises(InputError, match="force_eV_per_A: Input should be greater than 0"):
        read_extxyz(tmp_path / "set.xyz")


def test_configurations_do_not_change_with_what_they_were_made_from(lithium_sulfide: DataSet) -> None:
    atoms, forces = lithium_sulfide.configurations[0].atoms.copy(), np.zeros((12, 3))
    configuration = LabelledConfiguration(atoms, -1.0, forces, None, "x")
    digest = configuration.content_digest()
    atoms.positions += 1.0
    forces += 1.0
    assert configuration.content_digest() == digest
    with pytest.raises(ValueError, match="read-only"):
        configuration.forces[0] = 1.0


@pytest.mark.parametrize("shape", [(11, 3), (12,), (12, 2)])
def test_forces_of_another_shape_are_refused(lithium_sulfide: DataSet, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"needed is \(12, 3\)"):
        replace(lithium_sulfide.configurations[0], forces=np.zeros(shape))


@pytest.mark.parametrize("identifier", ["", "two words", 'quo"te', "a=b"])
def test_identifiers_that_files_cannot_hold_are_refused(lithium_sulfide: DataSet, identifier: str) -> None:
    with pytest.raises(InputError, match="must be one word"):
        replace(lithium_sulfide.configurations[0], identifier=identifier)


def test_mean_energy_per_atom_is_given_to_every_element() -> None:
    configurations = [
        LabelledConfiguration(Atoms(symbols, positions=np.zeros((n, 3))), n * energy, np.zeros((n, 3)), None, "x")
        for symbols, n, energy in (("Li2S", 3, -2.0), ("P", 1, -4.0))
    ]
    assert mean_energy_per_atom(configurations) == {"Li": -3.0, "P": -3.0, "S": -3.0}
