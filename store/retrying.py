"""A client of a MongoDB server that outlasts the server: what meets a lost connection is tried again, with back-off.

pymongo itself tries once more, which covers the election of a new primary but no restart. FireWorks takes any error
for the job's own (a firework that cannot be read for want of a connection is marked FIZZLED), so that single database
operations are repeated here, below it. All of them may be: replacements, ``$set`` and deletions by key end alike
however often they are applied, and an insertion that was applied already is told by the identifier that the driver
gave the document; a counter (``$inc``) may count an operation twice that was applied without an answer, which skips
a number. Where a "find and update" had been so applied, its repetition finds nothing: a taken job then has no launch
and ``repair`` gives it back. On a replica set the server itself recognises the repetition.
"""

from __future__ import annotations

import functools
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pymongo
import pymongo.results
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.errors import AutoReconnect, ConnectionFailure, DuplicateKeyError, OperationFailure

from ..core.errors import MachineAtFault
from .server import redacted

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
SHORT_PATIENCE_S = 30.0
MOST_BREAKS = 8
_BEST_EFFORT_S = 2.0
# What a server says while it starts, stops or elects: "interrupted at shutdown", "not primary", "primary stepped
# down" and their kin (codes of the MongoDB specification "retryable reads").
_PASSING_CODES = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})

Answer = TypeVar("Answer")


class StoreUnreachable(MachineAtFault):
    """The server did not come back in time. Nothing is lost: jobs that ran will run again."""


@dataclass
class Patience:
    """How long a process waits for its server, and what it does when that was in vain.

    Attributes
    ----------
    limit_s
        From the first failure on (s).
    give_up
        Called with the reason before `StoreUnreachable` is raised; it may end the process.
    """

    limit_s: float = SHORT_PATIENCE_S
    give_up: Callable[[str], None] | None = None


def is_passing(error: BaseException) -> bool:
    """Return whether waiting may mend what an operation met: a lost connection, a server that restarts or elects."""
    if isinstance(error, OperationFailure):
        return error.code in _PASSING_CODES
    return isinstance(error, AutoReconnect | ConnectionFailure)


