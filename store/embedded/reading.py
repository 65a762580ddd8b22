"""Opening a store's file for reading where nothing may be written: no rights, a read-only file system, a full disk.

SQLite keeps a log and an index of it beside the file, and wants to write to the index even to read. Where that cannot
be, the file alone is read if there is no log, and else a copy of both.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .location import log_size

_COPY_ATTEMPTS = 5
_BESIDE = ("", "-wal")


class Reading:
    """How one file is opened for reading.

    Parameters
    ----------
    path
        The file, without symbolic links.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[Any, ...] | None = None
        self._folder: Path | None = None

    def connect(
        self, open_file: Callable[..., sqlite3.Connection], check: Callable[[sqlite3.Connection], None]
    ) -> sqlite3.Connection:
        """Return a connection by which nothing can be written, in the first way that works.

        Raises
        ------
        sqlite3.Error
            If none does.
        """
        failure: sqlite3.Error | None = None
        for file in self._ways():
            connection = open_file(file, uri=True)
            try:
                connection.execute("PRAGMA query_only = ON")
                check(connection)
            except sqlite3.OperationalError as error:
                connection.close()
                failure = failure or error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        self.clean_up()
        raise failure or sqlite3.OperationalError("unable to open database file")

    def is_outdated(self) -> bool:
        """Tell whether a file that is read as if it never changed, or a copy, has changed since."""
        return self._seen is not None and self._seen != self._look()

    def clean_up(self) -> None:
        """Remove the copy, if one was made."""
        folder, self._folder, self._seen = self._folder, None, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _ways(self) -> Iterator[str]:
        self.clean_up()
        if os.access(self.path.parent, os.W_OK | os.X_OK) and os.access(self.path, os.W_OK):
            # Others may write at the same time: the log's index is shared with them.
            yield _address(self.path, "mode=rw")
        if log_size(self.path):
            yield _address(self.path, "mode=ro")
            self._seen = self._look()
            yield _address(self._copy(), "mode=rw")
        else:
            self._seen = self._look()
            yield _address(self.path, "mode=ro&immutable=1")

    def _look(self) -> tuple[Any, ...]:
        found: list[Any] = []
        for suffix in _BESIDE:
            try:
                status = Path(f"{self.path}{suffix}").stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_ino, status.st_size, status.st_mtime_ns) if status.st_size else None)
        return tuple(found)

    def _copy(self) -> Path:
        """Copy the file with its log; once more where it changed meanwhile."""
        self._folder = Path(tempfile.mkdtemp(prefix="ionloop-reading-"))
        copy = self._folder / self.path.name
        for _ in range(_COPY_ATTEMPTS):
            before = self._seen = self._look()
            for suffix in _BESIDE:
                shutil.copyfile(f"{self.path}{suffix}", f"{copy}{suffix}")
            if self._look() == before:
                break
        return copy


def _address(path: Path, options: str) -> str:
    return f"file:{quote(str(path))}?{options}"
