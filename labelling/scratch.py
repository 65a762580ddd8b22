"""The scratch folder of one label: attempts in folders of their own, and the result, whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase import Atoms

from ..core.errors import Busy, IonloopError
from ..core.files import write_whole
from ..core.structures import exact_hash, unsigned_zeros
from .outcome import LabelOutcome

RESULT_FILE = "result.json"
LOG_FILE = "log"
_REQUEST_FILE = "request.json"
_LOCK_FILE = "lock"
_RESULT_VERSION = 1


class ScratchError(IonloopError):
    """The scratch folder cannot be written: a full disk, missing rights, no such file system."""


class LabelBusy(Busy):
    """Another process computes this label: campaigns of one store share their labels, isolated atoms above all."""


@contextmanager
def scratch_errors(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors about ``folder`` into one that says what to do.

    Raises
    ------
    ScratchError
        For any OSError inside.
    """
    try:
        yield
    except OSError as error:
        raise scratch_error(folder, error.errno) from error


def scratch_error(folder: Path, number: int | None) -> ScratchError:
    """Return the error for ``folder`` and the operating system's error number."""
    reason = os.strerror(number) if number is not None else "unknown reason"
    return ScratchError(
        f"scratch folder '{folder}' cannot be used: {reason}; free space or rights there, or choose another"
    )


def request_hash(atoms: Atoms) -> str:
    """Return the SHA-256 of what an engine sees: species in order, exact positions, cell, magnetic moments, pbc."""
    lengths = (atoms.positions, atoms.cell.array, atoms.get_initial_magnetic_moments())
    return exact_hash(atoms.numbers, *(unsigned_zeros(values.astype(float)) for values in lengths), atoms.pbc)


class LabelScratch:
    """The folder of one label.

    Parameters
    ----------
    folder
        The folder, unique to this label; made if missing.
    structure
        Hash of the structure.
    settings
        Hash of the settings that were asked for.
    """

    def __init__(self, folder: Path, structure: str, settings: str) -> None:
        self.folder = Path(folder).absolute()
        self._identity = {"version": _RESULT_VERSION, "structure": structure, "settings": settings}
        with scratch_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that two processes never compute one label side by side.

        Raises
        ------
        LabelBusy
            If another process holds it.
        """
        with scratch_errors(self.folder):
            lock = (self.folder / _LOCK_FILE).open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabelBusy(f"another process computes the label in {self.folder}") from None
            except OSError:
                # Some network file systems know no locks; then both compute it, and the later one counts.
                pass
            yield

    def read_result(self) -> LabelOutcome | None:
        """Return the outcome that an earlier run of the same label wrote, or None if there is none, or a wreck."""
        document = _read_json(self.folder / RESULT_FILE)
        if document.get("label") != self._identity:
            return None
        try:
            return LabelOutcome.from_document(document["outcome"])
        except (KeyError, TypeError, ValueError):
            return None

    def write_result(self, outcome: LabelOutcome) -> None:
        """Write the outcome, whole or not at all."""
        self._write(self.folder / RESULT_FILE, {"label": self._identity, "outcome": outcome.to_document()})

    def attempt_folder(self, number: int) -> Path:
        """Return the path of the folder of attempt ``number``, counted from 1."""
        return self.folder / f"attempt-{number}"

    def holds_attempt(self, number: int, settings: dict[str, Any]) -> bool:
        """Say whether an earlier run left an attempt of this very structure with these very settings."""
        return _read_json(self.attempt_folder(number) / _REQUEST_FILE) == self._request(settings)

    def start_attempt(self, number: int, settings: dict[str, Any]) -> Path:
        """Return a new, empty folder for attempt ``number``."""
        folder = self.attempt_folder(number)
        with scratch_errors(self.folder):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
        self._write(folder / _REQUEST_FILE, self._request(settings))
        return folder

    def remove_attempts(self, last: int) -> None:
        """Remove the folders of all attempts and keep the log of attempt ``last``."""
        with scratch_errors(self.folder):
            log = self.attempt_folder(last) / LOG_FILE
            if log.exists():
                log.replace(self.folder / LOG_FILE)
            for folder in self.folder.glob("attempt-*"):
                shutil.rmtree(folder)

    def _request(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"label": self._identity, "attempt": settings}

    def _write(self, path: Path, document: dict[str, Any]) -> None:
        with scratch_errors(self.folder):
            write_whole(path, json.dumps(document))


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one if there is none or the file is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
