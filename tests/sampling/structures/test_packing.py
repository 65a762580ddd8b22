"""Structures from a composition: what goes into the box, how dense, how close, and what cannot be packed."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, covalent_radii
from pydantic import ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.seen_contacts import shortest_distances_A
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.structures.packing import (
    DATA_FRACTION,
    MOST_DISTORTION,
    Composition,
    allowed_distances,
    pack,
    polyanion_counts,
    unit_of,
)
from ionloop.sampling.structures.polyanions import polyanion

GRAMS_PER_MASS_UNIT = 1.66053906660e-24


def glass(**changes: object) -> Composition:
    given = {"composition": {"Li2S": 3, "P2S5": 1}, "atoms": 100, "density_g_per_cm3": 1.8, **changes}
    return Composition.model_validate(given)


def test_a_box_holds_whole_formula_units_at_its_density() -> None:
    atoms = pack(glass())
    # 3 Li2S + P2S5 = Li6P2S8, 16 atoms: six of them are nearest to 100.
    assert atoms.symbols.formula.count() == {"Li": 36, "P": 12, "S": 48}
    mass_g = GRAMS_PER_MASS_UNIT * sum(atomic_masses[number] for number in atoms.numbers)
    assert mass_g / (atoms.get_volume() * 1e-24) == pytest.approx(1.8, rel=1e-6)
    assert all(atoms.pbc)
    assert np.all((atoms.get_scaled_positions(wrap=False) >= 0) & (atoms.get_scaled_positions(wrap=False) < 1))


@pytest.mark.parametrize("atoms", [16, 200])
def test_no_two_atoms_are_closer_than_a_part_of_their_radii(atoms: int) -> None:
    for pair, distance in shortest_distances_A([pack(glass(atoms=atoms))]).items():
        radii = covalent_radii[[atomic_numbers[symbol] for symbol in pair.split("-")]].sum()
        assert distance >= glass().covalent_fraction * radii


def test_distances_of_known_structures_go_before_radii_and_given_ones_before_all() -> None:
    crystal = build_crystal("li7p3s11")
    known = shortest_distances_A([crystal])
    settings = glass(minimum_distances_A={"S-S": 2.9})
    allowed = allowed_distances(settings, known)
    assert allowed["P", "S"] == pytest.approx(DATA_FRACTION * known["P-S"])
    assert allowed["S", "S"] == 2.9
    found = shortest_distances_A([pack(settings, [crystal])])
    assert all(found["-".join(pair)] >= distance for pair, distance in allowed.items())
    # By radii alone phosphorus and phosphorus come much closer than in any thiophosphate.
    assert found["P-P"] > 1.4 * shortest_distances_A([pack(glass())])["P-P"]


def test_equal_settings_give_equal_structures_and_another_seed_another() -> None:
    first, second, other = pack(glass()), pack(glass()), pack(glass(seed=2))
    assert np.array_equal(first.positions, second.positions)
    assert not np.allclose(first.positions, other.positions)


def test_edges_keep_their_proportions() -> None:
    lengths = pack(glass(edges=[1, 1, 2])).cell.lengths()
    assert lengths[2] == pytest.approx(2 * lengths[0])


def test_a_dense_box_is_packed_where_placing_one_after_the_other_would_not() -> None:
    # Random sequential addition saturates at 0.38: Torquato, Uche, Stillinger, 10.1103/PhysRevE.74.061308.
    settings = glass(density_g_per_cm3=4.2)
    atoms = pack(settings)
    filled = sum(np.pi / 6 * allowed_distances(settings)[s, s] ** 3 for s in atoms.symbols) / atoms.get_volume()
    assert filled > 0.4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"density_g_per_cm3": 25}, r"spheres at the shortest distances fill \d+% of it; at most about"),
        ({"atoms": 2, "edges": [1, 1, 40]}, "an edge is shorter than the distance of two Li-Li"),
        ({"density_g_per_cm3": 9, "atoms": 32}, "with .* at least .* Å apart no attempt of 5 did"),
    ],
)
def test_what_cannot_be_packed_is_told(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        pack(glass(**changes))


@pytest.mark.parametrize("text", ["Li2Z", "", "2", "li2s", "Li2S+", "H0", "Li2S)"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no formula"):
        unit_of(text)
    with pytest.raises(ValidationError, match="is no formula"):
        glass(composition={text: 1})


def units_of(atoms, centre: str, ligand: str) -> list[int]:
    """Return ligands within a bond of each centre."""
    distances = atoms.get_all_distances(mic=True)
    is_centre, is_ligand = atoms.symbols == centre, atoms.symbols == ligand
    return sorted((distances[np.ix_(is_centre, is_ligand)] < 2.6).sum(axis=1).tolist())


def test_polyanions_are_packed_whole_and_nothing_binds_to_them() -> None:
    settings = glass(composition={"Li2S": 70, "P2S5": 30}, density_g_per_cm3=1.52, polyanions={"PS4": 1, "P2S7": 1})
    # 7 Li2S + 3 P2S5 = Li14P6S22; two boxes of it hold four PS4 and four P2S7, and nothing else of P and S.
    assert polyanion_counts(settings) == {"PS4": 4, "P2S7": 4}
    atoms = pack(settings)
    assert atoms.symbols.formula.count() == {"Li": 28, "P": 12, "S": 44}
    assert units_of(atoms, "P", "S") == 12 * [4]
    bridges = units_of(atoms, "S", "P")
    assert (bridges.count(1), bridges.count(2)) == (40, 4)
    bond = covalent_radii[[atomic_numbers["P"], atomic_numbers["S"]]].sum()
    distances = np.sort(atoms.get_all_distances(mic=True)[np.ix_(atoms.symbols == "P", atoms.symbols == "S")])
    assert distances[:, :4] == pytest.approx(bond, rel=MOST_DISTORTION)
    assert shortest_distances_A([atoms])["S-S"] >= 1.3 * 2 * covalent_radii[atomic_numbers["S"]]


def test_sulphide_that_no_polyanion_takes_is_left_free() -> None:
    atoms = pack(glass(composition={"Li2S": 4, "P2S5": 1}, polyanions={"PS4": 1}, density_g_per_cm3=1.5))
    bridges = units_of(atoms, "S", "P")
    # Li8P2S9 is 2 PS4 and one sulphide ion.
    assert (bridges.count(0), bridges.count(1)) == (5, 40)


def test_polyanions_that_leave_centres_over_are_told() -> None:
    with pytest.raises(InputError, match="do not use up the centres of Li28 P12 S44: 1 P would be left over"):
        pack(glass(composition={"Li2S": 7, "P2S5": 3}, atoms=84, polyanions={"PS4": 1}))
    with pytest.raises(ValidationError, match="is no polyanion that can be packed"):
        glass(polyanions={"Li2S9": 1})


def test_shapes_of_polyanions_are_tetrahedra_at_a_corner_or_at_a_bond() -> None:
    for formula, bridging, bound in (("PS4", 0, 0), ("P2S7", 1, 0), ("P2S6", 0, 1)):
        one = polyanion(formula, bond_A=2.05)
        atoms = Atoms(one.symbols, one.positions)
        distances = atoms.get_all_distances()
        is_centre = np.array(one.symbols) == "P"
        bonds = np.isclose(distances[np.ix_(is_centre, ~is_centre)], 2.05)
        assert (bonds.sum(axis=0) == 2).sum() == bridging
        assert (bonds.sum(axis=1) == (3 if bound else 4)).all()
        ligands = distances[np.ix_(~is_centre, ~is_centre)]
        # Edges of a tetrahedron: no two ligands are closer, in P2S7 and P2S6 neither.
        assert ligands[ligands > 0].min() == pytest.approx(2.05 * np.sqrt(8 / 3))
        assert one.positions.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_compositions_are_written_in_mole_percent() -> None:
    assert glass(composition={"Li2S": 75, "P2S5": 25}).counts == glass().counts
    # 29 Li2S + 11 P2S5.
    assert glass(composition={"Li2S": 72.5, "P2S5": 27.5}).counts == {"Li": 58, "P": 22, "S": 84}
    with pytest.raises(ValidationError, match="takes 4332 atoms, atoms says 100: write it with whole numbers"):
        glass(composition={"Li2S": 66.7, "P2S5": 33.3})


def test_settings_without_polyanions_are_written_as_before_there_were_any() -> None:
    assert "polyanions" not in glass().model_dump()
    assert glass(polyanions={"PS4": 1}).model_dump()["polyanions"] == {"PS4": 1}