def pauses(random_number: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield the times to wait (s): doubled each time up to a limit, spread so that workers do not come all at once."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause * (0.5 + random_number())
        pause = min(2 * pause, LONGEST_PAUSE_S)


class RetryingClient(pymongo.MongoClient[dict[str, Any]]):
    """pymongo's client, whose databases and collections repeat what meets a lost connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = Patience()
        self.last_outage_end = -math.inf
        self._outside = threading.local()
        self._unreachable_until = 0.0

    def __getitem__(self, name: str) -> RetryingDatabase:
        return RetryingDatabase.of(super().__getitem__(name))

    def get_database(self, *args: Any, **kwargs: Any) -> RetryingDatabase:
        """Return a database."""
        return RetryingDatabase.of(super().get_database(*args, **kwargs))

    def patiently(self, operation: Callable[[], Answer]) -> Answer:
        """Return the answer of ``operation``, repeated while the server cannot be reached.

        Raises
        ------
        StoreUnreachable
            If it does not come back within the patience of this client.
        """
        if getattr(self._outside, "is_expendable", False):
            return operation()
        started: float | None = None
        answered = 0
        for pause in pauses():
            try:
                answer = operation()
            except Exception as error:
                if not is_passing(error):
                    raise
                reason = redacted(error).split(", Timeout:")[0]
                if started is None:
                    started = time.monotonic()
                    logger.warning("the store's server cannot be reached (%s): trying again", reason)
                waited = time.monotonic() - started
                if waited + pause > self.patience.limit_s:
                    self._give_up(reason, waited, error)
                # A server that is there, and yet breaks off at this operation, will not mend by waiting.
                answered = answered + 1 if self._answers() else 0
                if answered >= MOST_BREAKS:
                    self._give_up(f"it breaks off at this operation: {reason}", waited, error)
                time.sleep(pause)
            else:
                if started is not None:
                    self.last_outage_end = time.monotonic()
                    logger.warning("the store's server is back after %.0f s", time.monotonic() - started)
                return answer
        raise AssertionError("the pauses never end")

    def _answers(self) -> bool:
        try:
            with pymongo.timeout(_BEST_EFFORT_S):
                self.admin.command("ping")
        except Exception as error:
            if not is_passing(error) and not getattr(error, "timeout", False):
                raise
            return False
        return True

    def _give_up(self, reason: str, waited_s: float, error: Exception) -> None:
        message = f"the store's server could not be reached for {waited_s:.0f} s: {reason}; nothing is lost, run again"
        if self.patience.give_up is not None:
            self.patience.give_up(message)
        raise StoreUnreachable(message) from error

    @contextmanager
    def expendable(self) -> Iterator[bool]:
        """Give what is inside one short attempt, whose failure to reach the server is no matter.

        Yields whether to try at all: after a failure nothing is tried for a while, so that a computation that
        reports its progress is not held up by a server that is away.
        """
        if time.monotonic() < self._unreachable_until:
            yield False
            return
        self._outside.is_expendable = True
        try:
            with pymongo.timeout(_BEST_EFFORT_S):
                yield True
        except Exception as error:
            if not is_passing(error) and not getattr(error, "timeout", False):
                raise
            self._unreachable_until = time.monotonic() + LONGEST_PAUSE_S
        finally:
            self._outside.is_expendable = False


class RetryingDatabase(Database[dict[str, Any]]):
    """pymongo's database, whose collections repeat what meets a lost connection."""

    @classmethod
    def of(cls, database: Any) -> RetryingDatabase:
        """Return pymongo's database as ours."""
        database.__class__ = cls
        found: RetryingDatabase = database
        return found

    def __getitem__(self, name: str) -> RetryingCollection:
        return RetryingCollection.of(super().__getitem__(name))

    def __getattr__(self, name: str) -> RetryingCollection:
        return RetryingCollection.of(super().__getattr__(name))

    def get_collection(self, *args: Any, **kwargs: Any) -> RetryingCollection:
        """Return a collection."""
        return RetryingCollection.of(super().get_collection(*args, **kwargs))

    def with_options(self, *args: Any, **kwargs: Any) -> RetryingDatabase:  # type: ignore[override]
        """Return the database with other options."""
        return RetryingDatabase.of(super().with_options(*args, **kwargs))

    def list_collection_names(self, *args: Any, **kwargs: Any) -> list[str]:
        """Return the names of the collections."""
        return _client(self).patiently(lambda: super(RetryingDatabase, self).list_collection_names(*args, **kwargs))


class RetryingCollection(Collection[dict[str, Any]]):
    """pymongo's collection, whose operations are repeated when they meet a lost connection."""

    @classmethod
    def of(cls, collection: Any) -> RetryingCollection:
        """Return pymongo's collection as ours."""
        collection.__class__ = cls
        found: RetryingCollection = collection
        return found

    def __getitem__(self, name: str) -> RetryingCollection:
        return RetryingCollection.of(super().__getitem__(name))

    def __getattr__(self, name: str) -> RetryingCollection:
        return RetryingCollection.of(super().__getattr__(name))

    def with_options(self, *args: Any, **kwargs: Any) -> RetryingCollection:  # type: ignore[override]
        """Return the collection with other options."""
        return RetryingCollection.of(super().with_options(*args, **kwargs))

    def find(self, *args: Any, **kwargs: Any) -> RetryingCursor:
        """Return a cursor, which asks the server when it is first read."""
        return RetryingCursor(self, *args, **kwargs)

    def insert_one(self, document: Any, *args: Any, **kwargs: Any) -> Any:
        """Insert a document. One that an attempt without an answer had inserted is no duplicate."""
        attempts = 0

        def insert() -> Any:
            nonlocal attempts
            attempts += 1
            try:
                return super(RetryingCollection, self).insert_one(document, *args, **kwargs)
            except DuplicateKeyError:
                if attempts > 1 and self.find_one({"_id": document["_id"]}) == document:
                    return pymongo.results.InsertOneResult(document["_id"], acknowledged=True)
                raise

        return _client(self).patiently(insert)

    def insert_many(self, documents: Any, *args: Any, **kwargs: Any) -> Any:
        """Insert documents; those that an attempt without an answer had inserted are left out of the next."""
        every = list(documents)
        attempts = 0

        def insert() -> Any:
            nonlocal attempts
            attempts += 1
            missing = every
            if attempts > 1:
                names = [one["_id"] for one in every if "_id" in one]
                known = {str(one["_id"]) for one in self.find({"_id": {"$in": names}}, {"_id": 1})}
                missing = [one for one in every if str(one.get("_id")) not in known]
            if missing:
                super(RetryingCollection, self).insert_many(missing, *args, **kwargs)
            return pymongo.results.InsertManyResult([one["_id"] for one in every], acknowledged=True)

        return _client(self).patiently(insert)


def _client(owner: Any) -> RetryingClient:
    client: Any = owner.database.client if isinstance(owner, Collection) else owner.client
    found: RetryingClient = client
    return found


def _repeated(name: str) -> Callable[..., Any]:
    operation = getattr(Collection, name)

    @functools.wraps(operation)
    def run(self: RetryingCollection, *args: Any, **kwargs: Any) -> Any:
        return _client(self).patiently(lambda: operation(self, *args, **kwargs))

    return run


REPEATED_OPERATIONS = (
    "aggregate",
    "bulk_write",
    "count_documents",
    "create_index",
    "create_indexes",
    "delete_many",
    "delete_one",
    "distinct",
    "drop",
    "drop_index",
    "drop_indexes",
    "estimated_document_count",
    "find_one_and_delete",
    "find_one_and_replace",
    "find_one_and_update",
    "index_information",
    "list_indexes",
    "rename",
    "replace_one",
    "update_many",
    "update_one",
)
"""Every other operation of a collection that asks the server (``find_one`` reads a cursor)."""

for _name in REPEATED_OPERATIONS:
    setattr(RetryingCollection, _name, _repeated(_name))


class RetryingCursor(Cursor[dict[str, Any]]):
    """A cursor that reads all its documents at once: a lost connection in the middle then costs a repetition."""

    _found: Iterator[dict[str, Any]] | None = None

    def next(self) -> dict[str, Any]:
        """Return the next document."""
        if self._found is None:
            self._found = iter(_client(self.collection).patiently(self._read_all))
        return next(self._found)

    def __next__(self) -> dict[str, Any]:
        return self.next()

    def _read_all(self) -> list[dict[str, Any]]:
        super().rewind()
        documents = []
        while True:
            try:
                documents.append(super().next())
            except StopIteration:
                return documents

    def rewind(self) -> RetryingCursor:
        """Return the cursor as it was before it was read."""
        self._found = None
        super().rewind()
        return self

    def to_list(self, length: int | None = None) -> list[dict[str, Any]]:
        """Return the documents."""
        return list(self)[:length]
