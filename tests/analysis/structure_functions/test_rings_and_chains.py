"""Rings and chains of networks whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene
from ase.spacegroup import crystal

from ionloop.analysis.structure_functions.bonds import bonds_in, coordination_counts
from ionloop.analysis.structure_functions.frames import of_structures
from ionloop.analysis.structure_functions.rings import (
    NetworkCounts,
    add_frame,
    chain_shares,
    network_of,
    rings_per_frame,
)
from ionloop.sampling.structures.crystals import build_crystal


def counted(atoms, cutoffs_A, centres, largest=12):
    frames = of_structures([atoms])
    counts = NetworkCounts()
    is_centre = np.isin(atoms.symbols, centres)
    add_frame(counts, network_of(bonds_in(frames, 0, cutoffs_A), is_centre), largest)
    return counts


@pytest.mark.parametrize("repeat", [1, 2], ids=["primitive", "repeated"])
def test_diamond_has_rings_of_six_twelve_at_every_atom(repeat):
    # Every atom is in 12 rings of 6; each ring has 6 atoms: 2 rings for each atom.
    atoms = bulk("Si", "diamond", a=5.43).repeat(repeat)
    found = counted(atoms, {"Si-Si": 2.6}, ["Si"])
    assert rings_per_frame(found) == {6: 2.0 * len(atoms)}
    assert found.endless == len(atoms)


def test_quartz_has_the_rings_of_its_vertex_symbol():
    # 6·6·6₂·6₂·8₇·8₇ at every Si: six angles in rings of 6, each of which has 6 of them; fourteen in rings of 8, where
    # two angles of each are on a shortest path. In atoms, O between: 12 and 16.
    quartz = crystal(
        ["Si", "O"],
        [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.78577)],
        spacegroup=154,
        cellpar=[4.916, 4.916, 5.405, 90, 90, 120],
    )
    found = counted(quartz, {"O-Si": 2.0}, ["Si"], largest=24)
    assert rings_per_frame(found) == {12: 3.0, 16: 21.0}


def test_graphene_has_one_hexagon_for_every_two_atoms():
    atoms = graphene(size=(3, 3, 1), vacuum=6.0)
    atoms.pbc = True
    assert rings_per_frame(counted(atoms, {"C-C": 1.6}, ["C"])) == {6: 9.0}


def test_rings_longer_than_the_largest_are_not_looked_for_but_known_to_be():
    found = counted(bulk("Si", "diamond", a=5.43), {"Si-Si": 2.6}, ["Si"], largest=5)
    assert not found.rings
    assert found.closed


def test_a_line_around_the_cell_is_endless_and_no_ring():
    atoms = Atoms("Se3", [[0, 0, 0], [2.4, 0, 0], [4.8, 0, 0]], cell=[7.2, 9, 9], pbc=True)
    found = counted(atoms, {"Se-Se": 2.6}, ["Se"])
    assert not found.rings
    assert (found.endless, chain_shares(found)) == (3, {"endless": 1.0})


def test_an_eight_ring_is_one_and_its_centres_are_no_chain():
    angles = 2 * np.pi * np.arange(8) / 8
    places = 2.7 * np.column_stack([np.cos(angles), np.sin(angles), np.zeros(8)])
    found = counted(Atoms("S8", places, cell=[15, 15, 15], pbc=True), {"S-S": 2.3}, ["S"])
    assert rings_per_frame(found) == {8: 1.0}
    assert chain_shares(found) == {"cyclic": 1.0}


def test_li7p3s11_has_single_and_double_tetrahedra_and_no_ring():
    found = counted(build_crystal("li7p3s11"), {"P-S": 2.6}, ["P"])
    assert not found.closed
    assert chain_shares(found) == {"1": pytest.approx(1 / 3), "2": pytest.approx(2 / 3)}


def test_edges_that_are_shared_are_a_ring_of_four_and_a_chain_of_two():
    # P2S6 with two bridges: P-S2-P, and two more S on each P.
    places = [
        [0, 0, 0],
        [3, 0, 0],
        [1.5, 1.4, 0],
        [1.5, -1.4, 0],
        [-1, 0, 1.7],
        [-1, 0, -1.7],
        [4, 0, 1.7],
        [4, 0, -1.7],
    ]
    found = counted(Atoms("P2S6", places, cell=[20, 20, 20], pbc=True), {"P-S": 2.4}, ["P"])
    assert rings_per_frame(found) == {4: 1.0}
    assert chain_shares(found) == {"2": 1.0}


def test_three_in_a_row_are_a_chain_and_four_around_one_are_branched():
    step = 2.1
    row = Atoms("PSPSP", [[step * at, 0, 0] for at in range(5)], cell=[30, 30, 30], pbc=True)
    assert chain_shares(counted(row, {"P-S": 2.2}, ["P"])) == {"3": 1.0}
    star = [[0, 0, 0]] + [
        [s * n * step if a == axis else 0 for a in range(3)] for axis in range(2) for s in (1, -1) for n in (1, 2)
    ]
    branched = Atoms("P" + "SP" * 4, star, cell=[30, 30, 30], pbc=True)
    assert chain_shares(counted(branched, {"P-S": 2.2}, ["P"])) == {"branched": 1.0}


def test_coordination_of_known_crystals():
    frames = of_structures([build_crystal("gamma-li3ps4")])
    shares = coordination_counts(frames, [0], {"Li-S": 3.0, "P-S": 2.6})
    assert shares["Li", "S"].tolist() == [0, 0, 0, 0, 1]
    assert shares["P", "S"].tolist() == [0, 0, 0, 0, 1]
    assert shares["S", "P"].tolist() == [0, 1]
