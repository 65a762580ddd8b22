"""Which hops get a path, and what is before and after them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from ionloop.analysis.hops.detection import HopAnalysis, detect_hops
from ionloop.analysis.hops.hop_paths import (
    FASTEST,
    MOST_FREQUENT,
    HopSource,
    averaged_ends,
    class_paths,
    crossing_paths,
    crossings,
    hop_classes,
    nearest_free_sites,
    ranked,
    repeated,
    together,
)
from ionloop.analysis.hops.settings import HopSettings
from ionloop.analysis.hops.site_map import SiteMap
from ionloop.core.errors import InputError
from ionloop.sampling.structures.crystals import build_crystal

FRAME_PS = 0.1
CELL = np.diag([12.0, 9.0, 9.0])
PLACES = np.array([[1.0, 1, 1], [4.0, 1, 1], [7.0, 1, 1], [10.0, 1, 1], [1.0, 5, 5]])
SITES = SiteMap(PLACES, CELL, np.ones(5, dtype=bool))
FRAMEWORK = np.array([[5.0, 5, 5], [2.0, 7, 2]])


def source(*stays: list[tuple[int, int, float]]) -> HopSource:
    """Ions by their stays: site, image along x, length (ps); two framework atoms that rest."""
    columns = []
    for one in stays:
        blocks = [np.tile(PLACES[site] + [12.0 * image, 0, 0], (round(ps / FRAME_PS), 1)) for site, image, ps in one]
        columns.append(np.concatenate(blocks))
    ions = np.stack(columns, axis=1)
    positions = np.concatenate([ions, np.tile(FRAMEWORK, (len(ions), 1, 1))], axis=1)
    atoms = Atoms("Li" * len(stays) + "S2", positions=positions[0], cell=CELL, pbc=True)
    analysis = detect_hops(ions, SITES, FRAME_PS, HopSettings())
    return HopSource(atoms, np.arange(len(stays)), [positions], [analysis])


def analyses(*stays: list[tuple[int, int, float]]) -> list[HopAnalysis]:
    return list(source(*stays).analyses)


BACK_AND_FORTH = [(0, 0, 6.0), (1, 0, 6.0), (0, 0, 6.0), (1, 0, 6.0), (0, 0, 6.0), (1, 0, 10.0)]
QUICK = [(4, 0, 36.0), (2, 0, 2.0), (3, 0, 2.0)]


def test_hops_both_ways_are_one_class_and_the_most_frequent_comes_first():
    classes = hop_classes(analyses(BACK_AND_FORTH, QUICK))
    assert [len(one.members) for one in classes] == [5, 1, 1]
    assert classes[0].sites == (0, 1)
    assert classes[0].length_A == pytest.approx(3.0)
    assert classes[0].rate_per_ps == pytest.approx(5 / 40, rel=0.02)


def test_the_most_frequent_and_the_fastest_take_turns():
    often = [(0, 0, 10.0), (1, 0, 10.0)] * 6
    soon = [(4, 0, 100.0), (2, 0, 1.2), (3, 0, 1.2), (2, 0, 1.2), (3, 0, 1.2), (2, 0, 15.2)]
    order = ranked(hop_classes(analyses(often, soon)))
    assert [choice for choice, _ in order[:2]] == [MOST_FREQUENT, FASTEST]
    assert order[0][1].sites == (0, 1)
    assert order[1][1].sites == (2, 3)


def test_an_ion_that_hops_twice_across_the_cell_is_found():
    far = SiteMap(np.array([[1.0, 1, 1], [7.0, 1, 1]]), CELL, np.ones(2, dtype=bool))
    path = np.concatenate([np.tile([x, 1.0, 1.0], (50, 1)) for x in (1.0, 7.0, 13.0)])[:, None]
    analysis = detect_hops(path, far, FRAME_PS, HopSettings())
    found, reason = crossings([analysis], (1, 1, 1))
    assert reason == ""
    assert (found[0].first, found[0].second, found[0].ions) == (0, 1, 1)
    assert found[0].advance_A == pytest.approx(12.0)


def test_two_ions_that_follow_each_other_cross_the_cell_together():
    leads, follows = [(2, 0, 10.0), (4, 1, 10.0)], [(0, 0, 13.0), (2, 0, 7.0)]
    found, _ = crossings(analyses(leads, follows), (2, 1, 1))
    assert [(one.first, one.second, one.ions) for one in found] == [(0, 1, 2)]


def test_where_nothing_crosses_the_cell_it_is_said_how_far_hops_got():
    found, reason = crossings(analyses(BACK_AND_FORTH, [*QUICK[:1], (4, 0, 4.0)]), (1, 1, 1))
    assert found == []
    assert "along a" in reason
    assert "of 12.0 Å" in reason
    assert crossings(analyses([(0, 0, 10.0)]), (1, 1, 1)) == ([], "the trajectories have no two hops in a row")


def test_the_paths_of_a_crossing_share_the_state_between_them():
    given = source([(0, 0, 10.0), (2, 0, 10.0), (0, 1, 10.0)])
    found, _ = crossings(given.analyses, (1, 1, 1))
    first, second = crossing_paths(given, found[0], average_ps=1.0)
    assert np.array_equal(first.final.positions, second.initial.positions)
    assert second.final.positions[0, 0] == pytest.approx(13.0)
    assert "by one ion" in first.choice


def test_frames_before_and_after_are_averaged_between_hops_of_others():
    given = source([(0, 0, 10.0), (1, 0, 10.0)], [(2, 0, 9.5), (3, 0, 10.5)])
    analysis = given.analyses[0]
    hop = int(np.flatnonzero(analysis.hops.ion == 0)[0])
    before, after, quiet = averaged_ends(given.positions[0], analysis, hop, average_ps=2.0)
    # The other ion hopped 0.5 ps before: none of its earlier frames are in the average.
    assert before[1] == pytest.approx(PLACES[3])
    assert before[0] == pytest.approx(PLACES[0])
    assert after[0] == pytest.approx(PLACES[1])
    assert quiet < 0.6


def test_every_class_gets_a_path_with_the_same_atoms_in_the_same_order():
    paths = class_paths(source(BACK_AND_FORTH, QUICK), average_ps=1.0)
    assert len(paths) == 3
    assert paths[0].observed == 5
    assert paths[0].choice == MOST_FREQUENT
    for path in paths:
        moved = np.linalg.norm(path.final.positions - path.initial.positions, axis=1)
        assert np.flatnonzero(moved > 1.0).tolist() == list(path.moving)
        assert path.initial.get_chemical_symbols() == ["Li", "Li", "S", "S"]
    with pytest.raises(InputError, match="no hops"):
        class_paths(source([(0, 0, 5.0)]), average_ps=1.0)


def test_the_nearest_free_sites_of_a_real_crystal():
    crystal = build_crystal("li7p3s11")
    paths = nearest_free_sites(crystal, "Li", 4)
    lengths = [path.jump_A for path in paths]
    assert len(paths) == 4
    assert lengths == sorted(set(lengths))
    assert np.diff(lengths).min() > 0.005, "symmetric copies are no other hops"
    assert 1.5 < lengths[0] < 4.5
    for path in paths:
        moved = np.linalg.norm(path.final.positions - crystal.positions, axis=1)
        assert np.flatnonzero(moved > 0).tolist() == list(path.moving)
        assert crystal.symbols[path.moving[0]] == "Li"
        assert moved.max() == pytest.approx(path.jump_A)


def test_only_one_copy_hops_in_a_supercell():
    path = nearest_free_sites(build_crystal("li7p3s11"), "Li", 1)[0]
    larger = repeated(path, (2, 1, 1))
    assert len(larger.initial) == 84
    moved = np.linalg.norm(larger.final.positions - larger.initial.positions, axis=1)
    assert np.flatnonzero(moved > 0).tolist() == list(path.moving)


def test_ends_that_relax_together_are_no_path():
    initial = Atoms("LiS", positions=[[0, 0, 0], [3, 0, 0]], cell=[9, 9, 9], pbc=True)
    final = initial.copy()
    final.positions[0, 0] = 0.3
    assert "farther than 0.30 Å" in together(initial, final, "Li", 0.7)
    final.positions[0, 0] = 2.0
    assert together(initial, final, "Li", 0.7) == ""
