"""Functionals and dispersion by the codes themselves, on two atoms of silicon."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from ionloop.core.states import State
from ionloop.labelling import LabelOutcome, label
from ionloop.labelling.engines import dispersion, espresso
from ionloop.labelling.engines.executable import find_command, read_text, run_program
from ionloop.labelling.outcome import Evaluation
from ionloop.labelling.smoke import smoke_atoms, smoke_settings

pytestmark = pytest.mark.dft

STEP_A = 0.02
FINITE_DIFFERENCE_EV_PER_A = 0.02
# pw.x prints forces to 1e-8 Ry/a0 and stress to 1e-8 Ry/a0³, and takes other cutoffs of coordination numbers.
D3_ENERGY_EV, D3_FORCE_EV_PER_A, D3_STRESS_EV_PER_A3 = 1e-4, 1e-4, 1e-5


def finished(atoms: Atoms, settings, scratch) -> LabelOutcome:
    outcome = label(atoms, settings, scratch)
    assert outcome.state is State.FINISHED, outcome.reason
    return outcome


@pytest.mark.parametrize(("engine", "functional"), [("espresso", "pbesol"), ("cp2k", "r2scan")])
@pytest.mark.timeout(1800)
def test_forces_are_the_derivative_of_the_functional_s_own_energy(engine, functional, tmp_path, request):
    request.getfixturevalue(engine)
    settings = smoke_settings(engine).model_copy(update={"functional": functional})
    centre = finished(smoke_atoms(), settings, tmp_path / "centre")
    energies = []
    for sign in (1, -1):
        moved = smoke_atoms()
        moved.positions[0, 0] += sign * STEP_A
        energies.append(finished(moved, settings, tmp_path / f"moved{sign}").energy)
    derivative = -(energies[0] - energies[1]) / (2 * STEP_A)
    assert centre.forces[0, 0] == pytest.approx(derivative, abs=FINITE_DIFFERENCE_EV_PER_A)


@pytest.mark.parametrize("functional", ["pbe", "pbesol"])
def test_dispersion_is_that_of_quantum_espresso(espresso, functional, tmp_path):
    settings = smoke_settings("espresso").model_copy(update={"functional": functional})
    found = {name: _run(settings, tmp_path, name) for name in ("plain", "own-d3")}
    own, plain, ours = found["own-d3"], found["plain"], dispersion.d3bj(smoke_atoms(), functional)
    assert own.energy - plain.energy == pytest.approx(ours.energy, abs=D3_ENERGY_EV)
    np.testing.assert_allclose(own.forces - plain.forces, ours.forces, atol=D3_FORCE_EV_PER_A)
    np.testing.assert_allclose(own.stress - plain.stress, ours.stress, atol=D3_STRESS_EV_PER_A3)
    added = finished(smoke_atoms(), settings.model_copy(update={"dispersion": "d3bj"}), tmp_path / "label")
    assert added.energy == pytest.approx(own.energy, abs=D3_ENERGY_EV)


def _run(settings, folder, name: str) -> Evaluation:
    place = folder / name
    place.mkdir()
    text = espresso.input_text(smoke_atoms(), settings)
    if name == "own-d3":
        text = text.replace("&SYSTEM\n", "&SYSTEM\n vdw_corr='dft-d3'\n dftd3_version=4\n dftd3_threebody=.false.\n")
    (place / espresso.INPUT_FILE).write_text(text)
    assert run_program([*find_command(settings), "-in", espresso.INPUT_FILE], place, espresso.OUTPUT_FILE) is None
    return espresso.read_output(read_text(place / espresso.OUTPUT_FILE), smoke_atoms(), settings)
