"""A screening as a graph: gold with mobile copper in a potential of waves, which holds gold up to some temperature."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.units import GPa

from ionloop.analysis.screening.runs import Verdict
from ionloop.analysis.screening.settings import ScreeningSettings
from ionloop.analysis.screening.temperatures import Outcome
from ionloop.core.errors import InputError
from ionloop.tasks.results import Potential
from ionloop.tasks.screening import run as under_test
from ionloop.tasks.screening.run import ScreeningRunParameters, ScreeningRunTask
from ionloop.tasks.values.screening import SCREENING_CELLS, SCREENING_RUNS, SCREENINGS
from ionloop.workflows.analyses import runner
from ionloop.workflows.analyses.runner import OwnCalculator, Question, ask
from ionloop.workflows.analyses.screening.kind import SCREENING

LATTICE_A = 4.05
BARRIERS_EV = {"Cu": 0.15, "Au": 1.2}
BULK_MODULUS = 60.0 * GPa


class Waves(Calculator):
    """Wells half a lattice constant apart, between which each species has its barrier; the volume is held as well."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        lengths = self.atoms.cell.lengths()
        wells = 2 * np.round(lengths / LATTICE_A)
        barriers = np.array([BARRIERS_EV[symbol] for symbol in self.atoms.symbols])[:, None]
        phase = 2 * np.pi * wells * self.atoms.positions / lengths
        volume, rest = self.atoms.get_volume(), LATTICE_A**3 * np.prod(wells / 2)
        strain = volume / rest - 1.0
        energy = float(np.sum(0.5 * barriers * (1 - np.cos(phase))) + 0.5 * BULK_MODULUS * rest * strain**2)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": -0.5 * barriers * np.sin(phase) * 2 * np.pi * wells / lengths,
            "stress": np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) * BULK_MODULUS * strain,
        }


def _gold_with_copper():
    a = LATTICE_A
    return Atoms("CuAu3", [(0, 0, 0), (a / 2, a / 2, 0), (a / 2, 0, a / 2), (0, a / 2, a / 2)], cell=[a] * 3, pbc=True)


def _settings(**changes):
    return ScreeningSettings.model_validate(
        {
            "charge_e": 1.0,
            "smallest_cell_A": 8.0,
            "mobile_ions": 8,
            "timestep_fs": 5.0,
            "write_every": 10,
            "equilibration_ps": 0.5,
            "first_look_ps": 5.0,
            "look_every_ps": 5.0,
            "length_ps": 10.0,
            "hop_length_A": 1.5,
            "hops_per_ion": 1.0,
            "friction_per_ps": 2.0,
            "host": {"window_ps": 2.5},
            "barostat": {"cell": "isotropic", "compressibility_per_GPa": 0.016, "time_fs": 200.0},
            "guard": {"contacts": {"covalent_fraction": 0.0}},
            **changes,
        }
    )


def _asked(settings, **more):
    question = Question(_gold_with_copper(), [OwnCalculator(Waves())], settings, campaign={"mobile": "Cu", **more})
    return ask(SCREENING, question)


@pytest.mark.slow
def test_a_crystal_that_is_too_hot_is_run_colder_until_its_ions_rest():
    answer = _asked(_settings(start_temperature_K=5000.0, temperature_factor=0.4, lowest_temperature_K=200.0))
    assert answer.failed == {}
    runs = [SCREENING_RUNS.read(one) for one in answer.of_kind(SCREENING_RUNS.name)]
    assert [one.temperature_K for one in runs[:3]] == [5000.0, 2000.0, 800.0]
    assert not runs[0].verdict.sound
    assert runs[1].verdict is Verdict.DIFFUSES
    assert runs[-1].verdict is Verdict.TOO_SLOW
    summary = SCREENINGS.read(answer.only(SCREENINGS.name))
    assert summary.temperatures_K == tuple(one.temperature_K for one in runs)
    assert summary.outcome is Outcome.CONDUCTOR
    assert 0.05 < summary.line.activation_energy_eV.value < 0.35
    assert summary.line.bounded_temperatures_K == (runs[-1].temperature_K,)
    assert (summary.highest_sound_temperature_K, summary.lowest_lost_temperature_K) == (2000.0, 5000.0)
    cell = SCREENING_CELLS.read(answer.only(SCREENING_CELLS.name))
    assert cell.repetitions == (2, 2, 2)
    assert cell.converged
    assert summary.volume_300K_A3_per_atom == pytest.approx(LATTICE_A**3 / 4, rel=0.01)
    assert answer.section is not None
    assert "screening-arrhenius" in answer.section.figures
    assert str(summary.outcome) in answer.section.summary


@pytest.mark.slow
def test_a_run_that_was_killed_ends_where_it_would_have_ended(tmp_path, monkeypatch):
    settings = _settings(most_runs=1, temperatures=1, relative_error=1e-3)
    whole = _asked(settings).only(SCREENING_RUNS.name)

    class Killed(BaseException):
        pass

    looked = under_test.analyse_run
    calls = []

    def killed_once(*given, **named):
        calls.append(len(given[0]))
        if len(calls) == 1:
            raise Killed
        return looked(*given, **named)

    monkeypatch.setattr(under_test, "analyse_run", killed_once)
    run = runner.run_jobs

    def run_twice(context, jobs, progress=None):
        with pytest.raises(Killed):
            run(context, jobs, progress)
        return run(context, jobs, progress)

    monkeypatch.setattr(runner, "run_jobs", run_twice)
    again = _asked(settings).only(SCREENING_RUNS.name)
    assert calls[0] == calls[1]  # the same look sees the same frames
    assert again.values == whole.values
    assert again.id == whole.id


def test_nothing_is_run_twice(monkeypatch):
    settings = _settings(most_runs=2, temperatures=2, hops_per_ion=1e4)
    made = []
    run = runner.run_jobs

    def run_twice(context, jobs, progress=None):
        first = run(context, jobs, progress)
        monkeypatch.setattr(
            "ionloop.tasks.screening.run.run_langevin", lambda *_, **__: made.append(1) or pytest.fail("ran again")
        )
        run(context, jobs, progress)
        return first

    monkeypatch.setattr(runner, "run_jobs", run_twice)
    answer = _asked(settings)
    assert len(answer.of_kind(SCREENING_RUNS.name)) == 1
    assert len(answer.of_kind(SCREENINGS.name)) == 1
    assert not made


def test_more_runs_leave_those_that_are_there():
    same = {"campaign": "c", "generation": 1, "potential": Potential(kind="gap", model="m"), "mobile": "Cu", "seed": 1}

    def named(**changes):
        return ScreeningRunParameters(**same, settings=_settings(**changes), cell="x", run=2).identifier

    assert named(most_runs=3, temperatures=2) == named(most_runs=5, temperatures=4)
    assert named(length_ps=20.0) != named(length_ps=40.0)
    assert ScreeningRunTask.resumable


def test_what_does_not_fit_is_told_with_its_key():
    with pytest.raises(InputError, match="holds no Li"):
        ask(SCREENING, Question(_gold_with_copper(), [OwnCalculator(Waves())], _settings()))
    with pytest.raises(InputError, match="charge_e must be given"):
        _asked(_settings(charge_e=None))
