"""Rotation from whole trajectories: counts, rates, decay and coupling of tetrahedra that do as they are told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ionloop.analysis.rotation.rotation import RotationAnalysis, analyse_rotation
from ionloop.analysis.rotation.settings import RotationSettings
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.core.errors import InputError

from .tetrahedra import TETRAHEDRON, trajectory_of, turned

FRAME_PS = 0.1
APART_A = 10.0
SETTINGS = RotationSettings.model_validate({"resamples": 40, "coupling": {"surrogates": 100}})


def times_of(random: np.random.Generator, n_frames: int, count: int) -> np.ndarray:
    """Return frames in growing order, far enough apart to be told apart."""
    slots = random.choice(np.arange(100, n_frames - 200, 100), count, replace=False)
    return np.sort(slots + random.integers(0, 60, count))


def jumping(seed: int, *, coupled: bool, n_frames: int = 4000, anions: int = 3, jumps: int = 6) -> Trajectory:
    """Return anions that turn by 120° now and then, each with an ion that hops: with it, or at other times."""
    random = np.random.default_rng(seed)
    directions, ions = np.empty((n_frames, anions, 4, 3)), 0.05 * random.normal(size=(n_frames, anions, 3))
    for anion in range(anions):
        times = times_of(random, n_frames, jumps)
        others = times if coupled else times_of(random, n_frames, jumps)
        turns = np.zeros((n_frames, 3))
        now = Rotation.identity()
        for at, then in zip(times, np.append(times, n_frames)[1:], strict=True):
            axis = TETRAHEDRON[int(random.integers(4))]
            now = now * Rotation.from_rotvec(np.radians(120) * axis)
            turns[at:then] = now.as_rotvec()
        noise = Rotation.from_rotvec(np.radians(5) * random.normal(size=(n_frames, 3)))
        directions[:, anion] = turned(noise * Rotation.from_rotvec(turns))
        ions[:, anion, 0] += APART_A * anion
        ions[:, anion, 2] += 2.0 + 3.0 * (np.searchsorted(others, np.arange(n_frames), side="right") % 2)
    return trajectory_of(directions, ions_A=ions, frame_ps=FRAME_PS, apart_A=APART_A)


def analysed(*trajectories: Trajectory) -> RotationAnalysis:
    return analyse_rotation(trajectories, "Li", SETTINGS)


def test_every_jump_is_counted_and_found_again_in_the_rate() -> None:
    found = analysed(jumping(1, coupled=True), jumping(2, coupled=True))
    result = found.result
    assert (result.formula, result.anions, result.centres, result.whole_fraction) == ("PS4", 6, 6, 1.0)
    assert (result.rotations, result.permuting, result.unsettled) == (36, 36, 0)
    # 36 in 6 anions over 0.4 ns.
    rate = result.rotations_per_anion_per_ns
    assert rate.value == pytest.approx(36 / (6 * 0.4), rel=1e-3)
    assert rate.low < rate.value < rate.high
    assert result.mean_angle_degree == pytest.approx(120, abs=3)
    assert result.c1 is not None
    assert result.c1.decayed
    assert result.ct is not None
    assert not result.ct.decayed


def test_ions_that_hop_with_rotations_are_found() -> None:
    result = analysed(jumping(3, coupled=True)).result
    assert result.hops == 18
    assert result.coupling is not None
    assert result.coupling.p_value < 0.02
    shortest = result.coupling.windows[0]
    assert shortest.given_rotation == pytest.approx(1.0, abs=0.2)
    assert shortest.ratio is not None
    assert shortest.ratio > 10


def test_ions_that_hop_at_other_times_are_not() -> None:
    result = analysed(jumping(4, coupled=False)).result
    assert result.coupling is not None
    assert result.coupling.p_value > 0.05


def test_anions_at_rest_have_an_upper_bound_and_no_decay_time() -> None:
    result = analysed(jumping(5, coupled=False, jumps=0)).result
    assert result.rotations == 0
    assert result.rotations_per_anion_per_ns.value == 0.0
    # -ln 0.025 events in 3 anions times 0.4 ns.
    assert result.rotations_per_anion_per_ns.high == pytest.approx(-np.log(0.025) / 1.2, rel=1e-3)
    assert result.coupling is None
    assert result.c1 is not None
    assert not result.c1.decayed


def test_arrays_have_one_row_for_every_event() -> None:
    arrays = analysed(jumping(6, coupled=True), jumping(7, coupled=True)).arrays()
    assert {len(values) for name, values in arrays.items() if name.startswith("event")} == {36}
    assert np.bincount(arrays["event_trajectory"].astype(int)).tolist() == [18, 18]
    assert arrays["correlations"].shape == (3, len(arrays["lags_ps"]))
    # Where they happened: at a centre.
    assert set(np.rint(arrays["event_place_A"][:, 0] / APART_A).astype(int)) == {0, 1, 2}


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, other = (analysed(jumping(8, coupled=True)).result for _ in range(2))
    assert one == other


def test_without_the_mobile_ion_there_is_no_coupling_and_it_is_said() -> None:
    result = analyse_rotation([jumping(9, coupled=True)], "Na", SETTINGS).result
    assert (result.hops, result.coupling) == (None, None)
    assert result.warnings == ("there is no Na: rotations are compared with no hops",)


def test_what_cannot_be_analysed_says_why() -> None:
    trajectory = jumping(10, coupled=True, n_frames=400, jumps=1)
    with pytest.raises(InputError, match="no P holds 3 S of its own"):
        analyse_rotation([trajectory], "Li", RotationSettings.model_validate({"anion": {"ligands": 3}}))
    with pytest.raises(InputError, match="has 10 frames; 20 or more"):
        analysed(trajectory.part(stop=10))
    other = Trajectory(trajectory.symbols, trajectory.positions_A, trajectory.cell_A, 200.0)
    with pytest.raises(InputError, match="100 and 200 fs"):
        analysed(trajectory, other)
    with pytest.raises(InputError, match="no trajectory"):
        analysed()
