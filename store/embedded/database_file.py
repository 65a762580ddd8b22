"""One SQLite file: its connection, lock and transactions, in one process that may have threads and children."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ...core.errors import InputError, IonloopError
from .failures import StoreError, explain, is_busy
from .location import APPLICATION_ID, SCHEMA_VERSION, check_identity, check_location, check_readable
from .reading import Reading

Synchronous = Literal["NORMAL", "FULL"]

_BUSY_TIMEOUT_S = 30.0
_BUSY_PATIENCE_S = 300.0
_FORK_WAIT_S = 0.05
CHECKPOINT_EVERY_S = 5.0
"""What was written is in the store's own file, not only in the log beside it, after about this time."""

_SCHEMA = """
CREATE TABLE catalog (revision INTEGER NOT NULL);
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT, database TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (database, name));
CREATE TABLE indexes (
    id INTEGER PRIMARY KEY, collection INTEGER NOT NULL, name TEXT NOT NULL, definition BLOB NOT NULL,
    UNIQUE (collection, name));
CREATE TABLE fields (
    id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, name TEXT NOT NULL,
    UNIQUE (collection, name));
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, revision INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX documents_of_collection ON documents (collection, id, revision);
CREATE TABLE keys (
    field INTEGER NOT NULL, key BLOB NOT NULL, document INTEGER NOT NULL,
    PRIMARY KEY (field, key, document)) WITHOUT ROWID;
INSERT INTO catalog VALUES (0);
"""
BRIEFS_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS brief_fields (id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL,"
    " names TEXT NOT NULL, UNIQUE (collection))",
    "CREATE TABLE IF NOT EXISTS briefs (document INTEGER PRIMARY KEY, fields INTEGER NOT NULL,"
    " revision INTEGER NOT NULL, body BLOB NOT NULL)",
)
"""What stores of earlier releases lack, and what those releases do not touch: see `Documents.keep_briefs`."""


