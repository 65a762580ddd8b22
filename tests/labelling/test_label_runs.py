"""The life of a label that goes well, or gets there in the end: ladder, restart, scratch, one process."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms
from ase.calculators.calculator import CalculationFailed

from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.labelling import (
    ENGINES,
    CommandSettings,
    Gfn1XtbSettings,
    LabelOutcome,
    isolated_atom_energy,
    label,
    make_calculator,
    probe_engines,
    reset_history,
    settings_hash,
    stop_engine_process,
)
from ionloop.labelling.scratch import LabelBusy, LabelScratch, request_hash
from ionloop.tasks.base import is_busy

# Two ways to the same self-consistent answer differ by tblite's default convergence, 1e-6 hartree at most.
SELF_CONSISTENCY_TOLERANCE_EV = 1e-5
PROCESS_DEATH_LIMIT_S = 60.0


def test_a_label_that_two_campaigns_ask_for_is_computed_by_one_of_them(tmp_path, lithium_thiophosphate, misbehaving):
    settings = misbehaving("unconverged_below", cycles=5, needed=5)
    elsewhere = LabelScratch(tmp_path, request_hash(lithium_thiophosphate), settings_hash(settings))
    with elsewhere.held(), pytest.raises(LabelBusy, match="another process computes the label") as busy:
        label(lithium_thiophosphate, settings, tmp_path)
    # A worker leaves the job alone for a while and takes others.
    assert is_busy(busy.value)
    assert label(lithium_thiophosphate, settings, tmp_path).state is State.FINISHED


class TestRecoveryLadder:
    def test_unconverged_attempts_are_recorded_until_one_finishes(self, lithium_thiophosphate, misbehaving, tmp_path):
        ladder = ({"cycles": 20}, {"cycles": 60}, {"cycles": 100})
        settings = misbehaving("unconverged_below", recovery=ladder, cycles=5, needed=50)
        outcome = label(lithium_thiophosphate, settings, tmp_path)
        assert outcome.state is State.FINISHED
        assert [attempt.state for attempt in outcome.attempts] == [
            State.UNCONVERGED,
            State.UNCONVERGED,
            State.FINISHED,
        ]
        assert [attempt.settings["arguments"]["cycles"] for attempt in outcome.attempts] == [5, 20, 60]
        assert outcome.attempts[1].reason == "RuntimeError: SCF not converged in 20 cycles"
        assert outcome.wall_time_s == pytest.approx(sum(attempt.wall_time_s for attempt in outcome.attempts))

    def test_ends_unconverged_without_numbers_after_max_attempts(self, lithium_thiophosphate, misbehaving, tmp_path):
        ladder = ({"cycles": 20}, {"cycles": 60})
        settings = misbehaving("unconverged_below", recovery=ladder, cycles=5, needed=50, max_attempts=2)
        outcome = label(lithium_thiophosphate, settings, tmp_path)
        assert outcome.state is State.UNCONVERGED
        assert len(outcome.attempts) == 2
        assert outcome.energy is None
        assert outcome.forces is None

    def test_silently_unconverged_calculator_is_found_out(self, lithium_thiophosphate, misbehaving, tmp_path):
        outcome = label(lithium_thiophosphate, misbehaving("silently_unconverged"), tmp_path)
        assert outcome.state is State.UNCONVERGED
        assert outcome.energy is None

    def test_crash_is_not_tried_again(self, lithium_thiophosphate, misbehaving, tmp_path):
        outcome = label(lithium_thiophosphate, misbehaving("abort", recovery=({}, {})), tmp_path)
        assert len(outcome.attempts) == 1

    def test_tblite_with_too_few_cycles_is_unconverged(self, lithium_thiophosphate, tmp_path):
        settings = Gfn1XtbSettings(max_iterations=2, max_attempts=1)
        outcome = label(lithium_thiophosphate, settings, tmp_path)
        assert outcome.state is State.UNCONVERGED
        assert "not converged in 2 cycles" in outcome.reason
        assert outcome.energy is None

    def test_tblite_recovers_to_the_same_answer(self, lithium_thiophosphate, tmp_path):
        recovered = label(lithium_thiophosphate, Gfn1XtbSettings(max_iterations=4), tmp_path / "recovered")
        plain = label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path / "plain")
        assert len(recovered.attempts) > 1
        assert recovered.state is State.FINISHED
        assert recovered.energy == pytest.approx(plain.energy, abs=SELF_CONSISTENCY_TOLERANCE_EV)

    def test_tblite_ladder_never_changes_the_physics(self):
        settings = Gfn1XtbSettings()
        ladder = ENGINES.get("gfn1-xtb").recovery_ladder(settings)
        assert len(ladder) == 2
        assert {settings_hash(rung) for rung in ladder} == {settings_hash(settings)}
        assert all(type(rung).model_validate(rung.model_dump()) == rung for rung in ladder)


class TestRestart:
    def test_finished_result_is_parsed_not_recomputed(self, lithium_thiophosphate, executable, tmp_path):
        settings = executable(runs=str(tmp_path / "runs"))
        first = label(lithium_thiophosphate, settings, tmp_path / "label")
        again = label(lithium_thiophosphate, settings, tmp_path / "label")
        assert (tmp_path / "runs").read_text() == "x"
        assert again.to_document() == first.to_document()

    def test_result_of_another_structure_is_not_taken(self, lithium_thiophosphate, executable, tmp_path):
        settings = executable(runs=str(tmp_path / "runs"))
        first = label(lithium_thiophosphate, settings, tmp_path / "label")
        lithium_thiophosphate.positions[1, 0] += 0.1
        again = label(lithium_thiophosphate, settings, tmp_path / "label")
        assert (tmp_path / "runs").read_text() == "xx"
        assert again.energy != first.energy

    def test_result_of_other_physics_is_not_taken(self, lithium_thiophosphate, tmp_path):
        cold = label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path)
        hot = label(lithium_thiophosphate, Gfn1XtbSettings(electronic_temperature_K=5000.0), tmp_path)
        assert hot.energy != cold.energy

    @pytest.mark.parametrize("wreck", ["", "{", '{"label": {}}', "[]"])
    def test_damaged_result_is_computed_again(self, wreck, lithium_thiophosphate, executable, tmp_path):
        settings = executable()
        first = label(lithium_thiophosphate, settings, tmp_path)
        (tmp_path / "result.json").write_text(wreck)
        assert label(lithium_thiophosphate, settings, tmp_path).energy == first.energy

    def test_finished_result_is_held_against_new_bounds(self, lithium_thiophosphate, executable, tmp_path):
        label(lithium_thiophosphate, executable(), tmp_path)
        strict = executable().model_copy(update={"maximum_force_eV_per_A": 1e-3})
        outcome = label(lithium_thiophosphate, strict, tmp_path)
        assert outcome.state is State.REJECTED
        assert outcome.energy is None
        assert label(lithium_thiophosphate, executable(), tmp_path).state is State.FINISHED

    def test_unfinished_result_is_tried_again(self, lithium_thiophosphate, tmp_path):
        assert label(lithium_thiophosphate, Gfn1XtbSettings(max_iterations=2, max_attempts=1), tmp_path).reason
        assert label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path).state is State.FINISHED

    def test_output_that_an_interrupted_run_finished_is_only_parsed(self, lithium_thiophosphate, executable, tmp_path):
        settings = executable(runs=str(tmp_path / "runs"))
        first = label(lithium_thiophosphate, settings, tmp_path / "label", keep_scratch=True)
        # The caller died after the executable's end and before the result was written.
        (tmp_path / "label" / "result.json").unlink()
        again = label(lithium_thiophosphate, settings, tmp_path / "label")
        assert (tmp_path / "runs").read_text() == "x"
        assert again.energy == first.energy
        np.testing.assert_array_equal(again.forces, first.forces)

    def test_output_that_an_interrupted_run_left_half_is_removed(self, lithium_thiophosphate, executable, tmp_path):
        settings = executable(runs=str(tmp_path / "runs"))
        label(lithium_thiophosphate, settings, tmp_path / "label", keep_scratch=True)
        (tmp_path / "label" / "result.json").unlink()
        (tmp_path / "label" / "attempt-1" / "exit-status-0").unlink()
        (tmp_path / "label" / "attempt-1" / "stale").touch()
        label(lithium_thiophosphate, settings, tmp_path / "label", keep_scratch=True)
        assert (tmp_path / "runs").read_text() == "xx"
        assert not (tmp_path / "label" / "attempt-1" / "stale").exists()


class TestScratch:
    def test_success_leaves_the_result_and_the_log(self, lithium_thiophosphate, executable, tmp_path):
        label(lithium_thiophosphate, executable(), tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "log", "result.json"]

    def test_result_is_the_outcome_as_json(self, lithium_thiophosphate, executable, tmp_path):
        outcome = label(lithium_thiophosphate, executable(), tmp_path)
        document = json.loads((tmp_path / "result.json").read_text())["outcome"]
        assert LabelOutcome.from_document(document).energy == outcome.energy

    def test_the_dipole_of_an_executable_is_kept(self, lithium_thiophosphate, executable, tmp_path):
        settings = executable(dipole=[0.1, -0.2, 0.3])
        np.testing.assert_array_equal(label(lithium_thiophosphate, settings, tmp_path).dipole, [0.1, -0.2, 0.3])
        np.testing.assert_array_equal(label(lithium_thiophosphate, settings, tmp_path).dipole, [0.1, -0.2, 0.3])

    def test_a_result_written_before_labels_had_dipoles_is_read(self, lithium_thiophosphate, executable, tmp_path):
        settings = executable(runs=str(tmp_path / "runs"))
        first = label(lithium_thiophosphate, settings, tmp_path / "label")
        path = tmp_path / "label" / "result.json"
        document = json.loads(path.read_text())
        del document["outcome"]["dipole"]
        path.write_text(json.dumps(document))
        assert label(lithium_thiophosphate, settings, tmp_path / "label").to_document() == first.to_document()
        assert (tmp_path / "runs").read_text() == "x"

    def test_the_atoms_are_left_alone(self, lithium_thiophosphate, tmp_path):
        before = lithium_thiophosphate.copy()
        label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path)
        assert lithium_thiophosphate == before
        assert lithium_thiophosphate.calc is None


class TestEngineProcess:
    def engine_processes(self) -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process().children()
            if child.status() != psutil.STATUS_ZOMBIE and "ionloop.labelling.process.child" in child.cmdline()
        ]

    def test_labels_share_one_process(self, lithium_thiophosphate, tmp_path):
        label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path / "first")
        (first,) = self.engine_processes()
        label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path / "second")
        (second,) = self.engine_processes()
        assert first == second
        stop_engine_process()
        assert self.engine_processes() == []

    def test_forked_process_gets_its_own(self, lithium_thiophosphate, tmp_path):
        label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path / "parent")
        script = textwrap.dedent(
            """
            import os, sys
            from pathlib import Path
            import ase.build
            from ionloop.labelling import Gfn1XtbSettings, label
            folder, atoms = Path(sys.argv[1]), ase.build.molecule("H2")
            energies = [label(atoms, Gfn1XtbSettings(), folder / "before").energy]
            child = os.fork()
            energies.append(label(atoms, Gfn1XtbSettings(), folder / f"after-{child == 0}").energy)
            if child == 0:
                os._exit(int(energies[0] != energies[1]))
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or energies[0] != energies[1])
            """
        )
        completed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60, check=False)
        assert completed.returncode == 0

    def test_dies_with_its_parent_and_takes_what_it_started_along(self, misbehaving, tmp_path):
        settings = misbehaving("sleep", pid_file=str(tmp_path / "pids"))
        script = textwrap.dedent(
            """
            import sys
            from pathlib import Path
            from ase import Atoms
            from ionloop.labelling import CommandSettings, label
            label(Atoms("Li"), CommandSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
            """
        )
        parent = subprocess.Popen([sys.executable, "-c", script, settings.model_dump_json(), str(tmp_path / "label")])
        wait_for(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())
        process_ids = [int(word) for word in (tmp_path / "pids").read_text().split()]
        assert all(psutil.pid_exists(process_id) for process_id in process_ids)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_for(lambda: not any(psutil.pid_exists(process_id) for process_id in process_ids))

    def test_one_thread_unless_asked_for_more(self, lithium_thiophosphate, tmp_path, monkeypatch):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        stop_engine_process()
        label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path / "default")
        (process,) = self.engine_processes()
        assert process.environ()["OMP_NUM_THREADS"] == "1"
        stop_engine_process()
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path / "asked")
        (process,) = self.engine_processes()
        assert process.environ()["OMP_NUM_THREADS"] == "2"
        stop_engine_process()


def wait_for(condition) -> None:
    deadline_s = time.monotonic() + PROCESS_DEATH_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.05)


class TestCalculatorForDynamics:
    def test_has_the_bits_of_the_label_whatever_else_this_process_has_imported(self, lithium_thiophosphate, tmp_path):
        # Its OpenBLAS changes the last bits of a tblite in the same process.
        pytest.importorskip("quippy.potential", exc_type=ImportError)
        lithium_thiophosphate.calc = make_calculator(Gfn1XtbSettings())
        outcome = label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path)
        assert lithium_thiophosphate.get_potential_energy() == outcome.energy
        np.testing.assert_array_equal(lithium_thiophosphate.get_forces(), outcome.forces)
        np.testing.assert_array_equal(lithium_thiophosphate.get_stress(), outcome.stress)
        np.testing.assert_array_equal(lithium_thiophosphate.get_charges(), outcome.charges)

    def test_reset_history_drops_the_wave_function_of_a_tblite_of_ones_own(self, lithium_thiophosphate, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        tblite = importlib.import_module("tblite.ase").TBLite
        here, there = lithium_thiophosphate.copy(), lithium_thiophosphate.copy()
        there.positions[0] += 0.02
        here.calc = tblite(method="GFN1-xTB", verbosity=0)
        new = here.get_forces().copy()
        there.calc = calculator = tblite(method="GFN1-xTB", verbosity=0)
        there.get_forces()
        carried_over = calculator.get_property("forces", lithium_thiophosphate.copy()).copy()
        there.get_forces()
        reset_history(calculator)
        forgotten = calculator.get_property("forces", lithium_thiophosphate.copy())
        np.testing.assert_array_equal(forgotten, new)
        assert not np.array_equal(carried_over, new)

    def test_failure_is_ases_calculation_failed_with_state_and_reason(self, lithium_thiophosphate, misbehaving):
        lithium_thiophosphate.calc = make_calculator(misbehaving("abort"))
        with pytest.raises(CalculationFailed, match=r"command: failed: .*SIGABRT"):
            lithium_thiophosphate.get_forces()

    def test_refuses_what_the_engine_cannot_compute(self, lithium_thiophosphate):
        lithium_thiophosphate.pbc = (True, False, True)
        lithium_thiophosphate.calc = make_calculator(Gfn1XtbSettings())
        with pytest.raises(CalculationFailed, match="three directions"):
            lithium_thiophosphate.get_forces()

    def test_calculator_that_cannot_be_made_says_so(self, lithium_thiophosphate):
        lithium_thiophosphate.calc = make_calculator(CommandSettings(calculator="no_such_package:Thing"))
        with pytest.raises(CalculationFailed, match="cannot be imported"):
            lithium_thiophosphate.get_forces()

    def test_asking_for_the_version_does_not_load_tblite_before_its_linear_algebra(self):
        script = textwrap.dedent(
            """
            import sys
            from ionloop.labelling import ENGINES, Gfn1XtbSettings
            assert ENGINES.get("gfn1-xtb").version(Gfn1XtbSettings()).startswith("tblite ")
            assert "tblite" not in sys.modules
            """
        )
        subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


class TestIsolatedAtoms:
    def test_unpaired_electrons_of_phosphorus_count(self, tmp_path):
        free = isolated_atom_energy("P", Gfn1XtbSettings(), tmp_path / "free")
        closed_shell = label(Atoms("P"), Gfn1XtbSettings(), tmp_path / "closed")
        assert free.state is State.FINISHED
        assert free.energy != closed_shell.energy

    def test_unknown_symbol(self, tmp_path):
        with pytest.raises(InputError, match="'Xx' is not a chemical symbol"):
            isolated_atom_energy("Xx", Gfn1XtbSettings(), tmp_path)


class TestProbes:
    def test_tell_the_version(self):
        probes = {probe.engine: probe for probe in probe_engines()}
        assert probes["gfn1-xtb"].found
        assert probes["gfn1-xtb"].version[0].isdigit()
        assert set(probes) == set(ENGINES.names)

    @pytest.mark.parametrize(
        ("settings", "found"),
        [
            (CommandSettings(executable=f"{sys.executable} script.py"), True),
            (CommandSettings(calculator="ase.calculators.emt:EMT"), True),
            (CommandSettings(executable="no-such-code"), False),
            (CommandSettings(calculator="no_such_package:Thing"), False),
        ],
    )
    def test_of_a_command_finds_it_or_says_what_to_do(self, settings, found):
        probe = ENGINES.get("command").probe(settings)
        assert probe.found is found
        assert bool(probe.remedy) is not found


def test_environment_of_the_caller_is_left_alone(lithium_thiophosphate, misbehaving, tmp_path):
    before = dict(os.environ), Path.cwd()
    label(lithium_thiophosphate, misbehaving("nothing"), tmp_path)
    assert (dict(os.environ), Path.cwd()) == before
