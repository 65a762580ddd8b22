"""Running a campaign on this machine: workers as processes, watched, replaced when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import IonloopError
from ..store.connection import Store
from .status import CampaignStatus, campaign_status
from .worker import ENVIRONMENT_EXIT, recover_lost_jobs, worker_name

POLL_S = 0.5
GRACE_S = 10.0
_LOG_TAIL_BYTES = 4096


@dataclass
class WorkerProcess:
    """A worker's process, its name in the store and its log."""

    process: subprocess.Popen[bytes]
    name: str
    log: Path


@dataclass
class Supervisor:
    """Keeps workers running on a store until a campaign has nothing left to run.

    Attributes
    ----------
    store
        The store.
    campaign
        The campaign whose jobs the workers run.
    workers
        How many.
    max_crashes
        A job that takes so many workers down is not run again.
    """

    store: Store
    campaign: str
    workers: int
    max_crashes: int = 3
    _processes: list[WorkerProcess] = field(default_factory=list)

    def run(self, watch: Callable[[CampaignStatus], None]) -> CampaignStatus:
        """Run the campaign until no job is left; ``watch`` is told where it stands about twice a second.

        Raises
        ------
        IonloopError
            If the machine or the store fails: what is done stays done, the same call carries on.
        """
        recover_lost_jobs(self.store)
        try:
            while True:
                self._replace_dead()
                status = campaign_status(self.store, self.campaign)
                watch(status)
                if status.is_over or (not self._processes and not self._has_work(status)):
                    return status
                self._fill(status)
                self._wait()
        finally:
            self.stop()

    def stop(self) -> None:
        """End all workers; their jobs run again with the next call."""
        for worker in self._processes:
            worker.process.send_signal(signal.SIGTERM)
        for worker in self._processes:
            try:
                worker.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._processes.clear()

    @staticmethod
    def _has_work(status: CampaignStatus) -> bool:
        return bool(status.jobs.get("ready", 0) or status.jobs.get("running", 0))

    def _fill(self, status: CampaignStatus) -> None:
        while len(self._processes) < self.workers and self._has_work(status):
            self._processes.append(self._start())

    def _start(self) -> WorkerProcess:
        folder = self.store.artefacts.folder(Path("workers"))
        log = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{len(self._processes)}-{os.getpid()}.log"
        command = [
            sys.executable,
            "-m",
            "ionloop.cli",
            "worker",
            "--store",
            self.store.location,
            "--root",
            str(self.store.root),
            "--campaign",
            self.campaign,
            "--die-with-parent",
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )
        return WorkerProcess(process, worker_name(process.pid), log)

    def _wait(self) -> None:
        """Wait a moment, or until a worker ends."""
        end = time.monotonic() + POLL_S
        while time.monotonic() < end:
            if any(worker.process.poll() is not None for worker in self._processes):
                return
            time.sleep(POLL_S / 10)

    def _replace_dead(self) -> None:
        """Take ended workers off the list; put the jobs of those that crashed back into the queue."""
        ended = [worker for worker in self._processes if worker.process.poll() is not None]
        self._processes = [worker for worker in self._processes if worker not in ended]
        crashed = [worker for worker in ended if worker.process.returncode != 0]
        for worker in crashed:
            if worker.process.returncode == ENVIRONMENT_EXIT:
                raise IonloopError(f"{_last_line(worker.log)}\nNothing is lost; run the same command again.")
            if worker.process.returncode > 0:
                raise IonloopError(
                    f"a worker ended with status {worker.process.returncode}: {_last_line(worker.log)}\n"
                    f"Its log: {worker.log}"
                )
        if crashed:
            names = frozenset(worker.name for worker in crashed)
            recover_lost_jobs(self.store, crashed=names, max_crashes=self.max_crashes)


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError as error:
        return f"its log {log} cannot be read ({error.strerror})"
    return lines[-1] if lines else "it said nothing"
