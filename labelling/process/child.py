"""The labelling process: it runs engines one request at a time, and never outlives who started it.

Started as ``python -m ionloop.labelling.process.child DESCRIPTOR`` with one end of a socket pair. Engines may crash,
hang or fill the memory here; the other end then kills this process and what it started. If the other end is
gone, a thread that waits for this kills the same. (Linux could kill this process together with its parent, but
then nobody would be left to kill the executables that it had started. The price: a calculator that holds Python's
lock is killed when it lets go of it.)
"""

from __future__ import annotations

import errno
import faulthandler
import os
import queue
import resource
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from ...core.states import State
from ..ase_evaluation import failure_of, one_line
from ..registry import engine_of
from .messages import READY, Answer, Request
from .process_tree import kill_tree

LOG_FILE = "log"
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def main() -> None:
    """Answer requests until the other end closes."""
    connection = Connection(int(sys.argv[1]))
    # What engines start must not hold this end open: the other end would wait for a dead process.
    os.set_inheritable(connection.fileno(), False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    faulthandler.enable()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, requests), daemon=True).start()
    connection.send_bytes(READY)
    while True:
        connection.send_bytes(_serve(Request.from_bytes(requests.get())).to_bytes())


def _serve(request: Request) -> Answer:
    try:
        with _working_in(request.folder):
            return answer_to(request)
    except OSError as error:
        # Only of the folder and its log: answer_to raises nothing.
        return Answer(State.FAILED, one_line(error), disk_error=error.errno)


def _receive(connection: Connection, requests: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            requests.put(connection.recv_bytes())
    except (EOFError, OSError):
        kill_tree(os.getpid())


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Work in ``folder`` with everything printed, by compiled code too, in its log."""
    os.chdir(folder)
    log = os.open(LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _print_to(log)
    os.close(log)
    try:
        yield
    finally:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        _print_to(nowhere)
        os.close(nowhere)
        os.chdir("/")


def _print_to(descriptor: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def answer_to(request: Request) -> Answer:
    """Run the engine on ``request`` and put whatever happens into an answer."""
    engine = engine_of(request.settings)
    version = ""
    try:
        version = engine.version(request.settings)
        if request.only_parse:
            evaluation = engine.parse_finished(request.atoms, request.settings, request.folder)
        else:
            evaluation = engine.evaluate(request.atoms, request.settings, request.folder)
    # The boundary to foreign code: any calculator may raise anything, and the label must say what.
    except Exception as error:
        traceback.print_exc()
        failure = failure_of(error)
        return Answer(failure.state, str(failure), None, version, _disk_error(error))
    return Answer(State.FINISHED, "", evaluation, version)


def _disk_error(error: BaseException | None) -> int | None:
    """Return the number of the first disk error in the chain of causes of ``error``."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


if __name__ == "__main__":
    main()
