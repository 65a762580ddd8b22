"""Atoms keep their identity through other orders, origins, repeats and orientations of files."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import find_mic
from ase.spacegroup import crystal

from ionloop.analysis.barriers.path_ends import path_end
from ionloop.analysis.hops.known_crystal import crystal_on_trajectory
from ionloop.analysis.hops.structure_matching import assign, in_cell_of
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.core.errors import InputError

RATTLE_A = 0.05
RANDOM = np.random.default_rng(5)


def lithium_sulphide() -> Atoms:
    """Antifluorite, 12 atoms."""
    return bulk("SLi2", "fluorite", a=5.7, cubic=True)


def vacancy_ends(repeats: int = 2) -> tuple[Atoms, Atoms]:
    """A vacancy in copper before and after its neighbour took its place."""
    whole = bulk("Cu", cubic=True).repeat((repeats, repeats, 1))
    start, end = whole.copy(), whole.copy()
    end.positions[1] = whole.positions[0]
    del start[0]
    del end[0]
    return start, end


@pytest.mark.parametrize("shift_A", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.1), (2.1, 1.4, -2.6)])
def test_order_and_origin_of_another_file_do_not_matter(shift_A):
    crystal = lithium_sulphide().repeat((2, 1, 1))
    permutation = RANDOM.permutation(len(crystal))
    other = crystal[permutation]
    other.rattle(RATTLE_A, seed=1)
    other.positions += shift_A
    other.wrap()
    found = assign(crystal, other)
    assert found.distances_A.max() < 6 * RATTLE_A
    assert list(other[found.order].symbols) == list(crystal.symbols)
    # The shift is known up to a translation of the lattice, and of a crystal without noise there are several.
    assert np.linalg.norm(found.displacements_A.mean(axis=0)) < RATTLE_A


def test_without_a_shift_none_is_found_however_symmetric_the_crystal():
    crystal = lithium_sulphide().repeat((2, 2, 1))
    other = crystal.copy()
    other.rattle(RATTLE_A, seed=2)
    found = assign(crystal, other)
    assert np.array_equal(found.order, np.arange(len(crystal)))
    assert np.linalg.norm(found.shift_A) < RATTLE_A


REPEATS = [np.diag([2, 1, 3]), np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 1]])]


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_unit_cell_is_repeated_turned_and_strained_into_the_trajectorys(repeats, turned):
    crystal = lithium_sulphide()
    whole = make_supercell(crystal, repeats)
    if turned and np.array_equal(repeats, np.diag(np.diag(repeats))):
        crystal.rotate(25, (1, 2, 3), rotate_cell=True)
    cell = whole.cell.array * 1.02
    found, how = next(in_cell_of(crystal, cell, len(whole)))
    assert len(found) == len(whole)
    assert np.allclose(found.cell.array, cell)
    assert "repeated" in how
    assert "strained by 2.0%" in how
    whole.set_cell(cell, scale_atoms=True)
    assert assign(whole, found).distances_A.max() < 1e-6


def argyrodite(primitive: bool = False) -> Atoms:
    """Of polar symmetry: of the 24 turns of its lattice half are none of its own."""
    sites = [("P", (0, 0, 0.5)), ("S", (0.1195, 0.1195, 0.6195)), ("S", (0.25,) * 3), ("Cl", (0, 0, 0))]
    symbols, basis = zip(*sites, ("Li", (0.183, 0.183, 0.024)), strict=True)
    found = crystal(symbols, basis, spacegroup=216, cellpar=[9.85] * 3 + [90] * 3, primitive_cell=primitive)
    return Atoms(found.symbols, positions=found.positions, cell=found.cell, pbc=True)


def turned_to_standard_form(atoms: Atoms) -> Atoms:
    found = atoms.copy()
    found.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    return found


def of_other_handedness(atoms: Atoms) -> Atoms:
    found = atoms.copy()
    found.set_cell(-atoms.cell.array)
    return found


def with_axes_exchanged(atoms: Atoms) -> Atoms:
    found = atoms.copy()
    found.rotate(90, "z")
    return found


@pytest.mark.parametrize(
    "given",
    [
        turned_to_standard_form(argyrodite(primitive=True)),
        turned_to_standard_form(make_supercell(argyrodite(), [[1, 1, 0], [0, 1, 0], [0, 0, 1]])),
        of_other_handedness(argyrodite()),
        with_axes_exchanged(argyrodite()),
    ],
)
def test_every_setting_of_a_crystal_is_laid_onto_the_trajectory(given):
    whole = argyrodite().repeat((2, 1, 1))
    found, _ = crystal_on_trajectory(given, trajectory_of(whole), "Li")
    sites, ions = (one.positions[one.symbols == "Li"] for one in (found, whole))
    between = find_mic((sites[:, None] - ions).reshape(-1, 3), whole.cell)[1].reshape(len(sites), -1)
    assert len(sites) == len(ions)
    assert between.min(axis=0).max() < RATTLE_A


def test_a_cell_that_does_not_fit_is_refused_with_both():
    with pytest.raises(InputError, match=r"5\.700.*does not repeat into.*6\.500"):
        next(in_cell_of(lithium_sulphide(), 6.5 * np.eye(3), 12))


def trajectory_of(atoms: Atoms, frames: int = 20) -> Trajectory:
    noise = np.random.default_rng(1).normal(0, RATTLE_A, (frames, len(atoms), 3))
    return Trajectory(tuple(atoms.symbols), atoms.positions + noise, atoms.cell.array, 100.0)


def test_a_crystal_with_other_numbers_of_mobile_ions_still_has_the_known_sites():
    crystal = lithium_sulphide()
    with_vacancy = crystal.repeat((2, 1, 1))
    del with_vacancy[int(np.flatnonzero(with_vacancy.symbols == "Li")[0])]
    order = np.argsort(with_vacancy.symbols == "S")
    found, notes = crystal_on_trajectory(crystal, trajectory_of(with_vacancy[order]), "Li")
    assert int(np.sum(found.symbols == "Li")) == 16
    assert list(found.symbols[:8]) == ["S"] * 8
    assert any("repeated 2 x 1 x 1" in note for note in notes)


def test_another_composition_of_the_framework_is_refused():
    crystal = lithium_sulphide()
    crystal = crystal[np.argsort(crystal.symbols == "S")]
    other = crystal[:-1]
    with pytest.raises(InputError, match="other atoms than the trajectory: 3 S instead of 4"):
        crystal_on_trajectory(other, trajectory_of(crystal), "Li")


def test_a_framework_that_lies_elsewhere_is_another_crystal():
    crystal = lithium_sulphide()
    sulphur = np.flatnonzero(crystal.symbols == "S")
    other = crystal.copy()
    other.positions[sulphur[1]] += (0.0, 0.0, 2.2)
    with pytest.raises(InputError, match=r"another crystal: its S lie up to 2\.\d+ Å"):
        crystal_on_trajectory(other, trajectory_of(crystal), "Li")


def test_a_reordered_and_shifted_end_is_put_right_and_told():
    start, end = vacancy_ends()
    permutation = np.random.default_rng(3).permutation(len(end))
    other = end[permutation]
    other.positions += (0.3, 0.0, 0.0)
    other.wrap()
    found = path_end(start, other)
    moved = np.linalg.norm(found.atoms.positions - start.positions, axis=1)
    assert int(np.sum(moved > 0.1)) == 1
    assert moved.max() == pytest.approx(3.61 / np.sqrt(2), abs=0.01)
    assert len(found.notes) == 2
    assert "order" in found.notes[0]
    assert "shifted back by (0.300, 0.000, 0.000)" in found.notes[1]


def test_an_exchange_of_two_is_kept_and_told():
    start, _ = vacancy_ends()
    other = start.copy()
    other.positions[[0, 1]] = start.positions[[1, 0]]
    found = path_end(start, other)
    assert np.linalg.norm(found.atoms.positions - start.positions, axis=1)[:2].min() > 2
    assert found.notes == ("several atoms hop: 2 Cu move by more than 1 Å (atoms 0, 1, counted from 0)",)


def test_an_order_that_is_to_be_kept_is_kept():
    start, end = vacancy_ends()
    other = end[np.random.default_rng(3).permutation(len(end))]
    found = path_end(start, other, keep_order=True)
    assert int(np.sum(np.linalg.norm(found.atoms.positions - start.positions, axis=1) > 1)) > 5
    assert "several atoms hop" in found.notes[-1]


def test_an_end_in_another_orientation_is_turned():
    crystal = lithium_sulphide()
    before, after = crystal.copy(), crystal.copy()
    after.positions[0] += [0.3, 0.2, 0.1]
    turned = after.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    found = path_end(before, turned)
    np.testing.assert_allclose(found.atoms.positions, path_end(before, after).atoms.positions, atol=1e-6)
    assert "turned into the orientation" in found.notes[0]


@pytest.mark.parametrize("vectors", [-np.eye(3), [[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]])
def test_an_end_in_other_vectors_of_the_same_lattice_is_the_same(vectors):
    start, end = vacancy_ends()
    other = end.copy()
    other.set_cell(np.array(vectors) @ end.cell.array)
    other.wrap()
    found = path_end(start, other)
    np.testing.assert_allclose(found.atoms.positions, path_end(start, end).atoms.positions, atol=1e-6)
    assert found.notes == ("the other end's cell has other vectors of the same lattice; those of the first are taken",)


def test_other_atoms_and_other_cells_are_refused_with_what_differs():
    start, end = vacancy_ends()
    with pytest.raises(InputError, match=f"{len(start) - 1} Cu instead of {len(start)}"):
        path_end(start, end[1:])
    end.set_cell(end.cell * 1.01)
    with pytest.raises(InputError, match="different cells"):
        path_end(start, end)
