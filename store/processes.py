"""Names that tell processes apart, and whether a process that left its name in a store still lives."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

HEARTBEAT_S = 20.0
HEARTBEATS_MISSED = 15


def host_name() -> str:
    """Return this machine's name, as workers are known by."""
    return platform.node()


def process_start(pid: int) -> str:
    """Return when a process started, exactly alike for whoever asks.

    psutil's time is the wall clock's, which moves when the clock is set; the kernel's ticks do not.

    Raises
    ------
    psutil.NoSuchProcess
        If there is no such process.
    """
    if sys.platform != "linux":
        return str(round(psutil.Process(pid).create_time()))
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    # The command's name stands in parentheses and may hold anything; the start is field 22 of all.
    return text.rpartition(")")[2].split()[19]


def worker_name(pid: int) -> str:
    """Return a name that no other process, living or dead, has."""
    return f"{host_name()}-{pid}-{process_start(pid)}"


def is_dead(document: Mapping[str, Any], moment: float | None = None) -> bool:
    """Return whether the process of that document (``_id``, ``host``, ``pid``, ``heartbeat``) is known to be gone.

    On this host the process table tells; elsewhere only a heart that has not beaten for five minutes does.
    """
    if document["host"] == host_name():
        try:
            return worker_name(document["pid"]) != document["_id"]
        except psutil.NoSuchProcess:
            return True
    silence_s = (moment or time.time()) - document["heartbeat"]
    return bool(silence_s > HEARTBEATS_MISSED * HEARTBEAT_S)
