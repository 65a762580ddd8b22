"""Diffusion with polyanions held against free: ratios with intervals, and no answer where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.rotation.held import HeldResult, compare_held, ratio_interval
from ionloop.analysis.rotation.settings import HeldSettings, RotationSettings
from ionloop.analysis.trajectories.reading import Trajectory

from .tetrahedra import TETRAHEDRON, trajectory_of

SETTINGS = RotationSettings.model_validate({"resamples": 20, "coupling": {"surrogates": 20}})
FRAMES, ANIONS, IONS = 1200, 2, 10


def estimate(value: float, error: float) -> Estimate:
    return Estimate(value=value, low=value - 1.96 * error, high=value + 1.96 * error, standard_error=error)


def trajectory(seed: int, *, step_A: float, turns: bool) -> Trajectory:
    """Return anions that turn by 120° every 10 ps, or not, among ions that walk at random."""
    random = np.random.default_rng(seed)
    times = np.arange(FRAMES) // 100 if turns else np.zeros(FRAMES)
    turn = Rotation.from_rotvec(np.radians(120.0) * times[:, None] * TETRAHEDRON[0])
    one = np.stack([turn.apply(bond) for bond in TETRAHEDRON], axis=1)
    directions = np.repeat(one[:, None], ANIONS, axis=1)
    directions = directions + 0.02 * random.normal(size=directions.shape)
    ions = np.cumsum(step_A * random.normal(size=(FRAMES, IONS, 3)), axis=0)
    return trajectory_of(directions, ions_A=ions)


def compared(free_A: float, held_A: float, *, free_turns: bool = True, held_turns: bool = False) -> HeldResult:
    free = [trajectory(seed, step_A=free_A, turns=free_turns) for seed in (1, 2)]
    held = [trajectory(seed, step_A=held_A, turns=held_turns) for seed in (3, 4)]
    return compare_held(free, held, "Li", 600.0, SETTINGS, HeldSettings())


def test_ions_that_need_rotations_are_slower() -> None:
    found = compared(0.2, 0.1)
    # D = step² / (2 Δt), Δt = 0.1 ps.
    assert found.free.diffusivity_A2_per_ps.value == pytest.approx(0.2, rel=0.03)
    assert found.held.diffusivity_A2_per_ps.value == pytest.approx(0.05, rel=0.03)
    assert found.ratio_low is not None
    assert found.ratio_high is not None
    assert found.ratio_low < 0.25 < found.ratio_high < 1.0
    assert (found.answer, found.why_not_known) == ("slower", ())
    assert (found.free.rotations, found.held.rotations) == (44, 0)


def test_ions_that_do_not_are_as_fast() -> None:
    found = compared(0.2, 0.2)
    assert found.ratio_low is not None
    assert found.ratio_high is not None
    assert found.ratio_low < 1.0 < found.ratio_high
    assert found.answer == "no difference"


def test_of_ions_at_rest_while_held_there_is_a_bound() -> None:
    found = compared(0.2, 1e-4)
    assert not found.held.reliable
    assert (found.ratio, found.ratio_low) == (None, 0.0)
    assert found.answer == "slower"


@pytest.mark.parametrize(
    ("free_A", "turning", "said"),
    [
        (0.2, (False, False), "there was nothing to hold"),
        (0.2, (True, True), "not known to turn less"),
        (1e-4, (True, False), "known too poorly"),
    ],
)
def test_what_means_nothing_has_no_answer(free_A: float, turning: tuple[bool, bool], said: str) -> None:
    found = compared(free_A, 0.1, free_turns=turning[0], held_turns=turning[1])
    assert found.answer == "not known"
    assert any(said in reason for reason in found.why_not_known)


def test_intervals_of_ratios_hold_what_they_say() -> None:
    random, held, seeds = np.random.default_rng(5), 0, 2000
    for _ in range(seeds):
        over, under = estimate(random.normal(0.5, 0.1), 0.1), estimate(random.normal(1.0, 0.2), 0.2)
        interval = ratio_interval(over, under)
        held += interval is None or interval[0] <= 0.5 <= interval[1]
    assert held / seeds == pytest.approx(0.95, abs=0.015)


def test_a_ratio_to_what_may_be_zero_has_no_interval() -> None:
    assert ratio_interval(estimate(0.5, 0.1), estimate(0.1, 0.1)) is None
    # Fieller's, where both are symmetric: (a - r b)² = z² (s² + r² t²).
    interval = ratio_interval(estimate(0.5, 0.1), estimate(1.0, 0.1))
    assert interval is not None
    for end in interval:
        assert (0.5 - end) ** 2 == pytest.approx(1.96**2 * (0.01 + end**2 * 0.01), rel=1e-9)
