"""Rotations as events, and the orientations that they lead between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ionloop.analysis.rotation.jumps import joined, rotations_of
from ionloop.analysis.rotation.orientations import best_rotations, proper_parts
from ionloop.analysis.rotation.settings import JumpSettings

from .tetrahedra import TETRAHEDRON, diffusing, turned

FRAME_PS = 0.1
SETTINGS = JumpSettings()


def librating(path: Rotation, degree: float, seed: int = 0) -> np.ndarray:
    """Return bond directions along a path, with libration of that size about each axis."""
    noise = np.random.default_rng(seed).normal(size=(len(path), 3))
    return turned(Rotation.from_rotvec(np.radians(degree) * noise) * path)


def jump_at(frame: int, of: Rotation, n_frames: int = 400, over: int = 5) -> Rotation:
    """Return a path that turns by a rotation about a frame, in ``over`` frames."""
    part = np.clip((np.arange(n_frames) + 0.5 - frame + over / 2) / over, 0.0, 1.0)
    return Rotation.from_rotvec(part[:, None] * of.as_rotvec())


@given(seed=st.integers(0, 2**31 - 1), noise=st.floats(0, 1.5), vectors=st.integers(3, 6))
@settings(max_examples=60, deadline=None)
def test_best_rotations_are_those_of_kabsch(seed: int, noise: float, vectors: int) -> None:
    random = np.random.default_rng(seed)
    reference = random.normal(size=(vectors, 3))
    turns = Rotation.random(4, random_state=seed).as_matrix()
    frames = np.einsum("fij,kj->fki", turns, reference) + noise * random.normal(size=(4, vectors, 3))
    for found, frame in zip(best_rotations(frames, reference), frames, strict=True):
        best = Rotation.align_vectors(frame, reference)[0]
        assert found @ found.T == pytest.approx(np.eye(3), abs=1e-8)
        assert np.linalg.det(found) == pytest.approx(1.0, abs=1e-8)
        # Where several fit as well, the misfit is what they have in common.
        misfit, least = (np.linalg.norm(frame - reference @ one.T) for one in (found, best.as_matrix()))
        assert misfit <= least * (1 + 1e-9) + 1e-9


def test_a_reflection_is_no_rotation() -> None:
    found = proper_parts(-np.eye(3)[None])[0]
    assert np.linalg.det(found) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("degree", "axis", "permutes"), [(120, TETRAHEDRON[1], True), (180, [0, 0, 1], True), (90, [0, 1, 0], False)]
)
def test_a_jump_is_found_with_its_time_angle_and_axis(degree: float, axis: object, permutes: bool) -> None:
    of = Rotation.from_rotvec(np.radians(degree) * np.asarray(axis, dtype=float))
    found = rotations_of(librating(jump_at(200, of), 6.0), SETTINGS, FRAME_PS, anion=7, first=1000)
    assert len(found) == 1
    assert found.anion.tolist() == [7]
    assert found.frame[0] == pytest.approx(1200, abs=5)
    assert found.angle_degree[0] == pytest.approx(degree, abs=8)
    assert abs(found.axis[0] @ np.asarray(axis, dtype=float)) == pytest.approx(1.0, abs=0.03)
    assert bool(found.permutes[0]) is permutes
    assert found.settled.all()


def test_libration_is_no_jump_however_long() -> None:
    still = Rotation.from_rotvec(np.zeros((20_000, 3)))
    assert not len(rotations_of(librating(still, 12.0), SETTINGS, FRAME_PS))


def test_what_comes_back_has_not_turned() -> None:
    out = jump_at(200, Rotation.from_rotvec([0, 0, np.radians(120)]), over=6)
    there_and_back = Rotation.from_quat(np.concatenate([out.as_quat()[:201], out.as_quat()[200::-1]]))
    assert not len(rotations_of(librating(there_and_back, 4.0), SETTINGS, FRAME_PS))


def test_a_jump_through_an_orientation_that_lasts_counts_twice() -> None:
    first = jump_at(100, Rotation.from_rotvec([0, 0, np.pi / 2]))
    second = jump_at(250, Rotation.from_rotvec([0, 0, np.pi / 2]))
    found = rotations_of(librating(second * first, 5.0), SETTINGS, FRAME_PS)
    assert found.frame == pytest.approx([100, 250], abs=5)


def test_a_trajectory_that_ends_on_the_way_has_no_jump() -> None:
    path = jump_at(399, Rotation.from_rotvec([0, 0, np.pi]), over=4)
    assert not len(rotations_of(turned(path), SETTINGS, FRAME_PS))


def test_a_rotor_turns_without_settling() -> None:
    found = rotations_of(turned(diffusing(2000, 25.0, np.random.default_rng(2))), SETTINGS, FRAME_PS)
    assert len(found) > 100
    assert not found.settled.all()


def test_frames_far_apart_are_settled_by_themselves() -> None:
    of = Rotation.from_rotvec([0, 0, np.pi])
    found = rotations_of(librating(jump_at(20, of, n_frames=40, over=1), 5.0), SETTINGS, frame_ps=2.0)
    assert len(found) == 1


def test_events_of_several_anions_are_in_order_of_time() -> None:
    of = Rotation.from_rotvec([0, 0, np.pi])
    parts = [rotations_of(turned(jump_at(at, of)), SETTINGS, FRAME_PS, anion=one) for one, at in enumerate((300, 100))]
    assert joined(parts).anion.tolist() == [1, 0]
    assert not len(joined([]))
