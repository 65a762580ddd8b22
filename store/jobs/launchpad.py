"""FireWorks' LaunchPad on either backend: the embedded store (a path) or MongoDB (a URI)."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import pymongo
from fireworks import Firework, Workflow, fw_config
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core import rocket
from fireworks.core.launchpad import LaunchPad, LockedWorkflowError
from fireworks.utilities import filepad as fireworks_filepad
from mongomock.gridfs import enable_gridfs_integration
from pymongo.errors import PyMongoError

from ...core.errors import InputError, IonloopError
from ..clients import RefreshError, connect, is_prepared, open_client, transaction_of
from ..embedded.client import EmbeddedClient
from ..embedded.database_file import Synchronous
from ..embedded.reading_client import ReadingClient
from ..retrying import is_passing
from ..server import SERVER_TIMEOUT_S
from .refusals import REFUSAL, RefusedJob, check_document, check_tasks, check_workflow, shown
from .registered_tasks import ForbiddenTask
from .workflow_lock import WorkflowLock, lock_of_this_process

logger = logging.getLogger(__name__)

ENTRY_WAIT_S = 60.0
_ENTRY_POLL_S = 0.1

_OPERATIONS = (
    "_check_fw_for_uniqueness",
    "_restart_ids",
    "_update_wf",
    "_upsert_fws",
    "add_offline_run",
    "add_wf",
    "append_wf",
    "archive_wf",
    "bulk_add_wfs",
    "cancel_reservation",
    "cancel_reservation_by_reservation_id",
    "change_launch_dir",
    "checkout_fw",
    "complete_launch",
    "defuse_fw",
    "defuse_wf",
    "delete_fws",
    "delete_wf",
    "detect_lostruns",
    "detect_unreserved",
    "forget_offline",
    "mark_fizzled",
    "pause_fw",
    "pause_wf",
    "ping_launch",
    "recover_offline",
    "reignite_fw",
    "reignite_wf",
    "rerun_fw",
    "reserve_fw",
    "reset",
    "restore_backup_data",
    "resume_fw",
    "set_priority",
    "set_reservation_id",
    "tuneup",
    "update_spec",
)
"""Every method of LaunchPad that writes. ``maintain`` and ``run_exists`` are loops over these."""


@functools.cache
def install_client() -> None:
    """Let FireWorks in this process open embedded stores, and lock workflows by name: it takes both from names."""
    for module in (fw_config, fireworks_launchpad, fireworks_filepad):
        module.MongoClient = connect
    fireworks_launchpad.WFLock = WorkflowLock
    enable_gridfs_integration()


class TransactionalLaunchPad(LaunchPad):
    """A LaunchPad whose every operation on the embedded store is one transaction.

    A kill between any two writes then leaves either all of an operation or nothing. On a MongoDB server it is
    FireWorks' own LaunchPad; ``repair`` mends there what a kill leaves.
    """

    @property
    def client(self) -> Any:
        """The client: ``EmbeddedClient`` or ``pymongo.MongoClient``."""
        return self.connection

    @property
    def is_embedded(self) -> bool:
        """Whether the store is a file."""
        return isinstance(self.connection, EmbeddedClient)

    def transaction(self) -> AbstractContextManager[None]:
        """Make everything inside one step on the embedded store; do nothing on a server."""
        return transaction_of(self.connection) if self.is_embedded else nullcontext()

    def _refresh_wf(self, fw_id: int) -> None:
        """Recompute the states of a workflow around one firework.

        Raises
        ------
        RefreshError
            If that failed; the firework and its workflow are then marked FIZZLED and nothing else is changed.
        """
        if not self.is_embedded:
            super()._refresh_wf(fw_id)
            return
        try:
            with self.connection.transaction():
                self._check_lock(fw_id)
                super()._refresh_wf(fw_id)
        except LockedWorkflowError:
            self.m_logger.info(f"{fw_id=} locked. Can't refresh!")
        except (RuntimeError, ValueError) as error:
            with self.connection.transaction():
                self._mark_fizzled_by_refresh(fw_id)
            raise RefreshError(str(error)) from error

    def _mark_fizzled_by_refresh(self, fw_id: int) -> None:
        fizzled = {"$set": {"state": "FIZZLED"}}
        self.fireworks.find_one_and_update({"fw_id": fw_id}, fizzled)
        self.workflows.find_one_and_update({"nodes": fw_id}, fizzled)
        self.workflows.find_one_and_update({"nodes": fw_id}, {"$set": {f"fw_states.{fw_id}": "FIZZLED"}})

    def _update_wf(self, wf: Workflow, updated_ids: list[int]) -> None:
        """Write a workflow whose lock this process holds."""
        super()._update_wf(wf, updated_ids)
        if not self.is_embedded:
            # With it FireWorks has written a lock that does not say whose it is.
            named = {"$set": {"locked": lock_of_this_process()}}
            self.workflows.update_one({"nodes": next(iter(wf.id_fw)), "locked": True}, named)

    def rerun_fw(self, fw_id: int, *args: Any, **kwargs: Any) -> list[int]:
        """Run a firework and what depends on it again."""
        if self.fireworks.count_documents({"fw_id": fw_id}):  # FireWorks itself refuses what does not exist
            self._check_lock(fw_id)
        return super().rerun_fw(fw_id, *args, **kwargs)

    def append_wf(self, new_wf: Workflow, fw_ids: list[int], *args: Any, **kwargs: Any) -> None:
        """Append a workflow to fireworks of another."""
        self._check_lock(fw_ids[0])
        super().append_wf(new_wf, fw_ids, *args, **kwargs)

    def _check_lock(self, fw_id: int) -> None:
        """Fail at once where FireWorks would wait for a lock, holding the store, that nobody can release.

        Every lock is taken and released within one transaction, so that none is ever seen from outside, except
        where another tool set it.

        Raises
        ------
        LockedWorkflowError
            If the workflow is locked.
        ValueError
            If the firework belongs to no workflow.
        """
        if not self.is_embedded:
            return
        workflow = self.workflows.find_one({"nodes": fw_id}, {"locked": 1})
        if workflow is None:
            raise ValueError(f"Could not find workflow in database: {fw_id}")
        if "locked" in workflow:
            raise LockedWorkflowError(f"Could not get workflow - LOCKED: {fw_id}")

    def delete_fws(self, fw_ids: list[int], delete_launch_dirs: bool = False) -> None:
        """Delete fireworks, without FireWorks' prints."""
        with contextlib.redirect_stdout(io.StringIO()):
            super().delete_fws(fw_ids, delete_launch_dirs)

    def delete_wf(self, fw_id: int, delete_launch_dirs: bool = False) -> None:
        """Delete a workflow, without FireWorks' prints."""
        with contextlib.redirect_stdout(io.StringIO()):
            super().delete_wf(fw_id, delete_launch_dirs)


