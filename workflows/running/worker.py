"""The worker: runs ready jobs of a store, one after the other, until none is left or its time is over.

A worker may be killed at any moment: jobs of dead workers go back to the queue. One that is asked to leave (SIGTERM,
the end of its wall time, a cancelled campaign) puts its job back itself: molecular dynamics at its next written frame,
from which it carries on elsewhere, other jobs at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import psutil
from fireworks import Firework, FWorker
from fireworks.core import rocket as fireworks_rocket
from fireworks.core.rocket_launcher import launch_rocket
from pymongo.errors import PyMongoError

from ...core.errors import Busy, IonloopError
from ...core.processes import process_document, process_name
from ...core.states import State
from ...labelling.process.engine_process import on_engine_failure
from ...labelling.process.temporary import remove_leftovers
from ...store.connection import Store
from ...store.jobs.hearts import HEARTBEAT_S
from ...store.jobs.queue import is_any_job, is_remaking, jobs_wanted, taken_job
from ...store.jobs.rows import COMPLETED, FAILED
from ...store.retrying import StoreUnreachable
from ...tasks.base import is_environment_failure
from ...tasks.context import TaskContext, task_context
from ..loop.task_registry import admit_registered_tasks, is_resumable
from ..queue.schedulers.base import QueueState
from ..submission.holds import Hold, all_controls, charge, control_of, enforce_budget
from .heartbeat import ENVIRONMENT_EXIT, look_at_hearts
from .job_logs import own_log
from .lost_jobs import Loss, busy_pause_s, put_back, put_back_as_busy, recover_lost_jobs
from .worker_limits import WorkerLimits, admitted_kinds, job_queries

SERVER_PATIENCE_S = 12 * 3600.0
"""How long a worker with finished work waits for a server that is away."""
LEAVING_PATIENCE_S = 10.0
"""How long a worker that has to leave waits for it: whoever ends it will not wait long."""
FRESH_S = 120.0
"""A job begun within this time after its worker has the whole allocation for itself."""
POLL_S = 0.15
LONGEST_POLL_S = 2.0
RECOVER_EVERY_S = 10.0
SIGNAL_DELAY_S = 1.0
"""How long after an engine's or a job's failure a signal that caused both may still come."""
SAFE_POINT_WAIT_S = 5.0
"""How long a job that can carry on may take to its next written frame before it is put back as it is."""
_PR_SET_PDEATHSIG = 1


def die_with_parent_process() -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere the heartbeat must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(frozen=True)
class CurrentJob:
    """The job that a worker has taken.

    ``had_it_all`` says whether it was given a whole allocation, ``remakes`` whether it makes lost files again.
    """

    launch: int
    number: int
    campaign: str
    kind: str
    engine: str
    had_it_all: bool = False
    remakes: bool = False

    @property
    def is_resumable(self) -> bool:
        """Whether another worker carries on where this one stops."""
        return is_resumable(self.kind)


def current_job(firework: Firework, launch: int) -> CurrentJob:
    """Return what a worker notes of a job; the engine is the reference engine, or the kind of task without one."""
    job = taken_job(firework)
    settings = job.parameters.get("engine") if isinstance(job.parameters, Mapping) else None
    engine = settings.get("engine") if isinstance(settings, Mapping) else None
    name = str(engine or job.kind or "unknown")
    return CurrentJob(launch, job.number, job.campaign, job.kind, name, remakes=job.remakes)


class _WatchedLaunchPad:
    """The store's LaunchPad, which also tells its worker what it has just taken, what is about to fail, what ends."""

    def __init__(
        self,
        launchpad: Any,
        taken: Callable[[Firework, int], None],
        about_to_fail: Callable[[], None],
        note_busy: Callable[[str], None],
        has_put_back: Callable[[], bool],
        delivery: Callable[[], AbstractContextManager[None]],
        abandon: Callable[[str], None],
    ) -> None:
        self._launchpad = launchpad
        self._taken = taken
        self._about_to_fail = about_to_fail
        self._note_busy = note_busy
        self._has_put_back = has_put_back
        self._delivery = delivery
        self._abandon = abandon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._launchpad, name)

    def checkout_fw(self, *args: Any, **kwargs: Any) -> tuple[Firework | None, int | None]:
        firework, launch = self._launchpad.checkout_fw(*args, **kwargs)
        if firework is not None:
            self._taken(firework, launch)
        return firework, launch

    def complete_launch(self, launch_id: int, action: Any = None, state: str = COMPLETED) -> Any:
        if state == FAILED:
            self._about_to_fail()
        with self._delivery():
            if state == FAILED and self._has_put_back():
                return None
            try:
                return self._launchpad.complete_launch(launch_id, action, state)
            except Busy as error:
                # FireWorks takes this for a failure of the job, and says so next.
                self._note_busy(str(error))
                raise
            except Exception as error:
                # There may be room again when FireWorks says that the job failed, whose work is done.
                if is_environment_failure(error):
                    self._abandon(str(error))
                raise


