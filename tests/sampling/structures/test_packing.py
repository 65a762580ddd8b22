"""Structures from a composition: what goes into the box, how dense, how close, and what cannot be packed."""

from __future__ import annotations

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers, covalent_radii
from pydantic import ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.seen_contacts import shortest_distances_A
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.structures.packing import (
    DATA_FRACTION,
    Composition,
    allowed_distances,
    pack,
    unit_of,
)

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
