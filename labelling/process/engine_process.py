"""Our end of the labelling process: starts it, asks it, watches its time and memory, kills it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import IO

from ...core.errors import IonloopError
from ...core.states import State
from ..ase_evaluation import exit_failure, one_line
from .messages import READY, Answer, Request
from .process_tree import kill_tree, resident_memory_MB

_POLL_INTERVAL_S = 0.1
_START_LIMIT_S = 120.0
_END_LIMIT_S = 5.0
_MODULE = "ionloop.labelling.process.child"


class EngineProcessError(IonloopError):
    """The labelling process itself does not start: the installation or its environment is broken."""


@dataclass(frozen=True)
class Limits:
    """What one request may use."""

    wall_time_s: float
    memory_MB: float


class EngineProcess:
    """A labelling process; it serves many requests, one at a time, and dies with this process.

    Parameters
    ----------
    environment
        Variables laid over those of this process; OMP_NUM_THREADS is 1 unless set anywhere.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._connection, theirs = multiprocessing.Pipe(duplex=True)
        # Lives as long as the process; forget() closes it.
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env={"OMP_NUM_THREADS": "1", **os.environ, **self.environment},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._wait_until_ready()

    @property
    def process_id(self) -> int:
        """Number of the process, which leads its own process group."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Say whether it can be asked."""
        return not self._connection.closed and not _has_ended(self.process_id)

    def ask(self, request: Request, limits: Limits) -> Answer:
        """Return the answer to ``request``; the process is dead afterwards if it crashed or hit a limit."""
        try:
            return self._ask(self._connection, request, limits)
        except BaseException:
            # Ctrl-C, say: the answer on its way must not meet the next request.
            self.kill()
            raise

    def _ask(self, connection: Connection, request: Request, limits: Limits) -> Answer:
        started_s = time.monotonic()
        try:
            connection.send_bytes(request.to_bytes())
            while not connection.poll(_POLL_INTERVAL_S):
                if _has_ended(self.process_id) and not connection.poll():
                    # A fork that the engine left behind may keep the other end open.
                    return self._post_mortem()
                breach = self._breach(time.monotonic() - started_s, limits)
                if breach is not None:
                    self.kill()
                    return Answer(State.KILLED, breach)
            return Answer.from_bytes(connection.recv_bytes())
        except (EOFError, OSError):
            # The other end is closed: the process is ending, or has ended.
            return self._post_mortem()

    def _breach(self, elapsed_s: float, limits: Limits) -> str | None:
        if elapsed_s > limits.wall_time_s:
            return f"time-out: still running after wall_time_limit_s = {limits.wall_time_s:g}"
        used_MB = resident_memory_MB(self.process_id)
        if used_MB > limits.memory_MB:
            return f"memory: {used_MB:.0f} MB in use, above memory_limit_MB = {limits.memory_MB:g}"
        return None

    def _post_mortem(self) -> Answer:
        deadline_s = time.monotonic() + _END_LIMIT_S
        while not _has_ended(self.process_id) and time.monotonic() < deadline_s:
            time.sleep(_POLL_INTERVAL_S / 10)
        ended = _has_ended(self.process_id)
        self.kill()
        if not ended:
            return Answer(State.FAILED, "the engine closed the connection of the labelling process")
        failure = exit_failure(self._process.returncode, "the engine's process")
        return Answer(failure.state, str(failure))

    def _wait_until_ready(self) -> None:
        """Wait for the imports of the process, so that they do not count as an engine's time."""
        try:
            if self._connection.poll(_START_LIMIT_S) and self._connection.recv_bytes() == READY:
                return
        except (EOFError, OSError):
            pass
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        self.kill()
        raise EngineProcessError(
            f"the labelling process does not start ({sys.executable} -m {_MODULE}): "
            f"{one_line(said[-1]) if said else 'it said nothing'}; look at the installation, PYTHONPATH and the "
            "engine's `environment`"
        )

    def kill(self) -> None:
        """Kill the process and everything that it started, and wait for its end."""
        if self._process.returncode is None:
            # Also when it ended by itself: what it left in its group did not.
            kill_tree(self.process_id)
            self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our end without killing: for a forked process, in which the other end is not ours."""
        self._connection.close()
        self._errors.close()


def _has_ended(process_id: int) -> bool:
    """Say whether a process of ours ended, without taking its status, which would free its number."""
    return os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Holder:
    """The labelling process of this process, and the lock that lets one thread at a time use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: EngineProcess | None = None
        self.inherited: list[EngineProcess] = []
        self.on_failure: Callable[[], None] | None = None

    def ready_for(self, environment: Mapping[str, str]) -> EngineProcess:
        if self.process is not None and not (self.process.is_alive() and self.process.environment == dict(environment)):
            self.stop()
        if self.process is None:
            self.process = EngineProcess(environment)
        return self.process

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process = None

    def after_fork(self) -> None:
        # The other end talks with the process that was forked; asking it from two would mix the answers up.
        self.lock = threading.Lock()
        if self.process is not None:
            self.process.forget()
            self.inherited.append(self.process)
            self.process = None


_HOLDER = _Holder()
atexit.register(_HOLDER.stop)
os.register_at_fork(after_in_child=_HOLDER.after_fork)


def ask_engine(request: Request) -> Answer:
    """Return what the engine makes of ``request`` in a process of its own, within the limits of its settings.

    The process is kept for the next request; a crash or a broken limit costs a new one.

    Raises
    ------
    EngineProcessError
        If the process cannot be started.
    """
    settings = request.settings
    limits = Limits(settings.wall_time_limit_s, settings.memory_limit_MB)
    with _HOLDER.lock:
        answer = _HOLDER.ready_for(settings.process_environment).ask(request, limits)
    if answer.state is not State.FINISHED and _HOLDER.on_failure is not None:
        _HOLDER.on_failure()
    return answer


def on_engine_failure(listener: Callable[[], None] | None) -> None:
    """Call ``listener`` after every request that gave no result, before anybody hears of it.

    A scheduler that ends a job signals all its processes: the engine's end is then no result of the engine's, and a
    listener that does not return keeps it from being taken for one.
    """
    _HOLDER.on_failure = listener


def stop_engine_process() -> None:
    """End the labelling process of this process, if there is one; the next request starts a new one."""
    with _HOLDER.lock:
        _HOLDER.stop()
