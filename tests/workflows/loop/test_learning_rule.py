"""The end of a loop that learns on the fly: audits decide, an alarm that fell silent does not."""

from __future__ import annotations

import pytest

from ionloop.tasks.values.learning import AuditedError, RoundValues, UpdateValues
from ionloop.workflows.loop.learning_rule import LearningStanding, learning_verdict
from ionloop.workflows.loop.stop_rule import Verdict

TOLERANCE = 0.1
GOING_ON = Verdict(False, False, "generation 2 improved; going on")
STALLED = Verdict(True, True, "converged in generation 2: for 1 generation no model's error on audits fell by more")
MOST = Verdict(True, False, "stopped after generation 2, the most allowed (stop.max_generations)")


def standing(rmse: float, half: float, audits: int = 12, used: int = 40, system: str | None = None) -> LearningStanding:
    audited = AuditedError(
        audits=audits,
        force_rmse_eV_per_A=rmse,
        force_low_eV_per_A=rmse - half,
        force_high_eV_per_A=rmse + half,
        energy_rmse_eV_per_atom=0.001,
        energy_low_eV_per_atom=0.0005,
        energy_high_eV_per_atom=0.002,
        force_by_element_eV_per_A={},
    )
    update = UpdateValues(entry=0, round=9, audited=audited, force_tolerance_eV_per_A=TOLERANCE, max_labels=100)
    # The alarm is silent in all of these.
    walked = RoundValues(
        entry=0,
        round=8,
        simulated_ps=20,
        round_ps=2,
        looks=400,
        alarms=0,
        rewinds=0,
        candidates=0,
        frames=(),
        labels_used=used,
    )
    return LearningStanding("small", system, 0, 2, update, walked)


def test_the_upper_bound_of_enough_audits_ends_the_loop_as_converged() -> None:
    verdict = learning_verdict(GOING_ON, [standing(0.08, 0.01)], 2, alone=True)
    assert (verdict.stop, verdict.converged) == (True, True)
    assert "0.08 eV/Å by 12 audits (95 %: 0.07 to 0.09), tolerance 0.1 eV/Å" in verdict.reason


@pytest.mark.parametrize("base", [STALLED, MOST, GOING_ON])
@pytest.mark.parametrize("found", [standing(0.39, 0.05), standing(0.08, 0.05), standing(0.08, 0.01, audits=7)])
def test_a_silent_alarm_converges_nothing(base: Verdict, found: LearningStanding) -> None:
    verdict = learning_verdict(base, [found], 2, alone=True)
    assert not verdict.converged
    assert verdict.stop == base.stop
    assert ("not converged" in verdict.reason) == base.stop
    assert not verdict.reason.startswith("converged")


def test_errors_that_fall_no_more_are_told_beside_the_bound_that_none_falls_below() -> None:
    bounds = {"gap": 0.31}
    verdict = learning_verdict(STALLED, [standing(0.39, 0.05)], 2, alone=True, bounds_eV_per_A=bounds)
    assert "more labels do not help: for 1 generation no model's error on audits" in verdict.reason
    assert "and audits are above the tolerance: force error 0.39" in verdict.reason
    assert verdict.reason.endswith("by the locality test no model of this cutoff falls below (eV/Å): gap 0.31")


def test_labels_that_are_used_up_end_the_loop_only_where_nothing_else_explores() -> None:
    found = [standing(0.39, 0.05, used=100)]
    verdict = learning_verdict(GOING_ON, found, 2, alone=True)
    assert (verdict.stop, verdict.converged) == (True, False)
    assert "not converged: all 100 labels" in verdict.reason
    assert not learning_verdict(GOING_ON, found, 2, alone=False).stop
    assert not learning_verdict(GOING_ON, [*found, standing(0.3, 0.1)], 2, alone=True).stop


def test_each_system_has_to_be_within_tolerance_and_others_end_by_their_own_rule() -> None:
    good, bad = standing(0.08, 0.01, system="crystal"), standing(0.2, 0.01, system="glass")
    assert not learning_verdict(GOING_ON, [good, bad], 2, alone=True).stop
    assert not learning_verdict(GOING_ON, [good], 2, alone=False).stop
    assert learning_verdict(STALLED, [good], 2, alone=False).converged


def test_properties_that_are_asked_for_decide_and_audits_are_told() -> None:
    verdict = learning_verdict(GOING_ON, [standing(0.08, 0.01)], 2, alone=True, asks_for_properties=True)
    assert not verdict.stop
    assert "12 audits" in verdict.reason


def test_without_anything_that_learns_nothing_changes() -> None:
    assert learning_verdict(STALLED, [], 2, alone=False) is STALLED


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (standing(0.39, 0.05, used=100), "and audits are above the tolerance: "),
        (standing(0.08, 0.05, used=100), "and the audits' interval reaches above the tolerance: "),
        (standing(0.08, 0.01, audits=7, used=100), "and there are too few audits (at least 8 are needed): "),
    ],
)
def test_the_reason_says_what_is_short(found: LearningStanding, said: str) -> None:
    assert said in learning_verdict(GOING_ON, [found], 2, alone=True).reason
