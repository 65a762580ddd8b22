"""Workers as processes of their own: started, ended, and what their logs say last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.processes import process_name
from ...store.connection import Store

_LOG_TAIL_BYTES = 4096


@dataclass
class WorkerProcess:
    """A worker's process, its name in the store and its log."""

    process: subprocess.Popen[bytes]
    name: str
    log: Path


def start_worker(store: Store, arguments: Sequence[str], label: str) -> WorkerProcess:
    """Start an ``ionloop`` command that is a worker; ``label`` tells its log from those of the same second."""
    folder = store.artefacts.folder(Path("workers"))
    log = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{label}.log"
    command = [sys.executable, "-m", "ionloop.cli", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )
    return WorkerProcess(process, process_name(process.pid), log)


def end_workers(workers: Sequence[WorkerProcess], grace_s: float) -> None:
    """Ask workers to leave, and kill those that have not within ``grace_s`` (s)."""
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + grace_s
    for worker in workers:
        try:
            worker.process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def last_lines(log: Path, count: int = 1) -> list[str]:
    """Return the last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError as error:
        return [f"its log {log} cannot be read ({error.strerror})"]
    return lines[-count:]


def last_line(log: Path) -> str:
    """Return the last line of a log."""
    return (last_lines(log) or ["it said nothing"])[-1]