class DatabaseFile:
    """The SQLite file behind every client of this process that opened the same path.

    Threads take turns: whoever is inside ``read``, ``write`` or ``transaction`` holds the lock. Processes take
    turns in ``write`` and ``transaction`` only, by SQLite's own lock. With ``read_only`` nothing is written, neither
    to the file nor beside it, so that files and file systems that may only be read will do.
    """

    def __init__(self, path: Path, synchronous: Synchronous, *, read_only: bool = False) -> None:
        self.path = path
        self.synchronous = synchronous
        self._reading = Reading(path) if read_only else None
        self._checkpointed = time.monotonic()
        self.lost_log = False
        """Whether the log's index lay beside the file when it was opened, but not the log."""
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._lock = threading.RLock()
        self._depth = 0
        self._writing = False
        self._failure: IonloopError | None = None
        self._orphaned_by_fork = False

    # -- connection ------------------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._orphaned_by_fork:
                raise StoreError(
                    f"store: this process was forked in the middle of a transaction on {self.path}: "
                    "fork outside of transactions"
                )
            try:
                self._connection = self._patiently(self._connect)
            except sqlite3.Error as error:
                raise explain(error, self.path) from error
        return self._connection

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written."""
        return self._reading is not None

    def _connect(self) -> sqlite3.Connection:
        if self._reading is not None:
            connection = self._reading.connect(_open_file, self._check_for_reading)
        else:
            connection = _open_file(self.path)
        try:
            if self._reading is None:
                self._check_or_create(connection)
                connection.execute(f"PRAGMA synchronous = {self.synchronous}")
                connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -32768")
            connection.execute("PRAGMA temp_store = MEMORY")
            self._inode = self.path.stat().st_ino
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_for_reading(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is no store.

        Raises
        ------
        InputError
            If it is another program's, a newer version's, or empty.
        """
        if not self._identify(connection):
            raise InputError(f"store: {self.path} is an empty SQLite file, no store of ionloop: choose another file")

    def _check_or_create(self, connection: sqlite3.Connection) -> None:
        # Nothing may be written, not even the journal mode, before the file is known to be ours. One transaction,
        # or another process that makes the store just now would show its tables without their mark.
        connection.execute("BEGIN")
        try:
            self._identify(connection)
        finally:
            connection.execute("ROLLBACK")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"store: the file system of {self.path} cannot keep SQLite's log: choose another")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not self._identify(connection):
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _identify(self, connection: sqlite3.Connection) -> bool:
        """Check that the file is ours; return whether it has its tables already."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        check_identity(self.path, application, version, has_tables=tables > 0)
        return bool(tables)

    def _patiently(self, action: Any) -> Any:
        """Repeat ``action`` while other processes hold the file."""
        deadline = time.monotonic() + _BUSY_PATIENCE_S
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        """Close the file; the next use opens it again.

        Raises
        ------
        StoreError
            If called inside a transaction.
        """
        with self._lock:
            if self._depth:
                raise StoreError(f"store: {self.path} cannot be closed inside a transaction")
            self._disconnect()

    def lost_its_file(self) -> bool:
        """Tell whether the file was removed or replaced while it was open."""
        with self._lock:
            if self._connection is None:
                return False
            try:
                return self.path.stat().st_ino != self._inode
            except FileNotFoundError:
                return True

    def has_its_file(self) -> bool:
        """Tell whether the file is open, and still the one of that name."""
        return self._connection is not None and not self.lost_its_file()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            if self._reading is not None:
                self._reading.clean_up()

    def checkpoint(self) -> None:
        """Move what is in the log beside the file into the file itself, as far as no reader still needs the log."""
        with self._lock:
            if self._connection is not None and not self._depth:
                self._move_log()

    def _move_log(self) -> None:
        self._checkpointed = time.monotonic()
        if self._connection is None or self.is_read_only:
            return
        try:
            # It waits for nobody and keeps nobody waiting.
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            # A full disk, for example: what was acknowledged is safe in the log.
            return

    def _move_log_now_and_then(self) -> None:
        if time.monotonic() - self._checkpointed < CHECKPOINT_EVERY_S:
            return
        try:
            age_s = time.time() - self.path.stat().st_mtime
        except OSError:
            return
        # Another process has just done it: the file itself is written to at no other time.
        if 0 <= age_s < CHECKPOINT_EVERY_S:
            return
        self._move_log()

    # -- statements ------------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement inside ``read``, ``write`` or ``transaction``."""
        if self._failure is not None:
            raise self._failure
        assert self._connection is not None
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._fail(error) from error

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query one by one."""
        cursor = self.execute(sql, parameters)
        try:
            yield from cursor
        except sqlite3.Error as error:
            raise self._fail(error) from error

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many rows, inside ``write`` or ``transaction``."""
        if self._failure is not None:
            raise self._failure
        assert self._connection is not None
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._fail(error) from error

    def _fail(self, error: sqlite3.Error) -> IonloopError:
        """Translate the error; what follows in this transaction fails too, whoever caught the first one."""
        failure = explain(error, self.path)
        if self._depth:
            self._failure = failure
        return failure

    # -- transactions ----------------------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[None]:
        """Give one consistent view of the file to everything inside."""
        with self._lock:
            if self._depth:
                yield
                return
            if self._reading is not None and self._connection is not None and self._reading.is_outdated():
                self._disconnect()
            self._begin("BEGIN")
            try:
                yield
            finally:
                self._end("COMMIT")

    @contextmanager
    def write(self) -> Iterator[None]:
        """Make one operation durable at its end.

        A refusal that MongoDB would report (duplicate key, document too large ...) keeps what the operation did
        before, as on a server; any other error undoes all of it.
        """
        with self._lock:
            if self._depth:
                self._check_writable()
                yield
                return
            self._begin("BEGIN IMMEDIATE", writing=True)
            try:
                yield
            except BaseException as error:
                self._end("COMMIT" if _is_refusal(error) else "ROLLBACK")
                raise
            self._end("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside one all-or-nothing step; may be nested, an inner failure undoes the inner part.

        Other processes wait for the end, so that nothing slow belongs inside.
        """
        with self._lock:
            if self._depth:
                self._check_writable()
                yield from self._nested()
                return
            self._begin("BEGIN IMMEDIATE", writing=True)
            try:
                yield
            except BaseException:
                self._end("ROLLBACK")
                raise
            self._end("COMMIT")

    def _nested(self) -> Iterator[None]:
        name = f"level_{self._depth}"
        self.execute(f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
        except BaseException:
            if self._failure is None:
                self.execute(f"ROLLBACK TO {name}")
                self.execute(f"RELEASE {name}")
            raise
        else:
            self.execute(f"RELEASE {name}")
        finally:
            self._depth -= 1

    def _check_writable(self) -> None:
        if not self._writing:
            raise StoreError(f"store: {self.path} cannot be written while it is being read: end the read first")

    def _begin(self, statement: str, *, writing: bool = False) -> None:
        if writing and self.is_read_only:
            raise InputError(f"store: {self.path} is open for reading only: nothing can be written to it")
        connection = self._connected()
        try:
            self._patiently(lambda: connection.execute(statement))
        except sqlite3.Error as error:
            raise explain(error, self.path) from error
        self._depth, self._writing, self._failure = 1, writing, None

    def _end(self, statement: str) -> None:
        """End the outermost transaction. After a failed statement nothing of it is kept."""
        connection, failure, wrote = self._connection, self._failure, self._writing
        assert connection is not None
        self._depth, self._writing, self._failure = 0, False, None
        try:
            # SQLite rolls back by itself after some errors, a full disk among them.
            if connection.in_transaction:
                connection.execute("ROLLBACK" if failure is not None else statement)
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise explain(error, self.path) from error
        if failure is not None and statement == "COMMIT":
            raise failure
        if wrote:
            self._move_log_now_and_then()

    # -- forks -----------------------------------------------------------------------------------------------

    def before_fork(self) -> bool:
        """Close the file, because SQLite's locks do not survive a fork: parent and child open it afresh.

        Return False where another thread is busy with it.
        """
        if not self._lock.acquire(timeout=_FORK_WAIT_S):
            return False
        if not self._depth:
            self._disconnect()
        return True

    def after_fork_in_parent(self) -> None:
        """Let the other threads go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start afresh; a transaction that was open stays the parent's."""
        self._lock = threading.RLock()
        if self._connection is not None:
            # Even closing the parent's connection would damage the file: it must never be finalised here.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
            self._connection = None
            self._orphaned_by_fork = True
        self._depth, self._writing, self._failure = 0, False, None


def _is_refusal(error: BaseException) -> bool:
    """Return whether MongoDB would report an error; who has met one has imported pymongo."""
    errors = sys.modules.get("pymongo.errors")
    return errors is not None and isinstance(error, errors.PyMongoError)


def _open_file(file: str | Path, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        file,
        uri=uri,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )


_open_files: weakref.WeakValueDictionary[tuple[Path, bool], DatabaseFile] = weakref.WeakValueDictionary()
_engines_lock = threading.Lock()
_forking: list[DatabaseFile] = []


def open_database_file(
    path: Path, synchronous: Synchronous, *, allow_network_file_system: bool = False, read_only: bool = False
) -> DatabaseFile:
    """Return a database file, one object per file and process (and one for reading only), checked and open.

    Raises
    ------
    InputError
        If no store can be kept there or, with ``read_only``, none is there.
    """
    path = Path(os.path.realpath(path))
    with _engines_lock:
        file = _open_files.get((path, read_only))
        lost_log = False
        if not any(other.path == path and other.has_its_file() for other in list(_open_files.values())):
            # Only now: to close the file that this reads would drop the locks of SQLite in this process.
            lost_log = Path(f"{path}-shm").exists() and not Path(f"{path}-wal").exists()
            if read_only:
                check_readable(path)
            else:
                check_location(path, allow_network_file_system=allow_network_file_system)
        if file is None:
            file = _open_files[(path, read_only)] = DatabaseFile(path, synchronous, read_only=read_only)
            file.lost_log = lost_log
        elif synchronous == "FULL" and file.synchronous != "FULL":
            file.synchronous = "FULL"
            file.close()
        elif file.lost_its_file():
            file.close()
    with file.read():
        pass
    return file


def _before_fork() -> None:
    while True:
        _engines_lock.acquire()
        for file in list(_open_files.values()):
            if not file.before_fork():
                break
            _forking.append(file)
        else:
            return
        # The busy thread may itself wait for one of the locks that are held here.
        _after_fork_in_parent()
        time.sleep(_FORK_WAIT_S)


def _after_fork_in_parent() -> None:
    for file in _forking:
        file.after_fork_in_parent()
    _forking.clear()
    _engines_lock.release()


def _after_fork_in_child() -> None:
    for file in _forking:
        file.after_fork_in_child()
    _forking.clear()
    _engines_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
