"""Species along trajectories: shares, reactions, memory of bonds, charge that is left, curves against time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from ionloop.analysis.distributions import chi2_quantile
from ionloop.analysis.speciation.frames import NetworkRun
from ionloop.analysis.speciation.settings import SpeciesSettings
from ionloop.analysis.speciation.speciation import analyse_speciation
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.core.errors import InputError
from ionloop.sampling.networks.settings import NetworkSettings
from ionloop.sampling.structures.crystals import build_crystal

PBE_DATA = Path("/work/shared/data/lps_vasp")
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
BOND_A = 2.05
FRAME_FS = 10.0


def shares(found, what: str = "species") -> dict[str, float]:
    return {one.name: round(one.percent, 1) for one in getattr(found.result, what)}


def crystal_run(name: str) -> NetworkRun:
    return NetworkRun.of_structures([build_crystal(name)], name)


@pytest.mark.parametrize(
    ("crystal", "expected", "bridges"),
    [
        ("li7p3s11", {"P2S7": 66.7, "PS4": 33.3}, {"0": 33.3, "1": 66.7}),
        ("beta-li3ps4", {"PS4": 100.0}, {"0": 100.0}),
        ("gamma-li3ps4", {"PS4": 100.0}, {"0": 100.0}),
        ("li4p2s6", {"P2S6 (P-P)": 100.0}, {"0": 100.0}),
    ],
)
def test_crystals_have_the_species_that_are_known(crystal: str, expected: dict, bridges: dict) -> None:
    found = analyse_speciation([crystal_run(crystal)], SpeciesSettings())
    assert shares(found) == shares(found, "families") == expected
    assert shares(found, "bridges") == bridges
    assert (found.result.imbalance_e, found.result.balanced_percent, found.result.made) == (0.0, 100.0, None)
    assert found.result.free_ligands == ()
    assert "5 or more are needed" in found.result.interval_reason


@pytest.mark.skipif(not PBE_DATA.is_dir(), reason="the data are not here")
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("li7p3s11", {"PS4": 41.7, "P2S7": 33.3, "P3S8 (P-P, 1 bridge)": 25.0}),
        ("p2s5", {"P5S12": 62.5, "P3S5": 37.5}),
    ],
)
def test_disordered_configurations_have_the_species_that_were_counted(file: str, expected: dict) -> None:
    structures = read(PBE_DATA / f"{file}.xyz", ":")
    found = shares(analyse_speciation([NetworkRun.of_structures(structures, file)], SpeciesSettings()))
    by_formula: dict[str, float] = {}
    for name, percent in found.items():
        key = name if name in expected else name.split(" (")[0]
        by_formula[key] = round(by_formula.get(key, 0.0) + percent, 1)
    assert by_formula == expected


def tetrahedra(distance_A: float) -> Atoms:
    """Two PS4 that come to share a ligand: the first of the second one is also of the first where it is near."""
    first = np.vstack([np.zeros(3), BOND_A * TETRAHEDRON])
    second = first + np.array([9.0, 0.0, 0.0])
    atoms = Atoms("PS4PS4Li6", np.vstack([first, second, np.full((6, 3), 15.0) + np.arange(6)[:, None]]))
    atoms.set_cell([25.0] * 3)
    atoms.pbc = True
    # The last ligand of the second one at a distance from its own centre.
    atoms.positions[9] = second[0] + distance_A * TETRAHEDRON[3]
    return atoms


def trajectory(distances_A: list[float]) -> NetworkRun:
    frames = [tetrahedra(one) for one in distances_A]
    positions = np.array([one.positions for one in frames])
    symbols = tuple(frames[0].get_chemical_symbols())
    return NetworkRun.of_trajectory(Trajectory(symbols, positions, frames[0].cell.array, FRAME_FS, name="two"))


def test_a_ligand_that_leaves_is_a_reaction_and_leaves_a_charge() -> None:
    run = trajectory([BOND_A] * 40 + [4.0] * 60)
    found = analyse_speciation([run], SpeciesSettings())
    # Six frames remember the bond: 50 fs are five intervals.
    gone = 60 - 5
    assert shares(found) == {"PS4": round(100.0 - gone / 2, 1), "PS3": gone / 2}
    assert shares(found, "free_ligands") == {"S": gone / 2}
    assert (found.result.made, found.result.broken) == (0, 1)
    # PS3 + S²⁻ hold what PS4³⁻ held: nothing is left over.
    assert found.result.imbalance_e == 0.0
    assert found.result.length_ps == pytest.approx(0.99)
    curve = dict(zip([one.name for one in found.result.families], found.family_percent, strict=True))
    assert curve["PS4"][[0, 44, 45, 99]].tolist() == [100.0, 100.0, 50.0, 50.0]
    assert found.times_ps[-1] == pytest.approx(0.99)
    np.testing.assert_allclose(found.family_percent.sum(axis=0), 100.0)


def test_a_bond_that_is_stretched_for_a_moment_is_no_reaction() -> None:
    run = trajectory([BOND_A] * 20 + [3.0] * 4 + [BOND_A] * 20)
    found = analyse_speciation([run], SpeciesSettings())
    assert (found.result.made, found.result.broken, shares(found)) == (0, 0, {"PS4": 100.0})
    assert any("no bond was made or broken" in one for one in found.result.warnings)
    hasty = analyse_speciation([run], SpeciesSettings(patience_fs=20.0))
    assert (hasty.result.made, hasty.result.broken) == (1, 1)


def test_without_a_change_the_rate_is_a_bound() -> None:
    found = analyse_speciation([trajectory([BOND_A] * 101)] * 3, SpeciesSettings()).result
    most = chi2_quantile(0.975, 2) / 2
    assert found.changes_per_centre_per_ns == found.changes_low_per_ns == 0.0
    assert found.changes_high_per_ns == pytest.approx(most / (2 * 3 * 1e-3))
    assert all(one.half_width is None for one in found.species), "what never varies does not tell how well it is known"


def test_shares_of_an_equilibrium_have_intervals_that_hold_them() -> None:
    random = np.random.default_rng(3)
    inside = 0
    for _ in range(40):
        # Structures of their own, each broken with the same probability.
        structures = [tetrahedra(4.0 if broken else BOND_A) for broken in random.random(60) < 0.3]
        result = analyse_speciation([NetworkRun.of_structures(structures, "many")], SpeciesSettings()).result
        share = next(one for one in result.species if one.name == "PS3")
        inside += abs(share.percent - 15.0) <= share.half_width
    assert inside >= 35, "95 % of 40, less three standard deviations of the count"


def test_frames_that_are_far_apart_are_told() -> None:
    run = trajectory([BOND_A] * 10)
    slow = NetworkRun(run.structures, 200.0, "slow")
    assert "200 fs apart" in " ".join(analyse_speciation([slow], SpeciesSettings()).result.warnings)
    thinned = analyse_speciation([run], SpeciesSettings(most_frames=4))
    assert (thinned.result.frames, thinned.result.length_ps) == (4, pytest.approx(0.09))


def test_other_networks_and_isolated_clusters() -> None:
    germanium = Atoms("GeS4Li4", np.vstack([np.zeros((1, 3)), 2.2 * TETRAHEDRON, 8.0 * TETRAHEDRON]))
    settings = SpeciesSettings(network=NetworkSettings(centres=("Ge",)))
    found = analyse_speciation([NetworkRun.of_structures([germanium], "cluster")], settings).result
    assert [(one.name, one.charge_e) for one in found.species] == [("GeS4", -4)]
    assert (found.network, found.imbalance_e) == ("Ge with S", 0.0)
    hydride = Atoms("BH4Na", np.vstack([np.zeros((1, 3)), 1.22 * TETRAHEDRON, [[0.0, 0.0, 3.0]]]))
    settings = SpeciesSettings(network=NetworkSettings(centres=("B",), ligands=("H",)))
    found = analyse_speciation([NetworkRun.of_structures([hydride], "cluster")], settings).result
    assert [(one.name, one.charge_e) for one in found.species] == [("BH4", -1)]


def test_nothing_to_look_at_is_told() -> None:
    with pytest.raises(InputError, match="there is no P"):
        analyse_speciation([NetworkRun.of_structures([Atoms("Li2S")], "no centre")], SpeciesSettings())
    with pytest.raises(InputError, match="no frame"):
        analyse_speciation([], SpeciesSettings())
