"""When two structures are the same."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from ionloop.core.structures import exact_hash, structure_hash
from ionloop.labelling.scratch import request_hash
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
    assert structure_hash(moved) == structure_hash(atoms)


@given(SEEDS)
def test_a_round_trip_through_a_document_leaves_every_bit(seed):
    atoms = crystal(seed)
    again = Structure.from_atoms(atoms).to_atoms()
    assert (again.positions == atoms.positions).all()
    assert (again.cell.array == atoms.cell.array).all()
    assert structure_hash(again) == structure_hash(atoms)


def test_atoms_on_a_face_of_the_cell_hash_alike_from_both_sides():
    inside = Atoms("Li", positions=[[1e-10, 0.5, 0.5]], cell=[3, 3, 3], pbc=True)
    outside = Atoms("Li", positions=[[-1e-10, 0.5, 0.5]], cell=[3, 3, 3], pbc=True)
    assert structure_hash(inside) == structure_hash(outside)


def test_species_cell_positions_and_periodicity_all_count():
    atoms = crystal(0)
    hashes = {structure_hash(atoms)}
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
        hashes.add(structure_hash(other))
    assert len(hashes) == 5


def test_hashes_are_those_of_earlier_releases():
    # Identifiers of records, scratch folders and trajectories are made from them.
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.positions += np.arange(24).reshape(8, 3) / 7
    atoms.positions[0] = -0.0
    assert structure_hash(atoms) == "296032d2174c020ff7712af8e757f5cd15f42704b6beb371d7ccf6315891df07"
    assert request_hash(atoms) == "46c8990833bb36f01fffd066dce3da377a12d4c36c5e609d6062d6baff3e8de7"
    start = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses())
    assert exact_hash(*start) == "9e854484dc5ca4ae95a62a355f757d090f38f10ede3b53c424541adbdf30297c"


def test_the_last_bit_counts_where_a_run_is_to_go_on():
    atoms = crystal(0)
    nearly = atoms.copy()
    nearly.positions[0, 0] = np.nextafter(nearly.positions[0, 0], 1.0)
    assert structure_hash(nearly) == structure_hash(atoms)
    assert request_hash(nearly) != request_hash(atoms)
