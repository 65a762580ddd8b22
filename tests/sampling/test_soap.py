"""SOAP vectors and fingerprints: invariances, normalisation, sensitivity."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.descriptor_settings import DescriptorSettings
from ionloop.sampling.soap import SoapDescriptor, kernel, species_of

INVARIANCE = 1e-10
SMALL = DescriptorSettings(n_max=4, l_max=3, cutoff_A=4.0)


@pytest.fixture
def cell() -> Atoms:
    random = np.random.default_rng(5)
    atoms = Atoms("Li4PS3", cell=[[5.1, 0, 0], [1.2, 5.6, 0], [-0.7, 0.9, 6.3]], pbc=True)
    atoms.set_scaled_positions(random.random((len(atoms), 3)))
    return atoms


@pytest.fixture
def descriptor() -> SoapDescriptor:
    return SoapDescriptor(["Li", "P", "S"], SMALL)


def all_rows(vectors: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(list(vectors.values()))


def test_vectors_are_by_species_and_normalised(cell: Atoms, descriptor: SoapDescriptor) -> None:
    vectors = descriptor.vectors(cell)
    assert {symbol: rows.shape for symbol, rows in vectors.items()} == {
        "Li": (4, descriptor.length),
        "P": (1, descriptor.length),
        "S": (3, descriptor.length),
    }
    np.testing.assert_allclose(np.linalg.norm(all_rows(vectors), axis=1), 1.0, atol=INVARIANCE)


def test_translation_rotation_and_wrapping_change_nothing(cell: Atoms, descriptor: SoapDescriptor) -> None:
    moved = cell.copy()
    moved.positions += [13.1, -7.7, 0.4]
    turned = cell.copy()
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    wrapped = cell.copy()
    wrapped.positions[::2] += 3 * cell.cell[0] - 2 * cell.cell[2]
    for other in (moved, turned, wrapped):
        np.testing.assert_allclose(
            all_rows(descriptor.vectors(other)), all_rows(descriptor.vectors(cell)), atol=INVARIANCE
        )


def test_permutation_permutes_vectors_and_not_the_fingerprint(cell: Atoms, descriptor: SoapDescriptor) -> None:
    order = np.random.default_rng(1).permutation(len(cell))
    shuffled = cell[order]
    lithium = [int(np.flatnonzero(cell.symbols == "Li").tolist().index(i)) for i in order if i < 4]
    np.testing.assert_allclose(
        descriptor.vectors(shuffled)["Li"], descriptor.vectors(cell)["Li"][lithium], atol=INVARIANCE
    )
    np.testing.assert_allclose(descriptor.fingerprint(shuffled), descriptor.fingerprint(cell), atol=INVARIANCE)


def test_supercell_has_the_same_fingerprint(cell: Atoms, descriptor: SoapDescriptor) -> None:
    np.testing.assert_allclose(descriptor.fingerprint(cell * (2, 1, 2)), descriptor.fingerprint(cell), atol=INVARIANCE)


def test_displacement_changes_the_fingerprint_in_proportion(cell: Atoms, descriptor: SoapDescriptor) -> None:
    direction = np.random.default_rng(2).normal(size=(len(cell), 3))
    distances = []
    for size in (1e-4, 1e-3):
        moved = cell.copy()
        moved.positions += size * direction
        distances.append(np.linalg.norm(descriptor.fingerprint(moved) - descriptor.fingerprint(cell)))
    assert distances[0] > 1e-6
    assert distances[1] / distances[0] == pytest.approx(10.0, rel=0.1)


def test_atoms_beyond_the_cutoff_do_not_matter() -> None:
    descriptor = SoapDescriptor(["Li", "S"], SMALL)
    pair = Atoms("LiS", positions=[[0, 0, 0], [2.4, 0, 0]])
    near = Atoms("LiSS", positions=[[0, 0, 0], [2.4, 0, 0], [0, 3.0, 0]])
    far = Atoms("LiSS", positions=[[0, 0, 0], [2.4, 0, 0], [0, 9.0, 0]])
    lithium = descriptor.vectors(pair)["Li"]
    np.testing.assert_allclose(descriptor.vectors(far)["Li"], lithium, atol=INVARIANCE)
    assert np.abs(descriptor.vectors(near)["Li"] - lithium).max() > 1e-3


def test_fingerprint_counts_each_species_alike(cell: Atoms, descriptor: SoapDescriptor) -> None:
    blocks = descriptor.fingerprint(cell).reshape(3, descriptor.length)
    np.testing.assert_allclose(np.linalg.norm(blocks, axis=1), 1 / np.sqrt(3), atol=INVARIANCE)


def test_missing_species_is_an_empty_block(cell: Atoms, descriptor: SoapDescriptor) -> None:
    without = cell[cell.numbers != 15]
    assert descriptor.vectors(without)["P"].shape == (0, descriptor.length)
    blocks = descriptor.fingerprint(without).reshape(3, descriptor.length)
    assert not blocks[1].any()
    assert np.isfinite(blocks).all()


def test_foreign_species_is_refused(cell: Atoms) -> None:
    with pytest.raises(InputError, match="knows Li, S and not P"):
        SoapDescriptor(["Li", "S"], SMALL).vectors(cell)


def test_kernel_is_one_on_itself_and_less_elsewhere(cell: Atoms, descriptor: SoapDescriptor) -> None:
    rows = descriptor.vectors(cell)["Li"]
    matrix = kernel(rows, rows, zeta=4)
    np.testing.assert_allclose(np.diag(matrix), 1.0, atol=INVARIANCE)
    assert matrix[0, 1] < 1.0
    np.testing.assert_allclose(matrix, kernel(rows, rows, zeta=1) ** 4, atol=INVARIANCE)


def test_species_are_ordered_by_atomic_number() -> None:
    assert species_of([Atoms("S2Li"), Atoms("PO")]) == ("Li", "O", "P", "S")


def test_transition_must_fit_into_the_cutoff() -> None:
    with pytest.raises(ValidationError, match=r"transition_width_A \(5\) must be below cutoff_A \(4\)"):
        DescriptorSettings(cutoff_A=4.0, transition_width_A=5.0)
