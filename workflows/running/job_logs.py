"""The last lines that a failed job left: in its worker's log, or in its label's scratch folder."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...core.errors import InputError
from ...store.connection import Store
from ...store.jobs.queue import last_run
from ...store.jobs.rows import JobRow
from ...store.records import LabelRecord

LINES = 5
_TAIL_BYTES = 65_536


def own_log() -> str:
    """Return the file that this process writes its output to, empty if that is no file."""
    try:
        path = Path(f"/proc/self/fd/{sys.stdout.fileno()}").readlink()
    except (OSError, ValueError):
        return ""
    return str(path) if path.is_file() else ""


def lines_about(lines: Iterable[str], key: str, count: int = LINES) -> list[str]:
    """Return the last lines of a worker's log that belong to the job of that key, at its last start."""
    found: list[str] = []
    is_inside = False
    for line in lines:
        if line.rstrip().endswith(" started"):
            is_inside = f" {key} started" in line
            found = [] if is_inside else found
        if is_inside:
            found.append(line.rstrip())
    return found[-count:]


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def job_log(store: Store, job: JobRow) -> list[str]:
    """Return what the worker of a job's last run wrote about it."""
    run = last_run(store, job)
    worker = store.workers.find_one({"_id": run.worker}, {"log": 1}) if run else None
    named = (worker or {}).get("log", "")
    return lines_about(_tail(Path(named)), job.key) if _is_ours(store, named) else []


def label_log(store: Store, label: LabelRecord) -> list[str]:
    """Return the last lines that the engine wrote in the label's last attempt."""
    try:
        folder = store.artefacts.path(f"scratch/{label.id}-{label.retries}")
    except InputError:
        return []
    return _newest(folder.glob("**/log"))


def _newest(files: Iterable[Path]) -> list[str]:
    known: Sequence[Path] = sorted((file for file in files if file.is_file()), key=lambda file: file.stat().st_mtime)
    return [line for line in _tail(known[-1]) if line.strip()][-LINES:] if known else []


def _is_ours(store: Store, name: str) -> bool:
    """Whether a path from a document lies within the store's root: no other file is shown to anybody."""
    return bool(name) and Path(name).resolve().is_relative_to(store.root)