def _in_transaction(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def run(self: TransactionalLaunchPad, *args: Any, **kwargs: Any) -> Any:
        with self.transaction():
            return operation(self, *args, **kwargs)

    return run


for _name in _OPERATIONS:
    setattr(TransactionalLaunchPad, _name, _in_transaction(getattr(TransactionalLaunchPad, _name)))


class StoreLaunchPad(TransactionalLaunchPad):
    """The LaunchPad of a store: quiet, ready to use, and not to be erased by accident."""

    def reset(self, password: str = "", require_password: bool = True, max_reset_wo_password: int = 0) -> None:
        """Erase all fireworks: only for ``password="erase NAME"`` with the database's name.

        Raises
        ------
        InputError
            For any other password, FireWorks' own (today's date) included.
        """
        if password != f"erase {self.name}":
            raise InputError(f"store: to erase all jobs of {self.host}, the password is 'erase {self.name}'")
        super().reset("", require_password=False, max_reset_wo_password=self.workflows.count_documents({}))

    def checkout_fw(self, *args: Any, **kwargs: Any) -> tuple[Firework | None, int | None]:
        """Take the next ready job; those whose documents cannot be run are refused and said so in the store.

        Raises
        ------
        IonloopError
            If the store itself fails.
        """
        while True:
            self._candidate: dict[str, Any] | None = None
            try:
                taken: tuple[Firework | None, int | None] = super().checkout_fw(*args, **kwargs)
            except Exception as error:
                # Anything may come of reading what anybody may have written; only a failing store is no job's fault.
                if self._candidate is None or _is_failure_of_store(error):
                    raise
                self.refuse(self._candidate, error)
            else:
                return taken

    def _get_a_fw_to_run(
        self, query: dict[str, Any] | None = None, fw_id: int | None = None, checkout: bool = True
    ) -> Firework | None:
        """Reserve the next ready job, checked before FireWorks makes anything of it.

        Raises
        ------
        RefusedJob
            If it is none of ours.
        """
        if fw_id is not None or not checkout:
            found: Firework | None = super()._get_a_fw_to_run(query, fw_id, checkout)
            return found
        order = [("spec._priority", pymongo.DESCENDING)]
        if not self.is_embedded:
            # The embedded store walks its index in the order of insertion; a second key would have it sort all jobs.
            order.append(("created_on", pymongo.ASCENDING))
        while True:
            document = self.fireworks.find_one_and_update(
                {**(query or {}), "state": "READY"},
                {"$set": {"state": "RESERVED", "updated_on": datetime.now(UTC)}},
                sort=order,
            )
            if document is None:
                return None
            self._candidate = document
            check_document(document)
            number = document["fw_id"]
            check_workflow(self._workflow_of(number), number)
            firework = self.get_fw_by_id(number)
            check_tasks(firework)
            if self._check_fw_for_uniqueness(firework):
                return firework

    def _workflow_of(self, number: int) -> dict[str, Any] | None:
        """Return the links of a job's workflow.

        On a server FireWorks adds jobs first and enters them into their workflow then, so that a job may be taken
        between the two: it is waited for, but not for ever.
        """
        deadline = time.monotonic() + (0.0 if self.is_embedded else ENTRY_WAIT_S)
        while True:
            workflow: dict[str, Any] | None = self.workflows.find_one({"nodes": number}, {"links": 1})
            if workflow is not None or time.monotonic() >= deadline:
                return workflow
            time.sleep(_ENTRY_POLL_S)

    def refuse(self, document: dict[str, Any], error: Exception) -> None:
        """Mark a job as failed before it was run, with the reason; nothing of its document is trusted."""
        reason = str(error) if isinstance(error, IonloopError) else f"{type(error).__name__}: {last_line(error)}"
        logger.warning("job %s refused, nothing of it was run: %s", shown(document.get("fw_id")), reason)
        with self.transaction():
            fizzled = {"state": "FIZZLED", REFUSAL: reason, "updated_on": datetime.now(UTC)}
            self.fireworks.update_one({"_id": document["_id"]}, {"$set": fizzled})
            number = document.get("fw_id")
            if not isinstance(number, int):
                return
            # What FireWorks began of the launch: it never ran.
            self.launches.delete_many({"fw_id": number, "state": {"$in": ["RUNNING", "RESERVED"]}})
            self._note_in_workflows(number, "FIZZLED")

    def readmit(self, number: int) -> None:
        """Let workers judge a refused job again; it had been ready, and its document need not be readable for this."""
        with self.transaction():
            ready = {"$set": {"state": "READY", "updated_on": datetime.now(UTC)}, "$unset": {REFUSAL: ""}}
            self.fireworks.update_many({"fw_id": number, "state": "FIZZLED", REFUSAL: {"$exists": True}}, ready)
            self._note_in_workflows(number, "READY")

    def _note_in_workflows(self, number: int, state: str) -> None:
        self.workflows.update_many({"nodes": number}, {"$set": {"state": state}})
        tables = {"nodes": number, "fw_states": {"$type": "object"}}
        self.workflows.update_many(tables, {"$set": {f"fw_states.{number}": state}})

    def ping_launch(self, *args: Any, **kwargs: Any) -> None:
        """Note that a run goes on; a store that cannot be written to must not end the thread that does that.

        Who is alive is told by the hearts of workers.
        """
        with contextlib.suppress(IonloopError):
            super().ping_launch(*args, **kwargs)

    def complete_launch(self, launch_id: int, *args: Any, **kwargs: Any) -> Any:
        """Report the end of a launch; a workflow that cannot be read marks the job as failed and stops no worker."""
        try:
            return super().complete_launch(launch_id, *args, **kwargs)
        except RuntimeError as error:
            # FireWorks has marked job and workflow as FIZZLED; the launch itself is stored.
            logger.warning("launch %s ended, but its workflow cannot be read: %s", launch_id, last_line(error))
            where = {"launches": launch_id}
            self.fireworks.update_many(where, {"$set": {REFUSAL: f"its workflow cannot be read: {last_line(error)}"}})
            return None

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> StoreLaunchPad:
        """Open the store that ``to_dict`` described."""
        return open_launchpad(d["host"], database_name=d["name"], strm_lvl=d["strm_lvl"])


def last_line(error: Exception) -> str:
    """Return the last line of an error's message: FireWorks' hold whole tracebacks."""
    lines = str(error).strip().splitlines()
    return shown(lines[-1]) if lines else type(error).__name__


def _is_failure_of_store(error: Exception) -> bool:
    if isinstance(error, RefusedJob | ForbiddenTask):
        return False
    # Unauthorized, authentication failed: the rights of this worker, not the document.
    return isinstance(error, IonloopError) or is_passing(error) or getattr(error, "code", None) in (13, 18)


def open_launchpad(
    location: str | os.PathLike[str],
    *,
    database_name: str | None = None,
    synchronous: Synchronous = "NORMAL",
    allow_network_file_system: bool = False,
    read_only: bool = False,
    server_timeout_s: float = SERVER_TIMEOUT_S,
    strm_lvl: str = "CRITICAL",
) -> StoreLaunchPad:
    """Open the LaunchPad of a store, made ready if the store is new.

    Parameters
    ----------
    location
        A path (embedded store) or a ``mongodb://`` or ``mongodb+srv://`` URI without credentials.
    database_name
        The database inside the store: FireWorks' collections and ours. By default the one that the URI names, else
        ``ionloop``.
    synchronous, allow_network_file_system, read_only
        See ``EmbeddedClient``; without meaning for a server.
    server_timeout_s
        How long to wait for a server that does not answer (s).
    strm_lvl
        From which level on FireWorks prints its log messages.

    Raises
    ------
    InputError
        If no store can be kept there, or the server does not answer.
    """
    client, host, name = open_client(
        location,
        database_name=database_name,
        synchronous=synchronous,
        allow_network_file_system=allow_network_file_system,
        read_only=read_only,
        server_timeout_s=server_timeout_s,
    )
    launchpad = launchpad_of(client, host, name, strm_lvl=strm_lvl)
    if read_only:
        return launchpad
    try:
        prepare(launchpad)
    except PyMongoError:
        client.close()
        raise
    return launchpad


def launchpad_of(client: Any, host: str, name: str, *, strm_lvl: str = "CRITICAL") -> StoreLaunchPad:
    """Return the LaunchPad of a store that is open already; see `open_client`."""
    install_client()
    if isinstance(client, ReadingClient):
        client = client.full
    rocket.ROCKET_STREAM_LOGLEVEL = strm_lvl
    launchpad = StoreLaunchPad(
        host=host, name=name, uri_mode=True, mongoclient_kwargs={"client": client}, strm_lvl=strm_lvl
    )
    # FireWorks writes what it knows of its connection into files.
    launchpad.mongoclient_kwargs = {}
    return launchpad


def prepare(launchpad: StoreLaunchPad) -> None:
    """Make indexes and counters, once per store."""
    if is_prepared(launchpad.db):
        return
    with launchpad.transaction():
        launchpad.tuneup()
        launchpad.fw_id_assigner.update_one(
            {"_id": -1}, {"$setOnInsert": {"next_fw_id": 1, "next_launch_id": 1}}, upsert=True
        )
