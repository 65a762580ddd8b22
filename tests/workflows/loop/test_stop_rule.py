import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.workflows.loop.stop_rule import GenerationErrors, StopSettings, improves, stop_verdict

SETTINGS = StopSettings(patience=1, energy_tolerance=0.05, force_tolerance=0.05, max_generations=8)


def history(*forces: float, energies: tuple[float, ...] | None = None) -> list[GenerationErrors]:
    energies = energies or forces
    return [
        GenerationErrors(generation=i + 1, energy={"gap": e, "es-gap": e}, force={"gap": f, "es-gap": f})
        for i, (f, e) in enumerate(zip(forces, energies, strict=True))
    ]


def test_the_first_generation_never_stops_the_loop():
    assert not stop_verdict(history(0.3), SETTINGS).stop


def test_falling_errors_go_on_and_flat_ones_stop():
    assert not stop_verdict(history(0.3, 0.2, 0.15), SETTINGS).stop
    verdict = stop_verdict(history(0.3, 0.2, 0.198), SETTINGS)
    assert verdict.stop
    assert verdict.converged
    assert "generation 3" in verdict.reason


def test_an_improvement_of_either_error_of_any_model_is_enough():
    flat_forces = history(0.3, 0.3, energies=(0.01, 0.008))
    assert not stop_verdict(flat_forces, SETTINGS).stop
    only_one = history(0.3, 0.3)
    only_one[1] = GenerationErrors(2, energy={"gap": 0.3, "es-gap": 0.3}, force={"gap": 0.3, "es-gap": 0.2})
    assert not stop_verdict(only_one, SETTINGS).stop


def test_a_worse_generation_does_not_lower_the_bar_for_the_next():
    assert not improves([0.2, 0.4, 0.3], 0.05)
    assert improves([0.2, 0.4, 0.1], 0.05)


def test_patience_counts_generations_in_a_row():
    patient = StopSettings(patience=2, energy_tolerance=0.05, force_tolerance=0.05, max_generations=8)
    assert not stop_verdict(history(0.3, 0.3), patient).stop
    assert not stop_verdict(history(0.3, 0.3, 0.2), patient).stop
    assert not stop_verdict(history(0.3, 0.3, 0.2, 0.2), patient).stop
    assert stop_verdict(history(0.3, 0.3, 0.2, 0.2, 0.2), patient).converged


def test_the_most_generations_stop_without_calling_it_converged():
    settings = StopSettings(patience=1, energy_tolerance=0.05, force_tolerance=0.05, max_generations=3)
    verdict = stop_verdict(history(0.4, 0.2, 0.1), settings)
    assert verdict.stop
    assert not verdict.converged
    assert "max_generations" in verdict.reason


def test_a_generation_without_one_of_the_models_is_judged_by_the_others():
    errors = history(0.3, 0.3)
    errors[1] = GenerationErrors(2, energy={"gap": 0.3}, force={"gap": 0.1})
    assert not stop_verdict(errors, SETTINGS).stop


def test_no_history_is_refused():
    with pytest.raises(ValueError, match="at least one generation"):
        stop_verdict([], SETTINGS)


@given(st.lists(st.floats(min_value=1e-4, max_value=10), min_size=1, max_size=8))
def test_converged_means_that_the_last_generation_did_not_improve(forces):
    verdict = stop_verdict(history(*forces), SETTINGS)
    if verdict.converged:
        assert not improves(forces, SETTINGS.force_tolerance)
    elif len(forces) < SETTINGS.max_generations:
        assert improves(forces, SETTINGS.force_tolerance)
