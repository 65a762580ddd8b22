"""What a queue job runs: some workers that share the allocation, watched by a process that outlives them.

A worker that dies alone (killed for its memory, say) is replaced, and its job is to blame; a full disk ends the pilot;
SIGTERM is passed on, and the workers put their jobs back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import IonloopError
from ...store.connection import Store
from ..running.heartbeat import ENVIRONMENT_EXIT
from ..running.lost_jobs import Loss, recover_lost_jobs
from ..running.worker_process import WorkerProcess, end_workers, last_line, start_worker
from .pilot_settings import ENDS_AT_VARIABLE, QUEUE_JOB_VARIABLE, PilotSettings
from .queue_jobs import QueueJob, adopt_queue_job, note_pilot_end
from .schedulers.base import QueueState

POLL_S = 0.5
GRACE_S = 20.0
"""Below the time that schedulers leave between SIGTERM and SIGKILL (SLURM's KillWait: 30 s)."""
MAX_REPLACEMENTS_PER_WORKER = 5
SIGNAL_DELAY_S = 1.0
"""How long after a worker's death the signal that ends the whole queue job may still come."""
FULL_DISK = "no space left"


@dataclass
class Pilot:
    """Runs workers in an allocation until they have nothing left to do.

    Attributes
    ----------
    file
        The settings' file, which each worker reads as well.
    """

    store: Store
    settings: PilotSettings
    file: Path
    queue_job: str = ""
    _processes: list[WorkerProcess] = field(default_factory=list)
    _asked_to_end: threading.Event = field(default_factory=threading.Event)
    _started: int = 0

    def run(self) -> int:
        """Run the workers; return the exit status: 0, or that of a worker whose machine was at fault."""
        signal.signal(signal.SIGTERM, lambda *_: self._asked_to_end.set())
        self._register()
        recover_lost_jobs(self.store)
        for _ in range(self.settings.workers):
            self._start()
        try:
            while self._processes and not self._asked_to_end.is_set():
                self._wait()
                status = self._replace_dead()
                if status:
                    return status
        finally:
            end_workers(self._processes, GRACE_S)
        self._note_end()
        return 0

    def _note_end(self) -> None:
        """Say that this was an end in order: without accounting the scheduler soon forgets that it was."""
        if self._asked_to_end.is_set():
            state, reason = QueueState.CANCELLED, "its pilot was asked to end (SIGTERM)"
        else:
            state, reason = QueueState.FINISHED, "its workers had nothing left to run, or no time"
        if self.queue_job:
            with suppress(IonloopError, OSError):
                note_pilot_end(self.store, self.queue_job, state, reason)

    def _register(self) -> None:
        """Make sure that the store knows this queue job: the launcher may have been killed before it said so."""
        settings, job = self.settings, self.settings.job()
        # That of a pilot around this one is none of ours.
        os.environ.pop(QUEUE_JOB_VARIABLE, None)
        self.queue_job = settings.queue_job()
        # One end for all workers, also for those that replace others later.
        ends_at = settings.limits().ends_at
        if ends_at is not None:
            os.environ[ENDS_AT_VARIABLE] = str(ends_at)
        if job:
            self.queue_job = adopt_queue_job(
                self.store,
                QueueJob(
                    id=self.queue_job,
                    scheduler=settings.scheduler,
                    job=job,
                    campaign=settings.campaign,
                    resources=settings.resources,
                    cores=settings.cores,
                    log=settings.log.replace("%j", job),
                    submitted=time.time(),
                    state=QueueState.RUNNING,
                    name=settings.name,
                    cluster=settings.cluster(),
                ),
            )
            os.environ[QUEUE_JOB_VARIABLE] = self.queue_job

    def _start(self) -> None:
        self._started += 1
        label = f"{self.queue_job or 'pilot'}-{self._started}"
        self._processes.append(start_worker(self.store, ["pilot", str(self.file), "--worker"], label))

    def _wait(self) -> None:
        """Wait until a worker ends or this process is asked to."""
        while not self._asked_to_end.wait(POLL_S):
            if any(worker.process.poll() is not None for worker in self._processes):
                return

    def _replace_dead(self) -> int:
        """Put back what crashed workers ran and start others; return a status other than 0 to give up."""
        ended = [worker for worker in self._processes if worker.process.poll() is not None]
        self._processes = [worker for worker in self._processes if worker not in ended]
        for worker in ended:
            status = worker.process.returncode
            if status > 0:
                return self._give_up(status, last_line(worker.log))
            if status < 0:
                self._replace(worker, -status)
        return 0

    def _replace(self, worker: WorkerProcess, number: int) -> None:
        if self._asked_to_end.wait(SIGNAL_DELAY_S):
            # Whoever ends this queue job ended the worker too: its job is not to blame.
            return
        killed = number == signal.SIGKILL
        reason = f"its worker was killed by {signal.Signals(number).name}" + (" (out of memory?)" if killed else "")
        recover_lost_jobs(self.store, losses={worker.name: Loss("worker crashed", reason, blame=True)})
        if (
            self._started < self.settings.workers * (1 + MAX_REPLACEMENTS_PER_WORKER)
            and not self._asked_to_end.is_set()
        ):
            self._start()

    def _give_up(self, status: int, reason: str) -> int:
        """Say why no worker can go on here; return the exit status that says it once more."""
        is_full = status == ENVIRONMENT_EXIT or FULL_DISK in reason.lower()
        state = QueueState.SCRATCH_FULL if is_full else QueueState.FAILED
        sys.stdout.write(f"{reason}\n")
        if self.queue_job:
            # The store may lie on the disk that is full.
            with suppress(IonloopError, OSError):
                note_pilot_end(self.store, self.queue_job, state, reason)
        return ENVIRONMENT_EXIT if is_full else status