@dataclass
class _WorkerContext(TaskContext):
    """A context in which every report of progress is a chance to leave."""

    at_safe_point: Callable[[], None] = lambda: None

    def report_progress(self, done: int, of: int) -> None:
        self.at_safe_point()
        super().report_progress(done, of)


class Worker:
    """Runs jobs of one store in this process.

    Parameters
    ----------
    store
        The store.
    campaign
        Run jobs of this campaign, or of these, only; of every campaign if None.
    limits
        Which kinds of job, until when, on how many cores.
    """

    def __init__(
        self, store: Store, campaign: str | Collection[str] | None = None, limits: WorkerLimits | None = None
    ) -> None:
        self.store = store
        self.campaigns = (campaign,) if isinstance(campaign, str) else campaign
        self.limits = limits or WorkerLimits()
        self.name = process_name(os.getpid())
        self._job: CurrentJob | None = None
        self._jobs_taken = 0
        self._started = time.monotonic()
        self._launchpad = _WatchedLaunchPad(
            store.launchpad,
            self._taken,
            self._about_to_fail,
            self._note_busy,
            self._has_put_back,
            self._delivery,
            self._abandon,
        )
        self._charged_at = 0.0
        self._charging = threading.Lock()
        # Why the present job cannot be done now; until when jobs that could not be are left alone, by their number.
        self._busy = ""
        self._left_alone: dict[int, float] = {}
        # No further job; no further heartbeat.
        self._stop = threading.Event()
        self._over = threading.Event()
        self._leaving: Loss | None = None
        self._asked_to_leave = threading.Event()
        self._hears_signals = False
        self._putting_back = threading.Lock()
        self._delivering = threading.Lock()

    # -- the work --------------------------------------------------------------------------------------------------

    def run(self, *, max_jobs: int = 0) -> int:
        """Run ready jobs until none is left or can become ready (or ``max_jobs`` are done); return how many.

        Raises
        ------
        IonloopError
            If the store or the disk fails: jobs are left as they were and run again later.
        """
        admit_registered_tasks()
        # FireWorks would write each job's specification into the working folder, and each poll into the log.
        fireworks_rocket.PRINT_FW_JSON = False
        fireworks_rocket.ROCKET_STREAM_LOGLEVEL = "CRITICAL"
        os.chdir(self.store.artefacts.folder(Path("workers")))
        remove_leftovers()
        # Whatever happens to the server, a job's work is finished and delivered when it is back.
        self.store.wait_for_server(SERVER_PATIENCE_S, self._abandon)
        self._register()
        threading.Thread(target=self._beat, daemon=True).start()
        if self.limits.ends_at is not None:
            threading.Thread(target=self._watch_the_end, daemon=True).start()
        context = _WorkerContext(
            self.store,
            worker=self.name,
            on_environment_failure=self._abandon,
            on_busy=self._note_busy,
            at_safe_point=self._at_safe_point,
        )
        try:
            with task_context(context):
                return self._run_jobs(max_jobs)
        finally:
            self._over.set()
            self.store.note_worker(self.name, state="ended", progress=None)

    def _run_jobs(self, max_jobs: int) -> int:
        done, pause_s = 0, POLL_S
        idle_since = recovered_at = time.monotonic()
        while not self._stop.is_set() and (not max_jobs or done < max_jobs):
            self._busy = ""
            idle_s = self.limits.idle_s
            try:
                if self._run_one():
                    done, pause_s = done + (not self._busy), POLL_S
                    idle_since = time.monotonic()
                    continue
                moment = time.monotonic()
                if not self._others_run() or (idle_s is not None and moment - idle_since > idle_s):
                    break
                if moment - recovered_at > RECOVER_EVERY_S:
                    # Nobody else may be there to find the jobs of workers that died.
                    recover_lost_jobs(self.store)
                    recovered_at = moment
            except Busy as error:
                if self._job is not None:
                    # Its end could not be recorded: once this worker is gone, recovery finds it.
                    self._abandon(str(error))
                sys.stderr.write(f"waiting: {error}\n")
            self._stop.wait(pause_s)
            if idle_s is not None or not self.store.is_embedded:
                pause_s = min(LONGEST_POLL_S, 1.5 * pause_s)
        return done

    def _is_fresh(self) -> bool:
        return self._jobs_taken == 0 and time.monotonic() - self._started < FRESH_S

    def _run_one(self) -> bool:
        """Run the first ready job that this worker may take; return whether there was one."""
        kinds = admitted_kinds(self.limits, time.time(), fresh=self._is_fresh())
        if kinds is not None and not kinds:
            self._stop.set()
            return False
        others = jobs_wanted(not_numbers=self._jobs_left_alone())
        for query in job_queries(all_controls(self.store), self.campaigns, kinds):
            # FireWorks' rocket reports to the terminal; where a job went wrong is in its record instead.
            if launch_rocket(self._launchpad, FWorker(name=self.name, query={**query, **others}), strm_lvl="CRITICAL"):
                # Whoever puts a job back at this moment ends this process.
                with self._putting_back:
                    self._job = None
                return True
        return False

    @contextmanager
    def _delivery(self) -> Iterator[None]:
        """While the end of the job is recorded, nobody puts it back; afterwards there is nothing to put back."""
        with self._delivering:
            yield
            self._charge()
            self._job = None

    def _jobs_left_alone(self) -> list[int]:
        """Return the jobs that were busy a moment ago."""
        moment = time.monotonic()
        self._left_alone = {number: until for number, until in self._left_alone.items() if until > moment}
        return sorted(self._left_alone)

    def _note_busy(self, reason: str) -> None:
        self._busy = reason

    def _has_put_back(self) -> bool:
        """Put the present job back if all that is wrong is that others hold, or still make, what it needs."""
        job = self._job
        if job is None:
            return False
        if not self._busy and not job.remakes and is_remaking(self.store, job.campaign):
            self._busy = "files that it may need are being made again"
        if not self._busy:
            return False
        times = put_back_as_busy(self.store, job.launch, self._busy)
        if times:
            self._left_alone[job.number] = time.monotonic() + busy_pause_s(times)
        else:
            self._busy = ""
        return bool(times)

    def _others_run(self) -> bool:
        """Return whether a job runs elsewhere: its end may make others ready."""
        active = jobs_wanted(states={State.RUNNING, State.READY})
        return any(
            is_any_job(self.store, {**query, **active})
            for query in job_queries(all_controls(self.store), self.campaigns, None)
        )

    def _taken(self, firework: Firework, launch: int) -> None:
        self._job = replace(current_job(firework, launch), had_it_all=self._is_fresh())
        self._jobs_taken += 1
        self._charged_at = time.monotonic()
        if self._leaving is not None:
            self._put_back_and_leave()

    def _register(self) -> None:
        self.store.workers.replace_one(
            {"_id": self.name},
            {
                "_id": self.name,
                **process_document(os.getpid()),
                "started": time.time(),
                "heartbeat": time.time(),
                "state": "running",
                "progress": None,
                "message": "",
                "queue_job": self.limits.queue_job,
                "supervisor": self.limits.supervisor,
                "cores": self.limits.cores,
                "log": own_log(),
            },
            upsert=True,
        )

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            try:
                self._beat_once()
            except (IonloopError, PyMongoError, OSError) as error:
                # A heart that stops for one refused write would have this worker taken for dead.
                sys.stderr.write(f"heartbeat: {error}\n")

    def _beat_once(self) -> None:
        self.store.note_worker(self.name, heartbeat=time.time())
        look_at_hearts(self.store)
        job = self._job
        if job is not None:
            self._charge()
            if control_of(self.store, job.campaign).hold is Hold.CANCELLED:
                self.leave(Loss(QueueState.CANCELLED, "its campaign was cancelled"), SAFE_POINT_WAIT_S)

    def _charge(self) -> None:
        """Put the time since the last charge on the campaign's account, and hold the campaign to its budget."""
        with self._charging:
            job, moment = self._job, time.monotonic()
            if job is None or not job.campaign:
                return
            seconds, self._charged_at = moment - self._charged_at, moment
            charge(self.store, job.campaign, job.engine, seconds * self.limits.cores)
        enforce_budget(self.store, job.campaign)

    # -- leaving ---------------------------------------------------------------------------------------------------

    def leave_on_signal(self) -> None:
        """From now on, SIGTERM makes this worker put its job back and end.

        So do Ctrl-C and the end of the terminal where nobody supervises it, unless they are ignored (nohup, a job in
        the background). FireWorks records any exception, also that of an orderly exit, as the job's failure. The
        signal is noticed by a thread, because a fit may keep the main one away from Python's own handlers for minutes.
        """
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        heard = {signal.SIGTERM}
        for number in (signal.SIGINT, signal.SIGHUP):
            # They reach the whole process group; whoever started the workers decides.
            if self.limits.supervisor:
                signal.signal(number, signal.SIG_IGN)
            elif signal.getsignal(number) is not signal.SIG_IGN:
                heard.add(number)
        for number in heard:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(sender.fileno())

        # Signals are written to it as long as this process lives.
        self._signals = sender

        def wait() -> None:
            while (number := receiver.recv(1)[0]) not in heard:
                continue
            self.leave(Loss("asked to leave", f"its worker received {signal.Signals(number).name}"), SAFE_POINT_WAIT_S)

        threading.Thread(target=wait, daemon=True).start()
        self._hears_signals = True
        on_engine_failure(self._about_to_fail)

    def _about_to_fail(self) -> None:
        """Leave if what fails now was ended by whoever wants this worker gone; return if nobody does.

        Schedulers signal all processes of a job: an engine may die of the signal before this worker hears of it.
        """
        if self._hears_signals and self._asked_to_leave.wait(SIGNAL_DELAY_S):
            self._put_back_and_leave()

    def leave(self, loss: Loss, wait_s: float) -> None:
        """Take no further job and put the present one back: at its next written frame, or at once.

        Called from another thread than the one that works; returns only if there is nothing to put back.

        Parameters
        ----------
        wait_s
            How long a job that can carry on elsewhere may take to its next written frame (s).
        """
        self._leaving = loss
        self._stop.set()
        self._asked_to_leave.set()
        job = self._job
        if job is not None and job.is_resumable:
            # The main thread leaves at the next frame.
            self._over.wait(wait_s)
        if self._job is not None:
            self._put_back_and_leave()

    def _watch_the_end(self) -> None:
        """Leave when the wall time is nearly over; a job that cannot carry on later gets most of the margin."""
        ends_at, margin_s = self.limits.ends_at or 0.0, self.limits.margin_s
        if self._over.wait(max(0.0, ends_at - margin_s - time.time())):
            return
        self._stop.set()
        job, last_moment = self._job, ends_at - margin_s / 3
        if job is not None and not job.is_resumable:
            self._over.wait(max(0.0, last_moment - time.time()))
        # A job that had the whole allocation and did not end would take the next one as well.
        blame = job is not None and job.had_it_all and not job.is_resumable and self._job is job
        loss = Loss(QueueState.TIMED_OUT, "the wall time of its worker is over", blame=blame)
        self.leave(loss, max(0.0, last_moment - time.time()))

    def _at_safe_point(self) -> None:
        if self._leaving is not None and self._job is not None and self._job.is_resumable:
            self._put_back_and_leave()

    def _put_back_and_leave(self) -> NoReturn:
        """Put the job back, note the end, and end this process, whatever its threads are doing."""
        # Only one of the threads gets here; the process ends while the others wait.
        self._putting_back.acquire()
        status = 0
        # Before another worker can start the same job in the same scratch folder.
        _end_children()
        self.store.wait_for_server(LEAVING_PATIENCE_S)
        try:
            # A job whose end is just being recorded is no longer ours to put back. A server that is away may keep it
            # from being recorded in time: then recovery finds the job, and its result on disk.
            if not self._delivering.acquire(timeout=LEAVING_PATIENCE_S):
                raise StoreUnreachable("the end of its job could not be recorded in time")
            if self._job is not None:
                put_back(self.store, self._job.launch, self._leaving or Loss("asked to leave", "asked to leave"))
                self._charge()
            self.store.note_worker(self.name, state="ended", progress=None)
        except Exception as error:  # nothing may keep the process from ending: recovery finds the job
            sys.stderr.write(f"the job was not put back: {error}\n")
            status = ENVIRONMENT_EXIT
        sys.stderr.flush()
        os._exit(status)

    def _abandon(self, reason: str) -> None:
        """Leave at once: the job stays this dead worker's and runs again after recovery."""
        sys.stderr.write(f"{reason}\n")
        sys.stderr.flush()
        _end_children()
        os._exit(ENVIRONMENT_EXIT)


def _end_children() -> None:
    """End the engines that this process started: nobody waits for them any more."""
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
