"""What SQLite's errors mean to a user."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ...core.errors import Busy, InputError, IonloopError, MachineAtFault


class StoreError(IonloopError):
    """The store could not do what was asked; nothing of it was kept."""


class StoreFull(StoreError, MachineAtFault):
    """No space is left for the store. It is intact and works again once there is space."""


class StoreDiskFailing(StoreError, MachineAtFault):
    """The disk of the store cannot be read or written."""


class StoreDamaged(StoreError):
    """The file is not what was written: cut off, or overwritten."""

    exit_status = InputError.exit_status


class StoreBusy(StoreError, Busy):
    """Another process holds the store for longer than anybody should."""


_PRIMARY = 0xFF  # the low byte of an extended result code is the primary one


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether trying again later may help."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def explain(error: sqlite3.Error, path: Path) -> IonloopError:
    """Return the error to raise instead of SQLite's: it names the file and what to do."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"store: no space left on the disk of {path}: free some space and run again")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"store: {path} is held by another process: end the process that hangs and run again")
    if code == sqlite3.SQLITE_IOERR:
        return StoreDiskFailing(
            f"store: {path} could not be read or written ({error}): is the disk full, over quota or failing?"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return InputError(f"store: {path} cannot be opened for writing ({error}): check folder and permissions")
    if code == sqlite3.SQLITE_NOTADB:
        return InputError(f"store: {path} is not a store of ionloop: choose another file")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreDamaged(f"store: {path} is damaged ({error}): restore it from a backup")
    return StoreError(f"store: {path}: {error}")
