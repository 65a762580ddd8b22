"""Whatever an engine does, a label ends in a named state with a reason, and nothing is left running."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import psutil
import pytest
from ase import Atoms

from ionloop.core.states import State
from ionloop.labelling import CommandSettings, EngineProcessError, Gfn1XtbSettings, ScratchError, label

# An engine that is to be killed needs this much to start, and not more.
WALL_TIME_LIMIT_S = 0.5
MEMORY_LIMIT_MB = 400.0


def assert_no_numbers(outcome):
    numbers = (outcome.energy, outcome.forces, outcome.stress, outcome.charges, outcome.dipole)
    assert numbers == (None,) * len(numbers)


def gone(process_id: int) -> bool:
    return not psutil.pid_exists(process_id) or psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE


class TestRejectedStructures:
    def reason(self, atoms, tmp_path, **settings):
        outcome = label(atoms, Gfn1XtbSettings(**settings), tmp_path)
        assert outcome.state is State.REJECTED
        assert outcome.attempts == ()
        assert_no_numbers(outcome)
        return outcome.reason

    def test_atoms_too_close(self, lithium_thiophosphate, tmp_path):
        lithium_thiophosphate.positions[2] = lithium_thiophosphate.positions[1] + [0.05, 0, 0]
        assert "atoms 1 (P) and 2 (S) are 0.050 Å apart" in self.reason(lithium_thiophosphate, tmp_path)

    def test_atoms_too_close_through_the_boundary(self, tmp_path):
        atoms = Atoms("LiS", positions=[[0.1, 0, 0], [4.9, 0, 0]], cell=[5, 5, 5], pbc=True)
        assert "0.200 Å apart" in self.reason(atoms, tmp_path)

    def test_atoms_on_top_of_each_other(self, tmp_path):
        assert "0.000 Å" in self.reason(Atoms("Li2", positions=[[1, 1, 1]] * 2), tmp_path)

    def test_position_not_finite(self, lithium_thiophosphate, tmp_path):
        lithium_thiophosphate.positions[3, 1] = float("nan")
        assert "atom 3 (S) is not finite" in self.reason(lithium_thiophosphate, tmp_path)

    def test_flat_cell(self, lithium_thiophosphate, tmp_path):
        lithium_thiophosphate.cell[2] = lithium_thiophosphate.cell[1]
        assert "no volume" in self.reason(lithium_thiophosphate, tmp_path)

    def test_no_atoms(self, tmp_path):
        assert "no atoms" in self.reason(Atoms(), tmp_path)

    def test_element_without_parameters(self, tmp_path):
        assert "no parameters for U" in self.reason(Atoms("U"), tmp_path)

    def test_slab_that_tblite_would_take_for_a_crystal(self, lithium_thiophosphate, tmp_path):
        lithium_thiophosphate.pbc = (True, True, False)
        assert "three directions or in none" in self.reason(lithium_thiophosphate, tmp_path)

    def test_element_that_the_command_has_no_data_for(self, lithium_thiophosphate, tmp_path):
        settings = CommandSettings(calculator="ase.calculators.emt:EMT", elements=("Li", "S"))
        outcome = label(lithium_thiophosphate, settings, tmp_path)
        assert outcome.state is State.REJECTED
        assert "no data for P" in outcome.reason


class TestCrashes:
    @pytest.mark.parametrize(
        ("harm", "options", "state", "reason"),
        [
            ("abort", {}, State.FAILED, "SIGABRT"),
            ("fork_and_abort", {}, State.FAILED, "SIGABRT"),
            ("segfault", {}, State.FAILED, "SIGSEGV"),
            ("exit", {"status": 7}, State.FAILED, "exit status 7"),
            ("killed_from_outside", {}, State.KILLED, "killed from outside by SIGKILL"),
            ("print_and_raise", {}, State.FAILED, "ValueError: a negative eigenvalue"),
        ],
    )
    def test_is_told_with_its_reason(self, harm, options, state, reason, lithium_thiophosphate, misbehaving, tmp_path):
        outcome = label(lithium_thiophosphate, misbehaving(harm, **options), tmp_path)
        assert outcome.state is state
        assert reason in outcome.reason
        assert_no_numbers(outcome)

    def test_next_label_works(self, lithium_thiophosphate, misbehaving, tmp_path):
        label(lithium_thiophosphate, misbehaving("abort"), tmp_path / "first")
        outcome = label(lithium_thiophosphate, misbehaving("nothing"), tmp_path / "second")
        assert outcome.state is State.FINISHED

    def test_what_the_engine_printed_is_kept(self, lithium_thiophosphate, misbehaving, tmp_path):
        label(lithium_thiophosphate, misbehaving("print_and_raise"), tmp_path)
        log = (tmp_path / "attempt-1" / "log").read_text()
        assert "the last words of the engine" in log
        assert "Traceback" in log


class TestLimits:
    def test_time_out_kills_the_engine_and_what_it_started(self, lithium_thiophosphate, misbehaving, tmp_path):
        pid_file = tmp_path / "pids"
        settings = misbehaving("sleep", pid_file=str(pid_file), wall_time_limit_s=WALL_TIME_LIMIT_S)
        started_s = time.monotonic()
        outcome = label(lithium_thiophosphate, settings, tmp_path / "label")
        assert outcome.state is State.KILLED
        assert outcome.reason.startswith("time-out")
        assert time.monotonic() - started_s < WALL_TIME_LIMIT_S + 10
        assert_no_numbers(outcome)
        process_ids = [int(word) for word in pid_file.read_text().split()]
        assert len(process_ids) == 2
        assert all(gone(process_id) for process_id in process_ids)

    def test_memory_hog_is_killed_and_told_apart_from_a_time_out(self, lithium_thiophosphate, misbehaving, tmp_path):
        settings = misbehaving("fill_memory", memory_limit_MB=MEMORY_LIMIT_MB)
        outcome = label(lithium_thiophosphate, settings, tmp_path)
        assert outcome.state is State.KILLED
        assert outcome.reason.startswith("memory")
        assert "memory_limit_MB = 400" in outcome.reason


class TestGarbage:
    @pytest.mark.parametrize(
        ("harm", "options", "state", "reason"),
        [
            ("forget", {"name": "forces"}, State.FAILED, "forces"),
            ("replace", {"name": "forces", "value": [[0, 0, 0]]}, State.FAILED, "(1, 3), expected (4, 3)"),
            ("replace", {"name": "stress", "value": [0, 0]}, State.FAILED, "stress of shape (2,)"),
            ("replace", {"name": "charges", "value": [0]}, State.FAILED, "charges of shape (1,)"),
            ("replace", {"name": "free_energy", "value": [1, 2]}, State.FAILED, "energy of shape (2,)"),
            ("spoil", {"name": "forces"}, State.REJECTED, "forces that is not finite"),
            ("spoil", {"name": "free_energy"}, State.REJECTED, "energy that is not finite"),
            ("scale_forces", {"factor": 1e4}, State.REJECTED, "maximum_force_eV_per_A = 30"),
            ("push", {}, State.REJECTED, "must add up to zero"),
            ("lose_an_electron", {}, State.REJECTED, "add up to 1 e"),
        ],
    )
    def test_of_a_calculator(self, harm, options, state, reason, lithium_thiophosphate, misbehaving, tmp_path):
        outcome = label(lithium_thiophosphate, misbehaving(harm, **options), tmp_path)
        assert reason in outcome.reason
        assert outcome.state is state
        assert_no_numbers(outcome)

    @pytest.mark.parametrize(
        ("arguments", "state", "reason"),
        [
            ({"harm": "nonsense"}, State.FAILED, "output.extxyz is not readable"),
            ({"harm": "truncated"}, State.FAILED, "output.extxyz"),
            ({"harm": "silence"}, State.FAILED, "left no output.extxyz"),
            ({"harm": "other atoms"}, State.FAILED, "in the order of the input"),
            ({"harm": "other positions"}, State.FAILED, "differ by 0.1 Å"),
            ({"without": ["energy"]}, State.FAILED, "has no energy"),
            ({"without": ["forces"]}, State.FAILED, "has no forces"),
            ({"dipole": [1.0, 2.0]}, State.FAILED, "dipole of shape (2,)"),
            ({"harm": "status"}, State.FAILED, "exit status 3"),
            ({"harm": "signal", "name": "SIGSEGV"}, State.FAILED, "SIGSEGV"),
            ({"harm": "signal", "name": "SIGKILL"}, State.KILLED, "ran out of memory"),
            ({"harm": "unconverged"}, State.UNCONVERGED, "converged=F"),
        ],
    )
    def test_of_an_executable(self, arguments, state, reason, lithium_thiophosphate, executable, tmp_path):
        outcome = label(lithium_thiophosphate, executable(**arguments), tmp_path)
        assert reason in outcome.reason
        assert outcome.state is state
        assert_no_numbers(outcome)

    def test_log_of_a_failed_executable_is_kept(self, lithium_thiophosphate, executable, tmp_path):
        label(lithium_thiophosphate, executable(harm="status"), tmp_path)
        assert "the basis set is missing" in (tmp_path / "attempt-1" / "log").read_text()


class TestMissingEngines:
    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            (CommandSettings(executable="no-such-code --fast"), "executable 'no-such-code' not found on PATH"),
            (CommandSettings(calculator="no_such_package:Thing"), "cannot be imported"),
            (CommandSettings(calculator="ase.calculators.emt:EMD"), "has no 'EMD'"),
        ],
    )
    def test_is_a_failed_label(self, settings, reason, lithium_thiophosphate, tmp_path):
        outcome = label(lithium_thiophosphate, settings, tmp_path)
        assert outcome.state is State.FAILED
        assert reason in outcome.reason

    def test_process_that_cannot_start_is_an_error_of_the_environment(self, lithium_thiophosphate, tmp_path):
        (tmp_path / "psutil.py").write_text("raise ImportError('broken installation')")
        settings = CommandSettings(calculator="ase.calculators.emt:EMT", environment={"PYTHONPATH": str(tmp_path)})
        with pytest.raises(EngineProcessError, match="broken installation"):
            label(lithium_thiophosphate, settings, tmp_path / "label")


class TestScratchThatCannotBeUsed:
    def test_folder_that_cannot_be_made(self, lithium_thiophosphate, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(ScratchError, match=r"file/label'.*Not a directory"):
            label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path / "file" / "label")

    def test_disk_that_is_full_for_us(self, lithium_thiophosphate, tmp_path, monkeypatch):
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ScratchError, match="No space left on device"):
            label(lithium_thiophosphate, Gfn1XtbSettings(), tmp_path)
        assert not (tmp_path / "result.json").exists()

    def test_disk_that_is_full_for_the_engine(self, lithium_thiophosphate, misbehaving, tmp_path):
        with pytest.raises(ScratchError, match="No space left on device"):
            label(lithium_thiophosphate, misbehaving("fill_disk"), tmp_path)
        assert not Path(tmp_path / "result.json").exists()
