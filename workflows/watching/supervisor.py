"""Running campaigns on this machine: workers as processes, watched, replaced when they die."""

from __future__ import annotations

import logging
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ...core.errors import IonloopError, MachineAtFault
from ...store.connection import Store
from ..running.heartbeat import ENVIRONMENT_EXIT, hopes_for_workers
from ..running.lost_jobs import recover_lost_jobs
from ..running.worker_process import WorkerProcess, end_workers, last_line, start_worker
from .status import CampaignStatus, campaign_status

logger = logging.getLogger(__name__)

POLL_S = 0.5
_FULL_BYTES = 65_536
_SHARE_OF_LOOKS = 0.05
"""Looking takes at most this part of a processor: of thousands of labels a look takes a tenth of a second."""
GRACE_S = 10.0


class Standing(Protocol):
    """Where that stands which workers run: jobs by state, and whether none will run without a person's doing."""

    @property
    def jobs(self) -> Mapping[str, int]:
        """Jobs by state."""

    @property
    def is_over(self) -> bool:
        """Whether none will run without a person's doing."""


StandingT = TypeVar("StandingT", bound=Standing)


@dataclass
class WorkersKeeper(ABC, Generic[StandingT]):
    """Keeps workers running on a store until they have nothing left to run.

    A derived class says whose jobs they run, and where that stands.

    Attributes
    ----------
    store
        The store.
    workers
        How many.
    max_crashes
        A job that takes so many workers down is not run again.
    """

    store: Store
    workers: int
    max_crashes: int = 3
    _processes: list[WorkerProcess] = field(default_factory=list, init=False)

    @abstractmethod
    def look(self) -> StandingT:
        """Return where it stands."""

    @property
    @abstractmethod
    def whose_jobs(self) -> Sequence[str]:
        """Options of `ionloop worker` that say whose jobs it runs."""

    def run(self, watch: Callable[[StandingT], None], *, tell: Callable[[str], None] = logger.warning) -> StandingT:
        """Run until no job is left; ``watch`` is told where it stands, at most twice a second.

        ``tell`` is told what people should know before: which jobs are waited for, and why.

        Raises
        ------
        IonloopError
            If the machine or the store fails: what is done stays done, the same call carries on.
        """
        recover_lost_jobs(self.store)
        for line in hopes_for_workers(self.store):
            tell(line)
        try:
            while True:
                self._replace_dead()
                before = time.process_time()
                status = self.look()
                pause_s = max(POLL_S, (time.process_time() - before) / _SHARE_OF_LOOKS)
                watch(status)
                if status.is_over or (not self._processes and not self._has_work(status)):
                    return status
                self._fill(status)
                self._wait(pause_s)
        finally:
            self.stop()

    def stop(self) -> None:
        """End all workers; their jobs run again with the next call."""
        end_workers(self._processes, GRACE_S)
        self._processes.clear()

    @staticmethod
    def _has_work(status: Standing) -> bool:
        return bool(status.jobs.get("ready", 0) or status.jobs.get("running", 0))

    def _fill(self, status: Standing) -> None:
        while len(self._processes) < self.workers and self._has_work(status):
            self._processes.append(self._start())

    def _start(self) -> WorkerProcess:
        where = ["--store", self.store.location, "--root", str(self.store.root)]
        arguments = ["worker", *where, *self.whose_jobs, "--die-with-parent"]
        return start_worker(self.store, arguments, f"{len(self._processes)}-{os.getpid()}")

    def _wait(self, pause_s: float) -> None:
        """Wait a moment, or until a worker ends."""
        end = time.monotonic() + pause_s
        while time.monotonic() < end:
            if any(worker.process.poll() is not None for worker in self._processes):
                return
            time.sleep(POLL_S / 10)

    def _what_is_at_fault(self, worker: WorkerProcess) -> str:
        """Return why a worker could not go on; on a full disk its log has no room to say so."""
        try:
            is_full = shutil.disk_usage(self.store.root).free < _FULL_BYTES
        except OSError:
            is_full = False
        return f"no space left on the disk of {self.store.root}: free some" if is_full else last_line(worker.log)

    def _replace_dead(self) -> None:
        """Take ended workers off the list; put the jobs of those that crashed back into the queue."""
        ended = [worker for worker in self._processes if worker.process.poll() is not None]
        self._processes = [worker for worker in self._processes if worker not in ended]
        crashed = [worker for worker in ended if worker.process.returncode != 0]
        for worker in crashed:
            if worker.process.returncode == ENVIRONMENT_EXIT:
                raise MachineAtFault(f"{self._what_is_at_fault(worker)}\nNothing is lost; run the same command again.")
            if worker.process.returncode > 0:
                raise IonloopError(
                    f"a worker ended with status {worker.process.returncode}: {last_line(worker.log)}\n"
                    f"Its log: {worker.log}"
                )
        if crashed:
            names = frozenset(worker.name for worker in crashed)
            recover_lost_jobs(self.store, crashed=names, max_crashes=self.max_crashes)


@dataclass
class Supervisor(WorkersKeeper[CampaignStatus]):
    """Keeps workers running on a store until a campaign has nothing left to run."""

    campaign: str = field(kw_only=True)

    def look(self) -> CampaignStatus:
        """Return where the campaign stands."""
        return campaign_status(self.store, self.campaign)

    @property
    def whose_jobs(self) -> Sequence[str]:
        """The campaign's."""
        return ("--campaign", self.campaign)
