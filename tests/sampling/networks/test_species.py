"""Species of networks: crystals whose anions are known, clusters built by hand, real configurations, other elements."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from pydantic import ValidationError

from ionloop.sampling.networks.settings import NetworkSettings
from ionloop.sampling.networks.species import CHAINS, FREE, NETWORK, OTHERS, centre_classes, classify
from ionloop.sampling.structures.crystals import build_crystal

LPS = Path(__file__).parents[5] / "shared" / "data" / "lps_vasp"
BOND_A = 2.05
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
PERCENT_TOLERANCE = 0.1


def cluster(symbols: str, positions_A: list[list[float]]) -> Atoms:
    """Return atoms in the middle of a large box."""
    return Atoms(symbols, positions=np.array(positions_A) + 15.0, cell=[30.0] * 3, pbc=True)


def chain(n: int, *, capped: bool) -> Atoms:
    """Return n corner-sharing tetrahedra in a row: P_n S_3n+1, or without one ligand at the end."""
    symbols, positions = ["S"], [[0.0, 0.0, 0.0]]
    for number in range(n):
        x = 4.1 * number
        symbols += ["P", "S", "S", "S"]
        positions += [[x + 2.05, 0, 0], [x + 2.3, 2.0, 0], [x + 2.3, -2.0, 0.1], [x + 4.1, 0, 0]]
    if not capped:
        del symbols[0], positions[0]
    return Atoms(symbols, positions=np.array(positions) + np.array([3.0, 15.0, 15.0]), cell=[60, 30, 30], pbc=True)


@pytest.mark.parametrize(
    ("crystal", "percent", "bridges"),
    [
        ("li7p3s11", {"P2S7": 200 / 3, "PS4": 100 / 3}, {0: 100 / 3, 1: 200 / 3}),
        ("beta-li3ps4", {"PS4": 100.0}, {0: 100.0}),
        ("gamma-li3ps4", {"PS4": 100.0}, {0: 100.0}),
        ("li4p2s6", {"P2S6 (P-P)": 100.0}, {0: 100.0}),
    ],
)
def test_crystals_consist_of_their_anions(crystal: str, percent: dict[str, float], bridges: dict[int, float]) -> None:
    for atoms in (build_crystal(crystal), build_crystal(crystal).repeat((1, 2, 1))):
        found = classify(atoms)
        assert found.percent_of_centres() == pytest.approx(percent)
        assert found.percent_of_centres(by_family=True) == pytest.approx(percent)
        assert found.percent_by_bridges == pytest.approx(bridges)
        assert (found.imbalance_e, found.free_ligands) == (0, {})
        assert sorted(centre_classes(atoms)) == [place for place, one in enumerate(atoms.symbols) if one == "P"]


@pytest.mark.parametrize(
    ("atoms", "name", "family", "charge_e"),
    [
        (cluster("PS4", [[0, 0, 0], *(BOND_A * TETRAHEDRON).tolist()]), "PS4", "PS4", -3),
        (cluster("PS3", [[0, 0, 0], *(BOND_A * TETRAHEDRON[:3]).tolist()]), "PS3", OTHERS, -1),
        (chain(2, capped=True), "P2S7", "P2S7", -4),
        (chain(2, capped=False), "P2S6 (chain)", CHAINS, -2),
        (chain(4, capped=True), "P4S13 (chain)", CHAINS, -6),
        (chain(13, capped=True), "network (more than 12 centres)", NETWORK, -15),
        (cluster("PSSPSSSS", [[0, 0, 0], [1.4, 1.4, 0], [1.4, -1.4, 0], [2.8, 0, 0], [-1, 0, 1.8], [-1, 0, -1.8],
                              [3.8, 0, 1.8], [3.8, 0, -1.8]]), "P2S6 (shared edge)", "P2S6 (shared edge)", -2),
        (cluster("PP", [[0, 0, 0], [2.2, 0, 0]]), "P2 (P-P)", OTHERS, 8),
        (cluster("S", [[0, 0, 0]]), "S", FREE, -2),
        (cluster("S3", [[0, 0, 0], [2.05, 0, 0], [3, 1.8, 0]]), "S3", FREE, -2),
    ],
)  # fmt: skip
def test_clusters_are_named_and_charged(atoms: Atoms, name: str, family: str, charge_e: int) -> None:
    found = classify(atoms)
    assert [(one.name, one.family, one.charge_e) for one in found.species] == [(name, family, charge_e)]
    assert found.counts == (1,)
    assert found.imbalance_e == charge_e


def test_a_bond_of_ligands_joins_no_species_and_is_counted() -> None:
    one = cluster("PS4", [[0, 0, 0], *(BOND_A * TETRAHEDRON).tolist()])
    other = one.copy()
    other.positions += (2 * BOND_A + 2.1) * TETRAHEDRON[0]
    other.positions[1:] = 2 * other.positions[0] - other.positions[1:]
    found = classify(one + other)
    assert (found.percent_of_centres(), found.ligand_bonds, found.imbalance_e) == ({"PS4": 100.0}, 1, -4)


def test_species_are_those_of_any_order_and_any_image() -> None:
    crystal = build_crystal("li7p3s11").repeat((2, 1, 1))
    random = np.random.default_rng(0)
    mixed = crystal[random.permutation(len(crystal))]
    mixed.positions += random.integers(-3, 4, (len(mixed), 3)) @ crystal.cell.array
    assert classify(mixed).percent_of_centres() == pytest.approx(classify(crystal).percent_of_centres())
    assert Counter(centre_classes(mixed).values()) == Counter(centre_classes(crystal).values())


def test_other_networks_are_described_alike() -> None:
    quartz_like = bulk("Si", "diamond", a=7.16).repeat(2)
    bonds = [
        (i, j) for i in range(len(quartz_like)) for j in range(i) if quartz_like.get_distance(i, j, mic=True) < 3.2
    ]
    middle = [quartz_like.positions[i] + quartz_like.get_distance(i, j, mic=True, vector=True) / 2 for i, j in bonds]
    cristobalite = quartz_like + Atoms(["O"] * len(middle), positions=middle)
    found = classify(cristobalite, NetworkSettings(centres=("Si",), ligands=("O",)))
    assert found.percent_of_centres(by_family=True) == {NETWORK: 100.0}
    assert (found.percent_by_bridges, found.imbalance_e) == ({4: 100.0}, 0)
    borohydride = cluster("BH4", [[0, 0, 0], *(1.22 * TETRAHEDRON).tolist()])
    (anion,) = classify(borohydride, NetworkSettings(centres=("B",), ligands=("H",))).species
    assert (anion.name, anion.charge_e) == ("BH4", -1)
    # A mobile ion of unknown charge: the balance is not known.
    borohydride += Atoms("Xe", positions=[[3, 3, 3]])
    assert classify(borohydride, NetworkSettings(centres=("B",), ligands=("H",))).imbalance_e is None


def test_a_structure_without_centres_has_none() -> None:
    found = classify(Atoms("Li2S", positions=[[0, 0, 0], [3, 0, 0], [0, 3, 0]], cell=[9.0] * 3, pbc=True))
    assert (found.n_centres, found.percent_of_centres(), found.free_ligands, found.imbalance_e) == (0, {}, {"S": 1}, 0)
    assert classify(Atoms("Li", cell=[9.0] * 3, pbc=True)).species == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"centres": ("P", "S")}, "cannot be a centre and a ligand"),
        ({"centres": ("p",)}, "did you mean P"),
        ({"cutoffs_A": {"P-O": 2.0}}, "no pair of P, S"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NetworkSettings.model_validate(settings)


@pytest.mark.skipif(not LPS.exists(), reason="the configurations lie beside the project, not in it")
@pytest.mark.parametrize(
    ("name", "percent"),
    [
        ("li7p3s11", {"PS4": 41.7, "P2S7": 33.3, "P3S8 (P-P, 1 bridge)": 25.0}),
        ("li3ps4", {"PS4": 62.5, "P2S7": 12.5, "P2S6 (chain)": 12.5, "P2S5 (1 bridge)": 12.5}),
    ],
)
def test_real_configurations_consist_of_what_was_counted(name: str, percent: dict[str, float]) -> None:
    found: Counter[str] = Counter()
    structures = [atoms for atoms in read(LPS / f"{name}.xyz", ":") if len(atoms) > 1]
    for atoms in structures:
        found.update(centre_classes(atoms).values())
    total = sum(found.values())
    assert {one: 100 * count / total for one, count in found.items()} == pytest.approx(percent, abs=PERCENT_TOLERANCE)
