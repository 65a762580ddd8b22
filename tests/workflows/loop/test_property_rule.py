"""A loop that asks for properties ends when they are known, when labels help no more, or with the most generations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.tasks.values.barriers import BarrierValues, PotentialOnPathValues
from ionloop.tasks.values.properties import PropertyNumber, PropertyValues
from ionloop.workflows.analyses.barriers.property import barrier_number
from ionloop.workflows.campaign.properties import Tolerance
from ionloop.workflows.loop.property_rule import (
    PropertyError,
    PropertyHistory,
    property_verdict,
    stalled_properties,
)
from ionloop.workflows.loop.stop_rule import StopSettings

RULE = StopSettings(patience=1, energy_tolerance=0.05, force_tolerance=0.05, max_generations=8)
BARRIER = Tolerance(0.05, "eV")
CONDUCTIVITY = Tolerance(30.0, "%")


def history(**errors: list[float | None]) -> PropertyHistory:
    """Return errors of properties, one per generation from the first."""
    return PropertyHistory(
        {
            number: {
                name: PropertyError(error := of_name[number - 1], "lost" if error is None else f"1 ± {error:g}")
                for name, of_name in errors.items()
            }
            for number in range(1, max(map(len, errors.values())) + 1)
        }
    )


def verdict(found: PropertyHistory, generation: int, stalled_errors: int = 0, rule: StopSettings = RULE, **asked):
    return property_verdict(found, asked or {"barriers": BARRIER}, generation, stalled_errors, rule)


def test_the_loop_ends_as_soon_as_every_property_is_within_tolerance_although_errors_still_fall() -> None:
    found = verdict(history(barriers=[0.2, 0.05]), 2)
    assert found.stop
    assert found.converged
    assert found.reason.startswith("known in generation 2")
    assert "1 ± 0.05, asked for within 0.05 eV" in found.reason


def test_one_property_that_is_not_known_keeps_the_loop_going() -> None:
    both = {"barriers": BARRIER, "conductivity": CONDUCTIVITY}
    going = verdict(history(barriers=[0.01], conductivity=[40.0]), 1, **both)
    assert not going.stop
    assert "conductivity 1 ± 40" in going.reason
    assert "within tolerance: barriers" in going.reason
    lost = verdict(history(barriers=[0.01], conductivity=[None]), 1, **both)
    assert not lost.stop
    assert "conductivity not known: lost" in lost.reason


def test_labels_that_help_neither_errors_nor_properties_end_it_and_the_reason_says_what_is_not_known() -> None:
    flat = history(barriers=[0.10, 0.099])
    assert not verdict(flat, 2, stalled_errors=0).stop
    ended = verdict(flat, 2, stalled_errors=1)
    assert ended.stop
    assert ended.reason.startswith("more labels do not help: for 1 generation until generation 2")
    assert "barriers 1 ± 0.099" in ended.reason
    # One that still gets better is reason enough to go on.
    assert not verdict(history(barriers=[0.10, 0.08]), 2, stalled_errors=2).stop
    patient = StopSettings(patience=2, energy_tolerance=0.05, force_tolerance=0.05, max_generations=8)
    assert not verdict(flat, 2, stalled_errors=2, rule=patient).stop


def test_the_most_generations_end_it_unconverged() -> None:
    last = StopSettings(patience=1, energy_tolerance=0.05, force_tolerance=0.05, max_generations=2)
    ended = verdict(history(barriers=[0.2, 0.1]), 2, rule=last)
    assert ended.stop
    assert not ended.converged
    assert "stop.max_generations" in ended.reason


def test_what_nobody_knows_never_improves_and_what_becomes_known_does() -> None:
    asked = {"barriers": BARRIER}
    assert stalled_properties(history(barriers=[None, None, None]), asked, 3) == 3
    assert stalled_properties(history(barriers=[None, None, 0.4]), asked, 3) == 0
    assert stalled_properties(history(barriers=[0.4, None, 0.39]), asked, 3) == 2


def test_wider_tolerances_in_the_file_end_a_loop_that_went_on() -> None:
    found = history(barriers=[0.09])
    assert not verdict(found, 1).stop
    assert verdict(found, 1, barriers=Tolerance(0.1, "eV")).stop


@given(
    errors=st.lists(st.one_of(st.none(), st.floats(1e-4, 10)), min_size=1, max_size=6),
    stalled=st.integers(0, 6),
)
def test_the_rule_always_says_one_thing_and_ends_with_the_most_generations(errors, stalled) -> None:
    rule = StopSettings(patience=2, energy_tolerance=0.05, force_tolerance=0.05, max_generations=len(errors))
    found = verdict(history(barriers=errors), len(errors), stalled, rule)
    assert found.stop
    known = errors[-1] is not None and errors[-1] <= BARRIER.value
    assert found.reason.startswith("known") is known
    assert found.converged or "stop.max_generations" in found.reason


def number(**known) -> PropertyNumber:
    return PropertyNumber(label="hop-1", unit="eV", **known)


def test_errors_add_in_quadrature_and_what_is_absent_is_not_zero() -> None:
    assert number(value=0.3, statistical=0.03, model=0.04).error("eV") == pytest.approx(0.05)
    assert number(value=0.3, statistical=0.03, model=0.04).error("%") == pytest.approx(100 * 0.05 / 0.3)
    for missing in ({"value": 0.3, "statistical": 0.03}, {"value": 0.3, "model": 0.04}, {"model": 0.1}):
        assert number(**missing).error("eV") is None
    assert number(value=0.3, statistical=0.0, model=math.inf).error("eV") is None
    assert number(value=0.0, statistical=0.0, model=0.1).error("%") is None


def test_a_property_is_as_well_known_as_its_worst_number() -> None:
    known, worse = number(value=0.3, statistical=0.0, model=0.04), number(value=0.5, statistical=0.0, model=0.1)
    values = PropertyValues(name="barriers", unit="eV", data_set="d", numbers=(known, worse))
    assert values.error == 0.1
    assert values.text == "0.5 ± 0.1 eV (hop-1)"
    lost = number(reason="the path did not converge")
    values = PropertyValues(name="barriers", unit="eV", data_set="d", numbers=(known, lost))
    assert values.error is None
    assert values.text == "the path did not converge"
    assert PropertyValues(name="barriers", unit="eV", data_set="d", numbers=(), reason="lost").error is None


def test_a_path_that_only_goes_down_has_no_barrier_that_could_be_known() -> None:
    def found(forward_eV: float, reverse_eV: float) -> PropertyNumber:
        own = PotentialOnPathValues(
            energies_eV=(0.0, forward_eV, forward_eV - reverse_eV),
            curve_coordinate_A=(0.0, 1.0),
            curve_energies_eV=(0.0, 0.0),
            forward_eV=forward_eV,
            reverse_eV=reverse_eV,
            maximum_A=0.5,
            fit_error_eV=0.001,
            forward_model_half_width_eV=0.02,
        )
        path = BarrierValues(
            slot="hop-1",
            converged=True,
            potentials={"gap": own},
            missing=(),
            origin="trajectory",
            choice="seen most often",
            moving=(0,),
            jump_A=2.0,
            observed=1,
            rate_per_ps=1.0,
        )
        return barrier_number(path, "gap")

    assert found(0.3, 0.2).error("eV") == pytest.approx(math.hypot(0.001, 0.02))
    for barriers in ((0.0, 0.4), (0.3, 0.0)):
        assert found(*barriers).error("eV") is None
        assert "no barrier" in found(*barriers).reason
