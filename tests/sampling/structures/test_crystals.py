"""Built-in crystals against the facts known about them, and files that are not crystals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.constraints import FixAtoms
from ase.io import write

from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import CRYSTALS, build_crystal, load_structure

SYMMETRY_TOLERANCE_A = 1e-3
BOND_TOLERANCE_A = 0.006  # bond lengths are given to two digits
SHORTEST_SENSIBLE_DISTANCE_A = 1.8

FACTS = {
    "li7p3s11": ("Li7P3S11", 42, 2),
    "beta-li3ps4": ("Li3PS4", 32, 62),
    "gamma-li3ps4": ("Li3PS4", 16, 31),
    "li4p2s6": ("Li4P2S6", 12, 162),
    "li2s": ("Li2S", 12, 225),
    "t-li7la3zr2o12": ("Li7La3Zr2O12", 192, 142),
}


def bonds(atoms: Atoms, first: str, second: str, longest: float) -> np.ndarray:
    """Distances between two elements up to a bond's length, Å."""
    distances = atoms.get_all_distances(mic=True)
    block = distances[np.ix_(atoms.symbols == first, atoms.symbols == second)]
    return block[(block > 0) & (block < longest)]


def test_every_crystal_is_covered() -> None:
    assert set(FACTS) == set(CRYSTALS)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib's own transition
@pytest.mark.parametrize("name", FACTS)
def test_formula_size_and_space_group(name: str) -> None:
    formula, n_atoms, space_group = FACTS[name]
    atoms = build_crystal(name)
    entry = CRYSTALS[name]
    assert len(atoms) == n_atoms == entry.atoms_per_cell
    assert atoms.symbols.formula.reduce()[0].count() == Atoms(formula).symbols.formula.reduce()[0].count()
    assert entry.formula == formula
    found = spglib.get_symmetry_dataset(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=SYMMETRY_TOLERANCE_A
    )
    assert found.number == space_group == entry.space_group
    assert found.international == entry.space_group_symbol
    assert entry.source


@pytest.mark.parametrize("name", FACTS)
def test_no_atoms_overlap(name: str) -> None:
    atoms = build_crystal(name)
    distances = atoms.get_all_distances(mic=True)
    assert distances[np.triu_indices(len(atoms), 1)].min() > SHORTEST_SENSIBLE_DISTANCE_A


@pytest.mark.parametrize(
    ("name", "shortest", "longest", "sulfur_per_phosphorus"),
    [
        ("beta-li3ps4", 2.04, 2.10, 4),
        ("gamma-li3ps4", 2.06, 2.06, 4),
        ("li4p2s6", 2.03, 2.03, 3),
        ("li7p3s11", 2.01, 2.20, 4),
    ],
)
def test_phosphorus_sulfur_bonds(name: str, shortest: float, longest: float, sulfur_per_phosphorus: int) -> None:
    atoms = build_crystal(name)
    found = bonds(atoms, "P", "S", 2.4)
    assert len(found) == sulfur_per_phosphorus * np.count_nonzero(atoms.symbols == "P")
    assert found.min() == pytest.approx(shortest, abs=BOND_TOLERANCE_A)
    assert found.max() == pytest.approx(longest, abs=BOND_TOLERANCE_A)


def test_hexathiohypodiphosphate_has_a_phosphorus_pair() -> None:
    assert bonds(build_crystal("li4p2s6"), "P", "P", 2.6) == pytest.approx(2.26, abs=BOND_TOLERANCE_A)


def test_li7p3s11_is_one_ditetrahedron_and_one_tetrahedron_per_formula_unit() -> None:
    atoms = build_crystal("li7p3s11")
    distances = atoms.get_all_distances(mic=True)
    to_phosphorus = distances[np.ix_(atoms.symbols == "S", atoms.symbols == "P")] < 2.4
    assert sorted(to_phosphorus.sum(axis=1)) == [1] * 20 + [2] * 2


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"Did you mean 'li7p3s11'\?.*beta-li3ps4"):
        build_crystal("li7ps11")
    with pytest.raises(InputError, match=r"Did you mean 'gamma-li3ps4'\?"):
        load_structure("gama-li3ps4")


def test_names_ignore_case() -> None:
    assert len(load_structure("Li7P3S11")) == 42


@pytest.mark.parametrize("name", ["cell.extxyz", "cell.cif", "POSCAR"])
def test_files_are_read_relative_to_the_base_folder(tmp_path: Path, name: str) -> None:
    atoms = build_crystal("gamma-li3ps4")
    write(tmp_path / name, atoms)
    loaded = load_structure(name, tmp_path)
    assert loaded.get_chemical_formula() == atoms.get_chemical_formula()
    assert loaded.cell.cellpar() == pytest.approx(atoms.cell.cellpar(), abs=1e-3)
    assert loaded.calc is None


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.cif does not exist"):
        load_structure("absent.cif", tmp_path)
    (tmp_path / "folder.d").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load_structure("folder.d", tmp_path)


@pytest.mark.parametrize("name", ["noise.cif", "noise.extxyz", "noise.unheard-of", "empty.extxyz"])
def test_unreadable_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("" if name.startswith("empty") else "this is\nno crystal\n")
    with pytest.raises(InputError, match=name):
        load_structure(name, tmp_path)


def test_several_frames(tmp_path: Path) -> None:
    atoms = build_crystal("li4p2s6")
    write(tmp_path / "two.extxyz", [atoms, atoms])
    with pytest.raises(InputError, match="holds 2 structures"):
        load_structure("two.extxyz", tmp_path)


def test_no_periodic_cell(tmp_path: Path) -> None:
    write(tmp_path / "molecule.xyz", Atoms("LiS", positions=[[0, 0, 0], [2, 0, 0]]))
    with pytest.raises(InputError, match="no cell that is periodic"):
        load_structure("molecule.xyz", tmp_path)


def test_overlapping_atoms(tmp_path: Path) -> None:
    atoms = Atoms("LiNaS", positions=[[0, 0, 0], [0.2, 0, 5], [2, 2, 2]], cell=[5, 5, 5], pbc=True)
    write(tmp_path / "split.extxyz", atoms)
    with pytest.raises(InputError, match=r"atoms 0 \(Li\) and 1 \(Na\) are 0\.200 Å apart"):
        load_structure("split.extxyz", tmp_path)


def test_partly_occupied_sites(tmp_path: Path) -> None:
    (tmp_path / "split.cif").write_text(
        """data_split
_cell_length_a 6
_cell_length_b 6
_cell_length_c 6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0.0 0.0 0.0 0.7
S1 S 0.5 0.5 0.5 1.0
"""
    )
    with pytest.raises(InputError, match=r"partly occupied sites \(Li 0\.7\)"):
        load_structure("split.cif", tmp_path)


def test_constraints_and_velocities_of_a_file_are_left_behind(tmp_path: Path) -> None:
    atoms = build_crystal("li4p2s6")
    atoms.set_constraint(FixAtoms([0]))
    write(tmp_path / "POSCAR", atoms)
    assert not load_structure("POSCAR", tmp_path).constraints
