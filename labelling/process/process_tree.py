"""A process and everything that it started: their memory, and their end."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

_BYTES_PER_MB = 1e6


def kill_tree(process_id: int) -> None:
    """Kill the process group that ``process_id`` leads and all its descendants, wherever they moved."""
    try:
        descendants = psutil.Process(process_id).children(recursive=True)
    except psutil.NoSuchProcess:
        descendants = []
    for descendant in descendants:
        try:
            descendant.kill()
        except psutil.NoSuchProcess:
            continue
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return


def resident_memory_MB(process_id: int) -> float:
    """Return the resident memory of a process and all its descendants (MB); shared pages count for each."""
    try:
        leader = psutil.Process(process_id)
        processes = [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    used_bytes = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            used_bytes += process.memory_info().rss
    return used_bytes / _BYTES_PER_MB
