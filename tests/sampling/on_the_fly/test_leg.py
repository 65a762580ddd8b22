"""Legs: the same bits whatever happens, an alarm before anything breaks, and a way back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ionloop.core.errors import InputError
from ionloop.sampling.on_the_fly.leg import (
    MOST_REWINDS,
    CandidateKind,
    LegEnd,
    LegOutcome,
    WalkerState,
    read_leg,
    run_leg,
)
from ionloop.sampling.on_the_fly.settings import OnTheFlySettings
from ionloop.sampling.trajectory import read_frames

from .walkers import Sites, crystal, leg

ALARM_A = 0.3
"""Distance from a site that is new: three standard deviations of a coordinate at 600 K are 0.48 Å."""


def same(first: LegOutcome, second: LegOutcome) -> bool:
    def document(one: LegOutcome) -> str:
        frames = [(c.kind, c.ratio, c.atoms.positions.tolist(), c.atoms.get_forces().tolist()) for c in one.candidates]
        return json.dumps([one.end, one.reason, one.state.document(), frames, one.looks, one.steps, one.highest_ratio])

    return document(first) == document(second)


def test_a_leg_is_the_same_bits_and_done_once(tmp_path: Path) -> None:
    first = run_leg(leg(tmp_path / "a.traj", ALARM_A))
    assert same(first, run_leg(leg(tmp_path / "b.traj", ALARM_A)))
    never = leg(tmp_path / "a.traj", ALARM_A, calculator=lambda: Sites(crystal().positions, kill_at=1))
    assert same(first, run_leg(never))
    assert same(first, read_leg(tmp_path / "a.traj"))
    assert not same(first, run_leg(leg(tmp_path / "c.traj", ALARM_A, seed=6)))


@pytest.mark.parametrize("moment", [1, 7, 30, 61])
def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path: Path, moment: int) -> None:
    whole = run_leg(leg(tmp_path / "whole.traj", ALARM_A))
    path = tmp_path / "killed.traj"
    with pytest.raises(KeyboardInterrupt):
        run_leg(leg(path, ALARM_A, calculator=lambda: Sites(crystal().positions, kill_at=moment)))
    assert same(whole, run_leg(leg(path, ALARM_A)))
    assert (tmp_path / "whole.traj").read_bytes() == path.read_bytes()


def test_legs_follow_each_other_as_one_trajectory(tmp_path: Path) -> None:
    # With one model two legs are the trajectory of one: noise and velocities go on.
    first = run_leg(leg(tmp_path / "0.traj"))
    second = run_leg(leg(tmp_path / "1.traj", start=WalkerState.of(json.loads(json.dumps(first.state.document())))))
    long = leg(tmp_path / "long.traj")
    whole = run_leg(replace(long, settings=long.settings.model_copy(update={"leg_ps": 0.12})))
    np.testing.assert_array_equal(second.state.atoms.positions, whole.state.atoms.positions)
    np.testing.assert_array_equal(second.state.atoms.get_momenta(), whole.state.atoms.get_momenta())
    assert second.energy_jump_eV_per_atom == 0.0
    assert first.energy_jump_eV_per_atom is None


def test_an_update_changes_the_energy_and_not_the_velocities(tmp_path: Path) -> None:
    first = run_leg(leg(tmp_path / "0.traj"))
    moved = crystal().positions + 0.1
    second = run_leg(leg(tmp_path / "1.traj", start=first.state, calculator=lambda: Sites(moved)))
    begin = read_frames(tmp_path / "1.traj")[0]
    np.testing.assert_array_equal(begin.get_momenta(), first.state.atoms.get_momenta())
    expected = (Sites(moved).get_property("energy", first.state.atoms) - first.state.energy_eV) / len(begin)
    assert second.energy_jump_eV_per_atom == pytest.approx(expected)
    assert expected != 0.0


def test_an_alarm_is_a_candidate_and_the_walker_goes_on(tmp_path: Path) -> None:
    outcome = run_leg(leg(tmp_path / "a.traj", ALARM_A))
    assert outcome.end is LegEnd.COMPLETED
    alarms = [one for one in outcome.candidates if one.kind is CandidateKind.ALARM]
    assert alarms
    assert outcome.alarms >= len(alarms)
    for one in alarms:
        distance_A = np.linalg.norm(one.atoms.positions - crystal().positions, axis=1).max()
        assert one.ratio == pytest.approx(distance_A / ALARM_A)
        assert 1.0 < one.ratio <= 2.0
        assert one.step % 5 == 0
        np.testing.assert_allclose(one.atoms.get_forces(), Sites(crystal().positions).get_property("forces", one.atoms))
    assert outcome.looks == 12
    assert outcome.mean_temperature_K is not None


def test_what_is_far_too_new_sends_the_walker_back_to_wait(tmp_path: Path) -> None:
    outcome = run_leg(leg(tmp_path / "a.traj", 0.12))
    assert outcome.end is LegEnd.REWOUND
    assert "new" in outcome.reason
    assert outcome.candidates[-1].kind is CandidateKind.REWIND
    assert outcome.candidates[-1].ratio > 2.0
    written = read_frames(tmp_path / "a.traj")
    np.testing.assert_array_equal(outcome.state.atoms.positions, written[0].positions)
    assert outcome.state.step == 0
    waiting = run_leg(leg(tmp_path / "b.traj", 0.12, start=outcome.state))
    assert waiting.end is LegEnd.WAITED
    assert waiting.steps == 0
    # The model has learnt: it goes on from where it went back to, with the velocities it had.
    after = run_leg(leg(tmp_path / "c.traj", start=waiting.state))
    assert after.end is LegEnd.COMPLETED
    assert after.state.rewinds == 0
    np.testing.assert_array_equal(read_frames(tmp_path / "c.traj")[0].get_momenta(), written[0].get_momenta())


def test_a_guard_sends_the_walker_back_too(tmp_path: Path) -> None:
    values = OnTheFlySettings(temperatures_K=600, leg_ps=0.06, length_ps=0.6).model_dump()
    values["guard"]["maximum_energy_change_eV_per_atom"] = 0.03
    outcome = run_leg(leg(tmp_path / "a.traj", settings=OnTheFlySettings.model_validate(values)))
    assert outcome.end is LegEnd.REWOUND
    assert "the potential energy has changed" in outcome.reason
    assert outcome.candidates[-1].has_alarm
    assert outcome.candidates[-1].kind is CandidateKind.REWIND
    assert outcome.state.step == 0
    assert outcome.steps > 0


def test_a_walker_that_gets_nowhere_begins_anew(tmp_path: Path) -> None:
    state = replace(run_leg(leg(tmp_path / "a.traj")).state, rewinds=MOST_REWINDS)
    outcome = run_leg(leg(tmp_path / "b.traj", start=state))
    begin = read_frames(tmp_path / "b.traj")[0]
    np.testing.assert_array_equal(begin.positions, crystal().positions)
    assert outcome.state.life == 1
    assert not np.array_equal(begin.get_momenta(), read_frames(tmp_path / "a.traj")[0].get_momenta())


def test_an_alarm_in_a_heated_walker_comes_before_the_guard(tmp_path: Path) -> None:
    # Heated to 5000 K within 0.5 ps, springs stretch until a guard stops them.
    values = OnTheFlySettings(temperatures_K=5000, ramp_ps=0.5, leg_ps=0.5, length_ps=0.5).model_dump()
    values["guard"]["maximum_energy_change_eV_per_atom"] = 0.4
    settings = OnTheFlySettings.model_validate(values)
    outcome = run_leg(leg(tmp_path / "a.traj", 0.35, settings=settings))
    assert outcome.candidates[0].kind is CandidateKind.ALARM
    assert outcome.end is LegEnd.REWOUND
    assert "new" in outcome.reason
    unwatched = run_leg(leg(tmp_path / "b.traj", 100.0, settings=settings))
    assert unwatched.end is LegEnd.REWOUND
    assert "new" not in unwatched.reason
    assert outcome.candidates[0].step < outcome.steps <= unwatched.steps


def test_audits_are_frames_at_their_steps_whatever_their_novelty(tmp_path: Path) -> None:
    outcome = run_leg(leg(tmp_path / "a.traj", ALARM_A, audits=(20, 50)))
    audits = [one for one in outcome.candidates if one.kind is CandidateKind.AUDIT]
    assert [one.step for one in audits] == [20, 50]
    later = run_leg(leg(tmp_path / "b.traj", start=outcome.state, audits=(10,)))
    assert [one.step for one in later.candidates] == [70]


def test_a_ramp_goes_on_over_the_legs(tmp_path: Path) -> None:
    settings = OnTheFlySettings(temperatures_K=(900,), ramp_ps=0.12, leg_ps=0.06, length_ps=0.6)
    first = run_leg(leg(tmp_path / "0.traj", settings=settings))
    second = run_leg(leg(tmp_path / "1.traj", settings=settings, start=first.state))
    assert (first.target_K, second.target_K) == (600.0, 900.0)


def test_settings_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="leg_ps"):
        OnTheFlySettings(leg_ps=2.0, length_ps=1.0)
    settings = OnTheFlySettings(temperatures_K=500)
    assert settings.target_K(3) == 500.0
    assert settings.rounds == 20
    assert OnTheFlySettings.model_validate(settings.model_dump(mode="json")) == settings
    with pytest.raises(InputError, match="rounds"):
        from ionloop.sampling.on_the_fly.settings import ON_THE_FLY
        from ionloop.sampling.samplers.base import SamplerRequest

        ON_THE_FLY.sample(SamplerRequest(crystal(), settings, 0, 0, Path("a.traj")))
