"""FireWorks' LaunchPad on either backend: the embedded store (a path) or MongoDB (a URI)."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
from fireworks import Workflow, fw_config
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core import rocket
from fireworks.core.launchpad import LaunchPad, LockedWorkflowError
from fireworks.utilities import filepad as fireworks_filepad
from mongomock.gridfs import enable_gridfs_integration
from pymongo.errors import PyMongoError

from ..errors import InputError
from .embedded import EmbeddedClient
from .embedded.engine import Synchronous

DATABASE_NAME = "ionloop"
MONGODB_SCHEMES = ("mongodb://", "mongodb+srv://")

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


class RefreshError(RuntimeError):
    """A workflow could not be refreshed: its firework was marked FIZZLED, which stays."""


def is_server(location: str | os.PathLike[str]) -> bool:
    """Tell whether a store's location is a MongoDB server (else it is a path)."""
    return str(location).startswith(MONGODB_SCHEMES)


def connect(host: Any = None, port: Any = None, **options: Any) -> Any:
    """Return a client: embedded for an absolute path, pymongo's for everything else.

    It stands in for ``MongoClient`` inside FireWorks, whose configurations then take a path as host.
    """
    if isinstance(host, str) and host.startswith("/") and not host.endswith(".sock"):
        ours = {name: options[name] for name in ("synchronous", "allow_network_file_system") if name in options}
        return EmbeddedClient(host, **ours)
    return pymongo.MongoClient(host, port, **options)


@functools.cache
def install_client() -> None:
    """Let FireWorks in this process open embedded stores: it takes its client from three names."""
    for module in (fw_config, fireworks_launchpad, fireworks_filepad):
        module.MongoClient = connect
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

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside one step on the embedded store; do nothing on a server."""
        if not self.is_embedded:
            yield
            return
        failure: RefreshError | None = None
        with self.connection.transaction():
            try:
                yield
            except RefreshError as error:
                # FireWorks reports by this error that it marked a firework FIZZLED: rolling that back would hand
                # the same firework to the next worker, for ever.
                failure = error
        if failure is not None:
            raise failure

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

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> StoreLaunchPad:
        """Open the store that ``to_dict`` described."""
        return open_launchpad(d["host"], database_name=d["name"], strm_lvl=d["strm_lvl"])


def open_launchpad(
    location: str | os.PathLike[str],
    *,
    database_name: str = DATABASE_NAME,
    synchronous: Synchronous = "NORMAL",
    allow_network_file_system: bool = False,
    server_timeout_s: float = 10.0,
    strm_lvl: str = "CRITICAL",
) -> StoreLaunchPad:
    """Open the LaunchPad of a store, made ready if the store is new.

    Parameters
    ----------
    location
        A path (embedded store) or a ``mongodb://`` or ``mongodb+srv://`` URI.
    database_name
        The database inside the store: FireWorks' collections and ours.
    synchronous, allow_network_file_system
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
    install_client()
    rocket.ROCKET_STREAM_LOGLEVEL = strm_lvl
    if is_server(location):
        host = str(location)
        options: dict[str, Any] = {"serverSelectionTimeoutMS": int(1000 * server_timeout_s)}
    else:
        host = os.path.realpath(Path(location).expanduser())
        options = {"synchronous": synchronous, "allow_network_file_system": allow_network_file_system}
    launchpad = None
    try:
        launchpad = StoreLaunchPad(
            host=host, name=database_name, uri_mode=True, mongoclient_kwargs=options, strm_lvl=strm_lvl
        )
        _prepare(launchpad)
    except PyMongoError as error:
        if launchpad is not None:
            launchpad.client.close()
        if not is_server(location):
            raise
        raise InputError(f"store: {_without_password(host)} cannot be used: {error}") from error
    return launchpad


def _prepare(launchpad: StoreLaunchPad) -> None:
    """Make indexes and counters, once per store."""
    if launchpad.fw_id_assigner.count_documents({}):
        return
    with launchpad.transaction():
        launchpad.tuneup()
        launchpad.fw_id_assigner.update_one(
            {"_id": -1}, {"$setOnInsert": {"next_fw_id": 1, "next_launch_id": 1}}, upsert=True
        )


def _without_password(uri: str) -> str:
    return re.sub(r"://[^@/]*@", "://...@", uri)
