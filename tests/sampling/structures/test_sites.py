"""Candidate sites of the mobile ion."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import get_distances

from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.structures.sites import (
    LITHIUM_MINIMUM_DISTANCES_A,
    MERGE_RADIUS_A,
    candidate_sites,
    default_minimum_distances,
)

SAME_SITE_A = 1e-4
# Centres of merged groups may lie a little nearer to the framework than the vertices that were checked.
CENTRE_SLACK_A = 0.1


def distances_between(first: np.ndarray, second: np.ndarray, atoms: Atoms) -> np.ndarray:
    return get_distances(first, second, cell=atoms.cell, pbc=True)[1]


def test_li7p3s11_has_the_known_sites() -> None:
    atoms = build_crystal("li7p3s11")
    sites = candidate_sites(atoms)
    lithium = atoms.positions[atoms.symbols == "Li"]
    distances = distances_between(lithium, sites.positions, atoms)
    assert len(sites.positions) == 78
    assert sites.n_crystal == 14
    assert (distances.min(axis=1) < 0.8).sum() == 14
    assert (distances.min(axis=0) > 1.5).sum() == 44


def test_holes_of_the_framework_alone_find_every_crystal_site() -> None:
    """One Li far from where it belongs: its crystal site is found as a hole."""
    atoms = build_crystal("li7p3s11")
    lithium = np.flatnonzero(atoms.symbols == "Li")
    stripped = atoms.copy()
    del stripped[lithium[1:]]
    sites = candidate_sites(stripped)
    distances = distances_between(atoms.positions[lithium], sites.positions, atoms)
    assert (distances.min(axis=1) < 0.8).all()


def test_sites_keep_their_distances() -> None:
    atoms = build_crystal("li7p3s11")
    sites = candidate_sites(atoms)
    holes = sites.positions[sites.n_crystal :]
    for symbol, distance in (("S", 2.2), ("P", 2.6)):
        framework = atoms.positions[atoms.symbols == symbol]
        assert distances_between(holes, framework, atoms).min() > distance - CENTRE_SLACK_A
    to_crystal = distances_between(holes, sites.positions[: sites.n_crystal], atoms)
    assert to_crystal.min() > MERGE_RADIUS_A
    fractional = sites.positions @ np.linalg.inv(atoms.cell.array)
    assert fractional.min() >= 0
    assert fractional.max() < 1


def test_sites_do_not_depend_on_the_description_of_the_crystal() -> None:
    atoms = build_crystal("li7p3s11")
    reference = candidate_sites(atoms)
    shift = np.array([1.7, -3.2, 9.1])
    described = atoms[np.random.default_rng(0).permutation(len(atoms))]
    described.positions += shift
    described.set_cell(np.array([[1, 0, 0], [1, 1, 0], [-1, 2, 1]]) @ atoms.cell.array)
    sites = candidate_sites(described)
    assert len(sites.positions) == len(reference.positions)
    distances = distances_between(sites.positions - shift, reference.positions, atoms)
    assert distances.min(axis=1).max() < SAME_SITE_A


def test_supercell_repeats_the_sites() -> None:
    atoms = build_crystal("beta-li3ps4")
    assert len(candidate_sites(atoms.repeat((1, 2, 1))).positions) == 2 * len(candidate_sites(atoms).positions)


def test_face_centred_cubic_anions_have_their_octahedral_and_tetrahedral_holes() -> None:
    atoms = bulk("LiS", "rocksalt", a=5.4, cubic=True)
    sites = candidate_sites(atoms)
    assert sites.n_crystal == 4
    # Four octahedral holes are the crystal sites; eight tetrahedral ones lie at quarters of the cell.
    holes = np.sort(sites.positions[4:] / 5.4 % 0.5, axis=None)
    assert len(sites.positions) == 12
    np.testing.assert_allclose(holes, 0.25, atol=1e-6)


def test_given_distances_override_the_defaults() -> None:
    atoms = build_crystal("li7p3s11")
    wide = candidate_sites(atoms, minimum_distances={"S": 1.0, "P": 1.0})
    narrow = candidate_sites(atoms, minimum_distances={"S": 2.4, "P": 2.8})
    assert len(wide.positions) > 78 > len(narrow.positions)


def test_default_distances() -> None:
    assert default_minimum_distances({"S", "P", "La"}) == {"La": 2.6, "P": 2.6, "S": 2.2}
    sodium = default_minimum_distances({"S"}, "Na")
    assert sodium["S"] == pytest.approx(LITHIUM_MINIMUM_DISTANCES_A["S"] + 0.26)
    with pytest.raises(InputError, match="Xe as the mobile ion"):
        default_minimum_distances({"S"}, "Xe")


def test_structures_without_sites_are_refused() -> None:
    with pytest.raises(InputError, match="holds no Na"):
        candidate_sites(build_crystal("li7p3s11"), mobile="Na")
    with pytest.raises(InputError, match="no framework"):
        candidate_sites(bulk("Li", "bcc", a=3.5))
    with pytest.raises(InputError, match="periodic"):
        candidate_sites(Atoms("LiS", positions=[[0, 0, 0], [2, 0, 0]]))
