import numpy as np
from ase import Atoms
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from ionloop.store.identifiers import configuration_hash, derive_seed, identifier
from ionloop.store.records import Structure

SEEDS = st.integers(min_value=0, max_value=2**31 - 1)


def crystal(seed: int) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


@given(SEEDS)
def test_lattice_translations_of_single_atoms_leave_the_hash(seed):
    random = np.random.default_rng(seed)
    atoms = crystal(seed)
    moved = atoms.copy()
    moved.positions += random.integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell.array
    assert configuration_hash(moved) == configuration_hash(atoms)


@given(SEEDS)
def test_a_round_trip_through_a_document_leaves_every_bit(seed):
    atoms = crystal(seed)
    again = Structure.from_atoms(atoms).to_atoms()
    assert (again.positions == atoms.positions).all()
    assert (again.cell.array == atoms.cell.array).all()
    assert configuration_hash(again) == configuration_hash(atoms)


def test_atoms_on_a_face_of_the_cell_hash_alike_from_both_sides():
    inside = Atoms("Li", positions=[[1e-10, 0.5, 0.5]], cell=[3, 3, 3], pbc=True)
    outside = Atoms("Li", positions=[[-1e-10, 0.5, 0.5]], cell=[3, 3, 3], pbc=True)
    assert configuration_hash(inside) == configuration_hash(outside)


def test_species_cell_positions_and_periodicity_all_count():
    atoms = crystal(0)
    hashes = {configuration_hash(atoms)}
    for change in ("species", "cell", "positions", "pbc"):
        other = atoms.copy()
        if change == "species":
            other.symbols[0] = "K"
        elif change == "cell":
            other.set_cell(atoms.cell.array * 1.0001, scale_atoms=False)
        elif change == "positions":
            other.positions[0, 0] += 1e-6
        else:
            other.pbc = (True, True, False)
        hashes.add(configuration_hash(other))
    assert len(hashes) == 5


def test_identifiers_and_seeds_depend_on_every_part():
    assert identifier("label", "a", "b") == identifier("label", "a", "b")
    assert len({identifier("label", "a", "b"), identifier("label", "ab"), identifier("label", "b", "a")}) == 3
    assert len({derive_seed(1, "sample", g, r) for g in range(10) for r in range(10)}) == 100
    assert all(0 <= derive_seed(seed, "x") < 2**32 for seed in range(100))
