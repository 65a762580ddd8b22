"""Hops in a trajectory whose hops are known: found, dated, joined into events; noise, rattles and drift are not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase import Atoms

from ionloop.analysis.hops.detection import (
    Hops,
    concerted_by_chance,
    detect_hops,
    find_sites,
    still_positions,
    summarise,
)
from ionloop.analysis.hops.hop_counts import poisson_interval
from ionloop.analysis.hops.settings import HopSettings
from ionloop.analysis.hops.site_map import PeriodicTree, SiteMap, refined_sites
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.core.errors import InputError

FRAME_PS = 0.05
THERMAL_A = 0.35
RECALL = PRECISION = 0.98
TIME_TOLERANCE_FRAMES = 8
SITE_TOLERANCE_A = 0.2
CELL = np.array([[9.0, 0.0, 0.0], [1.5, 9.5, 0.0], [-1.0, 2.0, 10.0]])


@dataclass(frozen=True)
class KnownWalk:
    """Positions of ions, [n_frames, n_ions, 3] (Å), and their hops as (ion, from, to, frame of the middle)."""

    positions: np.ndarray
    hops: list[tuple[int, int, int, int]]
    sites: SiteMap


def grid_sites(n: int = 3) -> SiteMap:
    fractions = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) / n
    return SiteMap((fractions + 0.1) @ CELL, CELL, np.ones(n**3, dtype=bool))


def known_walk(n_ions: int = 12, n_frames: int = 6000, seed: int = 1, rattles: bool = True) -> KnownWalk:
    """Ions that stay 2 to 12 ps, hop to a neighbouring site in 0.2 ps, vibrate, and now and then look next door."""
    random = np.random.default_rng(seed)
    sites, n = grid_sites(), 3
    noise = random.normal(0.0, THERMAL_A, (n_frames, n_ions, 3))
    # Vibrations last longer than a frame.
    for frame in range(1, n_frames):
        noise[frame] = 0.8 * noise[frame - 1] + 0.6 * noise[frame]
    positions = noise
    hops = []
    for ion in range(n_ions):
        place = np.array(np.unravel_index(random.integers(n**3), (n, n, n)))
        frame = 0
        while frame < n_frames:
            stay, crossing = int(random.uniform(2.0, 12.0) / FRAME_PS), 4
            here = (place / n + 0.1) @ CELL
            positions[frame : frame + stay, ion] += here
            if rattles and random.random() < 0.5 and frame + stay < n_frames:
                look = _neighbour(place, random)
                start = frame + stay // 2
                positions[start : start + 5, ion] += (look / n + 0.1) @ CELL - here
            frame += stay
            if frame + crossing >= n_frames:
                break
            onward = _neighbour(place, random)
            fractions = (np.arange(crossing) + 0.5) / crossing
            path = place + fractions[:, None] * (onward - place)
            positions[frame : frame + crossing, ion] += (path / n + 0.1) @ CELL
            old, new = (int(np.ravel_multi_index(tuple(p % n), (n, n, n))) for p in (place, onward))
            # A stay that the end of the trajectory cuts short is no proof of a hop.
            if (n_frames - frame - crossing) * FRAME_PS > 2.0:
                hops.append((ion, old, new, frame + crossing // 2))
            place, frame = onward, frame + crossing
        positions[frame:, ion] += (place / n + 0.1) @ CELL
    return KnownWalk(positions, hops, sites)


def _neighbour(place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    step = np.zeros(3, dtype=int)
    step[random.integers(3)] = random.choice([-1, 1])
    return place + step


def agreement(found: Hops, known: KnownWalk) -> tuple[float, float]:
    """Return recall and precision: the same ion between the same sites at the same time."""
    middle = (found.leave + found.arrive) / 2
    left = set(range(len(found)))
    matched = 0
    for ion, old, new, frame in known.hops:
        same = (found.ion == ion) & (found.from_site == old) & (found.to_site == new)
        same &= np.abs(middle - frame) <= TIME_TOLERANCE_FRAMES
        hits = [int(i) for i in np.flatnonzero(same) if int(i) in left]
        if hits:
            left.discard(hits[0])
            matched += 1
    late = {i for i in left if found.arrive[i] * FRAME_PS > len(known.positions) * FRAME_PS - 2.2}
    return matched / len(known.hops), matched / (len(found) - len(late))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_known_hops_are_found_among_noise_and_rattles(seed):
    known = known_walk(seed=seed)
    analysis = detect_hops(known.positions, known.sites, FRAME_PS, HopSettings())
    recall, precision = agreement(analysis.hops, known)
    assert len(known.hops) > 300
    assert recall > RECALL
    assert precision > PRECISION
    assert analysis.mean_residence_ps == pytest.approx(7.0, abs=1.0)
    assert analysis.occupancy.sum() == pytest.approx(12, abs=0.5)


def test_drift_of_the_whole_cell_changes_nothing():
    known = known_walk(n_ions=4, n_frames=3000)
    framework = np.random.default_rng(5).uniform(size=(8, 3)) @ CELL
    positions = np.concatenate([known.positions, np.broadcast_to(framework, (3000, 8, 3))], axis=1)
    slide = np.linspace(0, 1, 3000)[:, None] * np.array([7.0, -4.0, 2.0])
    symbols = ("Li",) * 4 + ("Au",) * 8
    crystal = Atoms(symbols, positions=positions[0], cell=CELL, pbc=True)
    still = still_positions(Trajectory(symbols, positions + slide[:, None] + 0.7, CELL, 50.0), "Li", crystal)
    assert still == pytest.approx(positions, abs=1e-9)
    with_drift = detect_hops(still[:, :4], known.sites, FRAME_PS, HopSettings())
    recall, precision = agreement(with_drift.hops, known)
    assert recall > RECALL
    assert precision > PRECISION


def test_a_long_look_next_door_is_a_rattle_until_it_lasts():
    sites = SiteMap(np.array([[1.0, 1, 1], [4.0, 1, 1]]), np.diag([8.0, 8, 8]), np.ones(2, dtype=bool))

    def hops(visit_ps: float) -> int:
        path = np.zeros(400, dtype=int)
        path[200 : 200 + round(visit_ps / FRAME_PS)] = 1
        positions = sites.positions[path][:, None]
        return len(detect_hops(positions, sites, FRAME_PS, HopSettings()).hops)

    assert [hops(ps) for ps in (0.3, 0.8, 1.2)] == [0, 0, 2]


def test_a_hop_through_a_site_without_stopping_is_one_hop():
    sites = SiteMap(np.array([[1.0, 1, 1], [4.0, 1, 1], [7.0, 1, 1]]), np.diag([20.0, 8, 8]), np.ones(3, dtype=bool))
    path = np.repeat([0, 1, 2], [100, 5, 100])
    analysis = detect_hops(sites.positions[path][:, None], sites, FRAME_PS, HopSettings())
    assert analysis.hops.from_site.tolist() == [0]
    assert analysis.hops.to_site.tolist() == [2]
    assert analysis.hops.jump_A[0] == pytest.approx([6.0, 0, 0])
    assert analysis.hops.residence_before_ps[0] == pytest.approx(5.0)


def test_a_hop_to_the_next_image_of_the_same_site_counts():
    cell = np.diag([3.0, 8.0, 8.0])
    sites = SiteMap(np.array([[0.5, 1, 1]]), cell, np.ones(1, dtype=bool))
    positions = sites.positions[0] + np.repeat([0, 1, 2], 50)[:, None, None] * cell[0]
    analysis = detect_hops(positions, sites, FRAME_PS, HopSettings())
    assert analysis.hops.jump_A == pytest.approx(np.array([[3.0, 0, 0], [3.0, 0, 0]]))
    summary = summarise([analysis])
    assert summary.net_displacement_A == pytest.approx((6.0, 0.0, 0.0))
    assert summary.diffusion_axis == 0


def test_ions_that_move_together_are_one_event():
    cell = np.diag([30.0, 8.0, 8.0])
    sites = SiteMap(
        np.array([[1.0, 1, 1], [4.0, 1, 1], [7.0, 1, 1], [20.0, 1, 1], [23.0, 1, 1]]), cell, np.ones(5, bool)
    )
    paths = np.array([np.repeat(pair, 100) for pair in ([0, 1], [1, 2], [3, 4])]).T
    paths[98:, 1] = 2
    analysis = detect_hops(sites.positions[paths], sites, FRAME_PS, HopSettings())
    summary = summarise([analysis])
    # The third hops at the same time, but far away.
    assert summary.event_sizes == {1: 1, 2: 1}
    assert summary.concerted_fraction == pytest.approx(2 / 3)


def test_ions_that_know_nothing_of_each_other_are_concerted_by_chance_only():
    """With so many hops in so little time some coincide: as many as the analysis says that chance brings."""
    known = known_walk(n_ions=12, n_frames=6000, seed=11)
    settings = HopSettings(concerted_window_ps=0.3, concerted_distance_A=6.0)
    analysis = detect_hops(known.positions, known.sites, FRAME_PS, settings)
    found, chance = summarise([analysis]).concerted_fraction, concerted_by_chance(analysis, settings)
    assert found > 0.1
    assert chance == pytest.approx(found, rel=0.25)


def test_ions_that_hop_together_are_more_concerted_than_chance():
    pair = known_walk(n_ions=1, n_frames=6000, seed=3)
    positions = np.concatenate([pair.positions, pair.positions + 3.0 * np.array([1.0, 0, 0])], axis=1)
    analysis = detect_hops(positions, pair.sites, FRAME_PS, HopSettings())
    assert summarise([analysis]).concerted_fraction > 0.9
    assert concerted_by_chance(analysis, HopSettings()) < 0.2


def test_occupancy_says_how_much_of_the_time_a_site_was_taken():
    sites = SiteMap(np.array([[1.0, 1, 1], [4.0, 1, 1]]), np.diag([8.0, 8, 8]), np.ones(2, dtype=bool))
    path = np.repeat([0, 1], [300, 100])
    analysis = detect_hops(sites.positions[path][:, None], sites, FRAME_PS, HopSettings())
    assert analysis.occupancy == pytest.approx([0.75, 0.25])
    assert analysis.stays.tolist() == [1, 1]


def test_sites_move_to_where_the_density_is():
    known = known_walk(n_ions=20, n_frames=2000)
    random = np.random.default_rng(0)
    truth = known.sites.positions
    # Every site expected half an Å off, one twice, one not at all, and one where no ion ever is.
    guesses = np.vstack([truth[1:], truth[3:4] + 0.3])
    guesses += random.normal(0.0, 0.3, guesses.shape)
    empty = (np.array([1.5, 1.5, 1.5]) / 3 + 0.1) @ CELL
    candidates = SiteMap(np.vstack([guesses, empty]), CELL, np.arange(len(guesses) + 1) < 5)
    refined = refined_sites(candidates, known.positions, core_A=0.8, merge_A=0.9, outer_A=1.4)
    index, _, distance = PeriodicTree(refined.positions, CELL, 1.0).nearest(truth)
    assert len(set(index.tolist())) == len(truth)
    assert distance.max() < SITE_TOLERANCE_A
    assert len(refined) == len(truth) + 1
    assert PeriodicTree(refined.positions, CELL, 1.0).nearest(empty[None])[2][0] < SITE_TOLERANCE_A


def test_known_hops_are_found_between_sites_that_are_found_themselves():
    known = known_walk(n_ions=20, n_frames=3000, seed=7)
    truth = known.sites
    guesses = truth.positions[2:] + np.random.default_rng(0).normal(0.0, 0.3, (len(truth) - 2, 3))
    candidates = SiteMap(guesses, CELL, np.ones(len(guesses), dtype=bool))
    refined = refined_sites(candidates, known.positions, core_A=0.8, merge_A=0.9, outer_A=1.4)
    hops = detect_hops(known.positions, refined, FRAME_PS, HopSettings()).hops
    renamed = PeriodicTree(truth.positions, CELL, 1.0).nearest(refined.positions)[0]
    same_names = replace(hops, from_site=renamed[hops.from_site], to_site=renamed[hops.to_site])
    recall, precision = agreement(same_names, known)
    assert recall > RECALL
    assert precision > PRECISION


def test_the_nearest_image_is_found_in_a_skewed_cell():
    cell = np.array([[3.0, 0, 0], [2.8, 3.0, 0], [1.0, -2.5, 4.0]])
    random = np.random.default_rng(2)
    points, asked = random.uniform(-5, 5, (6, 3)), random.uniform(-20, 20, (50, 3))
    index, images, distances = PeriodicTree(points, cell, 6.0).nearest(asked)
    shifts = np.stack(np.meshgrid(*[np.arange(-25, 26)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    for one, (i, image, distance) in zip(asked, zip(index, images, distances, strict=True), strict=True):
        brute = np.linalg.norm(points[:, None] + shifts - one, axis=-1).min()
        assert distance == pytest.approx(brute)
        assert np.linalg.norm(points[i] + image @ cell - one) == pytest.approx(brute)


def test_sites_of_a_crystal_are_its_own_and_the_holes():
    atoms = Atoms(
        "LiSSPS", positions=[[2, 2, 2], [0, 0, 0], [4, 4, 4.5], [0, 4, 4], [4, 0, 4]], cell=[8, 8, 8], pbc=True
    )
    random = np.random.default_rng(1)
    positions = atoms.positions + random.normal(0, 0.1, (200, 5, 3)) * (np.arange(5) == 0)[:, None]
    sites = find_sites(atoms, positions, "Li", HopSettings())
    assert sites.known.sum() == 1
    assert len(sites) > 1
    assert sites.positions[sites.known][0] == pytest.approx([2, 2, 2], abs=SITE_TOLERANCE_A)


def test_a_rate_has_the_interval_of_a_poisson_count():
    # Garwood's interval of 10 events, as tabulated.
    assert poisson_interval(10, 2.0) == pytest.approx((4.795 / 2, 18.390 / 2), abs=1e-3)
    assert poisson_interval(0, 1.0) == pytest.approx((0.0, 3.689), abs=1e-3)


def test_what_cannot_be_analysed_is_refused():
    sites = grid_sites()
    with pytest.raises(InputError, match="two frames"):
        detect_hops(np.zeros((1, 2, 3)), sites, FRAME_PS, HopSettings())
    with pytest.raises(ValueError, match="outer_A"):
        HopSettings(core_A=1.0, outer_A=0.5)
