"""Labels by the codes themselves: how they end, and how far they agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ionloop.cli.console.environment import Status, check_smoke_run
from ionloop.core.states import State
from ionloop.labelling import LabelOutcome, engine_of, label
from ionloop.labelling.engines.dft_settings import KGrid
from ionloop.labelling.settings import settings_hash
from ionloop.labelling.smoke import smoke_atoms, smoke_settings

pytestmark = pytest.mark.dft

# What basis sets and pseudopotentials may differ by; forces measured: 0.06 eV/Å, stress 0.004 eV/Å³.
LARGEST_FORCE_RMSE_EV_PER_A = 0.1
LARGEST_ENERGY_DIFFERENCE_EV = 0.1
LARGEST_STRESS_DIFFERENCE_EV_PER_A3 = 0.006
FORCE_STEP_A = 0.02
GAMMA = KGrid(gamma=True)
# Grid and cutoff are modest; the third derivative of the energy over the step adds the rest.
FINITE_DIFFERENCE_EV_PER_A = 0.02


def _finished(atoms: Atoms, settings, scratch: Path, **options: bool) -> LabelOutcome:
    outcome = label(atoms, settings, scratch, **options)
    assert outcome.state is State.FINISHED, outcome.reason
    return outcome


@pytest.fixture(scope="module")
def labelled_once(thiophosphate, tmp_path_factory):
    """Return a function that labels the first thiophosphate, once with each settings, and gives the folder too."""
    known: dict[str, tuple[LabelOutcome, Path]] = {}

    def get(settings) -> tuple[LabelOutcome, Path]:
        name = settings_hash(settings)
        if name not in known:
            folder = tmp_path_factory.mktemp("once")
            known[name] = _finished(thiophosphate(1), settings, folder, keep_scratch=True), folder
        return known[name]

    return get


@pytest.mark.timeout(900)
def test_gpaw_and_cp2k_agree_on_forces_stress_and_energy_differences(gpaw, cp2k, thiophosphate, tmp_path):
    labels = {
        name: [_finished(thiophosphate(seed), settings, tmp_path / f"{name}-{seed}") for seed in (1, 2)]
        for name, settings in (("gpaw", gpaw), ("cp2k", cp2k))
    }
    for first, second in zip(labels["gpaw"], labels["cp2k"], strict=True):
        rmse = float(np.sqrt(np.mean((first.forces - second.forces) ** 2)))
        assert rmse < LARGEST_FORCE_RMSE_EV_PER_A
        np.testing.assert_allclose(first.stress, second.stress, atol=LARGEST_STRESS_DIFFERENCE_EV_PER_A3)
    # Total energies count from different zeros; their differences do not.
    steps = [pair[1].energy - pair[0].energy for pair in labels.values()]
    assert abs(steps[0] - steps[1]) < LARGEST_ENERGY_DIFFERENCE_EV
    assert abs(labels["cp2k"][0].charges.sum()) < cp2k.maximum_charge_sum_e


@pytest.mark.parametrize("engine", ["gpaw", "cp2k"])
@pytest.mark.timeout(900)
def test_a_force_is_the_derivative_of_the_energy(engine, thiophosphate, labelled_once, tmp_path, request):
    settings = request.getfixturevalue(engine).model_copy(update={"k_grid": GAMMA})
    centre, _ = labelled_once(settings)
    energies = []
    for sign in (1, -1):
        moved = thiophosphate(1)
        moved.positions[0, 0] += sign * FORCE_STEP_A
        energies.append(_finished(moved, settings, tmp_path / f"moved{sign}").energy)
    derivative = -(energies[0] - energies[1]) / (2 * FORCE_STEP_A)
    assert centre.forces[0, 0] == pytest.approx(derivative, abs=FINITE_DIFFERENCE_EV_PER_A)


@pytest.mark.parametrize("engine", ["gpaw", "cp2k"])
def test_an_unconverged_run_is_recorded_and_carries_no_numbers(engine, thiophosphate, tmp_path, request):
    settings = request.getfixturevalue(engine).model_copy(
        update={"k_grid": GAMMA, "max_iterations": 2, "max_attempts": 2}
    )
    outcome = label(thiophosphate(1), settings, tmp_path)
    assert outcome.state is State.UNCONVERGED
    assert outcome.energy is None
    assert [attempt.state for attempt in outcome.attempts] == [State.UNCONVERGED] * 2
    assert outcome.attempts[1].settings["max_iterations"] == 6


@pytest.mark.parametrize("engine", ["gpaw", "cp2k"])
def test_the_ladder_reaches_the_answer_of_the_plain_settings(engine, thiophosphate, labelled_once, tmp_path, request):
    settings = request.getfixturevalue(engine).model_copy(update={"k_grid": GAMMA})
    hasty = settings.model_copy(update={"max_iterations": 14})
    plain, _ = labelled_once(settings)
    recovered = _finished(thiophosphate(1), hasty, tmp_path / "recovered")
    assert [attempt.state for attempt in recovered.attempts] == [State.UNCONVERGED, State.FINISHED]
    assert recovered.energy == pytest.approx(plain.energy, abs=1e-3)
    np.testing.assert_allclose(recovered.forces, plain.forces, atol=1e-2)


@pytest.mark.parametrize(
    ("limit", "word"), [({"wall_time_limit_s": 1.0}, "time-out"), ({"memory_limit_MB": 100.0}, "memory")]
)
def test_a_broken_limit_kills_cp2k_and_says_which(limit, word, cp2k, thiophosphate, tmp_path):
    outcome = label(thiophosphate(1), cp2k.model_copy(update=limit), tmp_path)
    assert outcome.state is State.KILLED
    assert word in outcome.reason


def test_finished_output_of_cp2k_is_parsed_and_not_computed_again(cp2k, thiophosphate, labelled_once, tmp_path):
    settings = cp2k.model_copy(update={"k_grid": GAMMA})
    first, finished = labelled_once(settings)
    folder = Path(shutil.copytree(finished, tmp_path / "label"))
    output = folder / "attempt-1" / "cp2k.out"
    written_at = output.stat().st_mtime_ns
    (folder / "result.json").unlink()
    second = label(thiophosphate(1), settings, folder, keep_scratch=True)
    assert output.stat().st_mtime_ns == written_at
    assert second.energy == first.energy
    np.testing.assert_array_equal(second.forces, first.forces)


def test_espresso_labels_silicon(espresso, tmp_path):
    silicon = bulk("Si", "diamond", a=5.47)
    silicon.positions[0] += [0.05, 0.02, 0.0]
    outcome = _finished(silicon, espresso, tmp_path / "centre")
    energies = []
    for sign in (1, -1):
        moved = silicon.copy()
        moved.positions[0, 0] += sign * FORCE_STEP_A
        energies.append(_finished(moved, espresso, tmp_path / f"moved{sign}").energy)
    assert outcome.stress is not None
    assert outcome.forces[0, 0] == pytest.approx(
        -(energies[0] - energies[1]) / (2 * FORCE_STEP_A), abs=FINITE_DIFFERENCE_EV_PER_A
    )


def test_espresso_says_that_it_did_not_converge(espresso, tmp_path):
    hasty = espresso.model_copy(update={"max_iterations": 1, "max_attempts": 1})
    outcome = label(bulk("Si", "diamond", a=5.47), hasty, tmp_path)
    assert outcome.state is State.UNCONVERGED, outcome.reason


@pytest.mark.parametrize("engine", ["gpaw", "cp2k", "espresso"])
def test_smoke_run_of_the_doctor(engine, request):
    request.getfixturevalue(engine)
    check = check_smoke_run(engine)
    assert check.status is Status.OK, check.advice


@pytest.mark.parametrize("engine", ["gpaw", "cp2k", "espresso"])
def test_every_rung_reaches_the_same_answer(engine, request, tmp_path):
    request.getfixturevalue(engine)
    settings = smoke_settings(engine)
    plain = _finished(smoke_atoms(), settings, tmp_path / "plain")
    for number, rung in enumerate(engine_of(settings).recovery_ladder(settings)):
        recovered = _finished(smoke_atoms(), rung, tmp_path / f"rung-{number}")
        assert recovered.energy == pytest.approx(plain.energy, abs=1e-3)
        np.testing.assert_allclose(recovered.forces, plain.forces, atol=1e-2)
