"""Runs of known answer, and the temperatures that follow from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.screening.hop_counting import count_hops
from ionloop.analysis.screening.host_motion import HostMotion
from ionloop.analysis.screening.runs import RunResult, Verdict, analyse_run, may_end
from ionloop.analysis.screening.settings import ScreeningSettings
from ionloop.analysis.screening.temperatures import Outcome, next_run, summarise

from .synthetic import FRAME_PS, frames_of, hopping, thiophosphate, vibration, walk

SETTINGS = ScreeningSettings(equilibration_ps=2.0, first_look_ps=40.0, length_ps=80.0)
FRAMES = 821
HOP_A = 3.0
HOST = HostMotion(
    judged=("P",), lindemann_ratio=0.05, slope_A2_per_ps=0.0, host_lindemann_ratio=0.1, host_slope_A2_per_ps=0.0
)


def _frames(rate_per_ps, seed=1, melts_at=None, strain=0.0):
    atoms = thiophosphate()
    random = np.random.default_rng(seed)
    moved = vibration(random, FRAMES, len(atoms), 0.12)
    moved[0] = 0.0
    ions = np.array(atoms.get_chemical_symbols()) == "Li"
    moved[:, ions] += hopping(random, FRAMES, ions.sum(), rate_per_ps, HOP_A)
    if melts_at is not None:
        groups = walk(random, FRAMES, 8, 0.04, start=round(melts_at / FRAME_PS))
        moved[:, ~ions] += np.repeat(groups, 5, axis=1)
    strains = strain + random.normal(0.0, 0.005, FRAMES)
    return frames_of(atoms, moved, strains)


def test_hops_are_counted_and_vibrations_are_none():
    random = np.random.default_rng(4)
    moved = hopping(random, 2000, 20, 0.05, HOP_A)
    jumps = (np.abs(np.diff(moved, axis=0)).sum(axis=2) > 0).sum(axis=0)
    counted = count_hops(moved + vibration(random, 2000, 20, 0.2), FRAME_PS, 2.0)
    assert counted.sum() == pytest.approx(jumps.sum(), rel=0.1)
    assert not count_hops(vibration(random, 2000, 20, 0.3), FRAME_PS, 2.0).any()


def test_the_diffusivity_of_hopping_ions_is_that_of_their_rate_and_the_cell_takes_no_part_in_it():
    rate = 0.3
    found = analyse_run(_frames(rate, strain=0.02), "Li", 1000.0, SETTINGS, compare=False)
    assert found.verdict is Verdict.DIFFUSES
    assert found.measured
    scale = (1.02 * HOP_A) ** 2 / 6  # the strain scales hops as well
    assert found.diffusivity_A2_per_ps.contains(rate * scale)
    assert found.hops_per_ion == pytest.approx(rate * 80.0, rel=0.2)
    crystal = thiophosphate()
    assert found.volume_A3_per_atom == pytest.approx(crystal.get_volume() / len(crystal) * 1.02**3, rel=2e-3)
    assert found.sound_ps == pytest.approx(80.0)


def test_slow_ions_have_a_bound_that_holds():
    rate = 0.02
    found = analyse_run(_frames(rate), "Li", 1000.0, SETTINGS, compare=False)
    assert found.verdict is Verdict.TOO_SLOW
    assert not found.measured
    assert found.diffusivity_A2_per_ps.low == 0.0
    assert found.diffusivity_A2_per_ps.high > rate * HOP_A**2 / 6
    still = analyse_run(_frames(0.0), "Li", 1000.0, SETTINGS, compare=False)
    assert still.verdict is Verdict.TOO_SLOW
    assert still.diffusivity_A2_per_ps.high < 0.05


def test_frames_after_the_melting_are_cut():
    found = analyse_run(_frames(0.3, melts_at=40.0), "Li", 1000.0, SETTINGS, compare=False)
    # What drifts through each other is said to be other polyanions, as soon as they meet.
    assert found.verdict in {Verdict.MELTED, Verdict.DECOMPOSED}
    assert found.host.melted_at_ps == pytest.approx(40.0, abs=10.0)
    assert found.sound_ps < 52.0
    assert " at " in found.told


def test_a_trajectory_that_its_guard_stopped_is_told():
    found = analyse_run(_frames(0.3)[:60], "Li", 1000.0, SETTINGS, stopped="a force is 120 eV/Å", compare=False)
    assert found.verdict is Verdict.STOPPED
    assert "120" in found.told
    short = analyse_run(_frames(0.3)[:10], "Li", 1000.0, SETTINGS, stopped="at once", compare=False)
    assert short.diffusivity_A2_per_ps is None
    assert short.volume_A3_per_atom is None


def _run(temperature_K, verdict, value=None, high=None, volume=20.0, hops=10.0):
    value = {Verdict.DIFFUSES: 0.1, Verdict.TOO_SLOW: 1e-4}.get(verdict) if value is None else value
    estimate = None
    if value is not None:
        low = 0.8 * value if verdict is Verdict.DIFFUSES else 0.0
        estimate = Estimate(value=value, low=low, high=high or 1.25 * value, standard_error=0.1 * value)
    return RunResult(
        temperature_K=temperature_K,
        verdict=verdict,
        told=str(verdict),
        length_ps=55.0,
        sound_ps=50.0,
        ions=24,
        atoms=84,
        charge_e=1.0,
        hops_per_ion=hops,
        diffusivity_A2_per_ps=estimate,
        measured=verdict is Verdict.DIFFUSES,
        relative_error=0.2 if verdict is Verdict.DIFFUSES else None,
        volume_A3_per_atom=volume,
        host=HOST,
    )


def _walked(answers, chosen=None):
    """Return the temperatures that a screening goes through where each has its verdict."""
    runs = []
    while (step := next_run(runs, chosen or ScreeningSettings())).temperature_K is not None:
        runs.append(_run(step.temperature_K, answers(step.temperature_K)))
    return runs, step.reason


def _melting(above_K, slow_below_K=0.0):
    def answer(temperature_K):
        if temperature_K > above_K:
            return Verdict.MELTED
        return Verdict.TOO_SLOW if temperature_K < slow_below_K else Verdict.DIFFUSES

    return answer


@pytest.mark.parametrize(
    ("above_K", "slow_below_K", "temperatures"),
    [
        (2000, 0, [1000, 800, 640, 512]),
        (900, 0, [1000, 800, 640, 512, 409.6]),
        (2000, 600, [1000, 800, 640, 512]),
        (2000, 2000, [1000]),
        (900, 850, [1000, 800, 894.4]),
        (0, 0, [1000, 800, 640, 512, 409.6]),
    ],
)
def test_temperatures_follow_from_what_happens_at_the_ones_before(above_K, slow_below_K, temperatures):
    runs, reason = _walked(_melting(above_K, slow_below_K))
    assert [one.temperature_K for one in runs] == temperatures
    assert reason


@given(st.lists(st.sampled_from(list(Verdict)), min_size=30, max_size=30), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_a_screening_ends_whatever_happens(verdicts, most_runs):
    chosen = ScreeningSettings(most_runs=max(most_runs, 2), temperatures=2)
    given_so_far = iter(verdicts)
    runs, _ = _walked(lambda _: next(given_so_far), chosen)
    assert 1 <= len(runs) <= chosen.most_runs
    temperatures = [one.temperature_K for one in runs]
    assert len(set(temperatures)) == len(temperatures)
    assert min(temperatures) >= chosen.lowest_temperature_K
    assert max(temperatures) == chosen.start_temperature_K
    summarise(runs, chosen, 19.0)


def test_a_run_ends_when_it_is_known_and_goes_on_when_it_is_not():
    chosen = ScreeningSettings(relative_error=0.25)
    assert may_end(_run(1000, Verdict.DIFFUSES), chosen)
    assert not may_end(_run(1000, Verdict.DIFFUSES), ScreeningSettings(relative_error=0.1))
    assert may_end(_run(1000, Verdict.MELTED), chosen)
    assert may_end(_run(1000, Verdict.TOO_SLOW, high=5e-4), chosen)
    assert not may_end(_run(1000, Verdict.TOO_SLOW, high=5e-2), chosen)
    # 5 hops in 200 ps: none in 50 ps will not become so many, one may.
    assert may_end(_run(1000, Verdict.TOO_SLOW, high=5e-2, hops=0.0), chosen)
    assert not may_end(_run(1000, Verdict.TOO_SLOW, high=5e-2, hops=1.0), chosen)


def test_the_summary_has_the_line_the_volume_at_300_K_and_the_verdict():
    def volume(temperature_K):
        return 19.0 * (1 + 1e-4 * temperature_K)

    runs = [
        _run(t, Verdict.DIFFUSES, 20 * float(np.exp(-0.25 / (8.617333e-5 * t))), volume=volume(t))
        for t in (1000.0, 800.0, 640.0)
    ]
    found = summarise(runs, ScreeningSettings(), 19.0)
    assert found.outcome is Outcome.CONDUCTOR
    assert found.volume_300K_A3_per_atom == pytest.approx(volume(300.0))
    assert found.largest_expansion == pytest.approx(1.1)
    assert found.line.activation_energy_eV.value == pytest.approx(0.25, abs=1e-3)
    assert found.line.temperatures_K == (1000.0, 800.0, 640.0)
    slow = summarise([_run(1000.0, Verdict.TOO_SLOW)], ScreeningSettings(), 19.0)
    assert (slow.outcome, slow.line) == (Outcome.SLOW, None)
    lost = summarise([_run(1000.0, Verdict.MELTED), _run(800.0, Verdict.DECOMPOSED)], ScreeningSettings(), 19.0)
    assert lost.outcome is Outcome.UNSTABLE
    assert lost.lowest_lost_temperature_K == 800.0
    # What a guard stops may be the error of the potential: no word on the crystal.
    stopped = summarise([_run(1000.0, Verdict.STOPPED), _run(800.0, Verdict.STOPPED)], ScreeningSettings(), 19.0)
    assert (stopped.outcome, stopped.lowest_lost_temperature_K, stopped.line) == (Outcome.OPEN, None, None)
    assert "the potential may be what gave way" in stopped.told
    both = summarise([_run(1000.0, Verdict.STOPPED), _run(800.0, Verdict.MELTED)], ScreeningSettings(), 19.0)
    assert both.outcome is Outcome.UNSTABLE
    one = summarise([_run(1000.0, Verdict.DIFFUSES)], ScreeningSettings(), 19.0)
    assert one.outcome is Outcome.OPEN
