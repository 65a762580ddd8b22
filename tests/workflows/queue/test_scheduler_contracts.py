"""The schedulers keep the contract that others inherit; SLURM's real daemons are in tests/cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from ionloop.workflows.queue.schedulers.base import SchedulerError
from ionloop.workflows.queue.schedulers.contract import SchedulerContract
from ionloop.workflows.queue.schedulers.lsf import LSF
from ionloop.workflows.queue.schedulers.pbs import PBS
from ionloop.workflows.queue.schedulers.slurm import SLURM

STAND_IN = Path(__file__).with_name("stand_in_queue.py")


class WithStandIn(SchedulerContract):
    commands: ClassVar[Sequence[str]]

    @pytest.fixture(autouse=True)
    def _queue(self, tmp_path, monkeypatch):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in self.commands:
            command = folder / name
            command.write_text(f"#!{sys.executable} -S\n{STAND_IN.read_text()}")
            command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("IONLOOP_TEST_QUEUE", str(tmp_path / "queue.json"))
        for variable in ("SBATCH_CLUSTERS", "SLURM_CLUSTERS", "SLURM_JOB_ID", "SLURM_JOB_END_TIME"):
            monkeypatch.delenv(variable, raising=False)


class TestSlurm(WithStandIn):
    scheduler = SLURM
    commands = ("sbatch", "squeue", "scontrol", "sacct", "scancel")


class TestPbs(WithStandIn):
    scheduler = PBS
    commands = ("qsub", "qselect", "qstat", "qdel")


class TestLsf(WithStandIn):
    scheduler = LSF
    commands = ("bsub", "bjobs", "bkill")

    def test_what_is_refused_is_an_error_in_the_scheduler_s_words(self, tmp_path):
        # bsub reads the script from its input.
        empty = tmp_path / "empty.sh"
        empty.touch()
        with pytest.raises(SchedulerError, match="Empty job"):
            self.scheduler.submit(empty)
