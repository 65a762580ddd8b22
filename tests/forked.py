"""Processes of `ionloop` that begin where its imports end: each is forked from one process that has done them."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["ionloop.cli.run", "ionloop.workflows.running.worker"])


def _main(arguments: Sequence[str], log: str, environment: Mapping[str, str], prelude: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    sys.argv = ["ionloop", *arguments]
    exec(prelude, {})
    from ionloop.cli import main

    try:
        main()
    finally:
        # The end of a forked process passes them over.
        atexit._run_exitfuncs()


class Forked:
    """A running `ionloop` command, with what tests need of `subprocess.Popen`.

    Parameters
    ----------
    arguments
        The command line, without the program.
    log
        File to which its output is added.
    prelude
        Code that is run before the command.
    """

    def __init__(self, arguments: Sequence[str], log: Path, prelude: str = "") -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        # Daemons: none outlives the tests.
        self._process = _SERVER.Process(
            target=_main, args=(list(arguments), str(log), environment, prelude), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, nothing while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Return the exit status, awaited for at most ``timeout`` (s)."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("ionloop", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)
