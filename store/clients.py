"""Clients of a store's database: the embedded store's, or a server's; FireWorks is not needed for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .embedded.database_file import DatabaseFile, Synchronous
from .embedded.reading_client import ReadingClient
from .server import (
    DATABASE_NAME,
    SERVER_TIMEOUT_S,
    client_options,
    explain_server_error,
    is_server,
    read_credentials,
    server_address,
)

if TYPE_CHECKING:
    from .retrying import RetryingClient


class RefreshError(RuntimeError):
    """A workflow could not be refreshed: its firework was marked FIZZLED, which stays."""


def connect(host: Any = None, port: Any = None, *, client: Any = None, **options: Any) -> Any:
    """Return a client: embedded for an absolute path, pymongo's for everything else; or the one that is given.

    It stands in for ``MongoClient`` inside FireWorks, whose configurations then take a path as host; the client of
    a server repeats what meets a lost connection.
    """
    if client is not None:
        return client
    if isinstance(host, str) and host.startswith("/") and not host.endswith(".sock"):
        names = ("synchronous", "allow_network_file_system", "read_only")
        ours = {name: options[name] for name in names if name in options}
        # Who only reads, or only asks a server, need not wait for this import.
        from .embedded.client import EmbeddedClient

        return EmbeddedClient(host, **ours)
    if isinstance(host, str) and is_server(host):
        return connect_to_server(host, timeout_s=options.get("server_timeout_s", SERVER_TIMEOUT_S))
    import pymongo

    return pymongo.MongoClient(host, port, **options)


def connect_to_server(location: str, *, timeout_s: float = SERVER_TIMEOUT_S) -> RetryingClient:
    """Return a client of a server, with this process's credentials, which nobody else gets to see.

    FireWorks writes what it knows of its connection into files and documents: it is told the address only.

    Raises
    ------
    InputError
        If the address or the credentials cannot be used.
    """
    from pymongo.errors import PyMongoError

    from .retrying import RetryingClient

    address = server_address(location)
    try:
        return RetryingClient(address.uri, **client_options(address, read_credentials(), timeout_s=timeout_s))
    except (PyMongoError, ValueError, OSError) as error:
        raise explain_server_error(error, address) from None


def open_client(
    location: str | os.PathLike[str],
    *,
    database_name: str | None = None,
    synchronous: Synchronous = "NORMAL",
    allow_network_file_system: bool = False,
    read_only: bool = False,
    server_timeout_s: float = SERVER_TIMEOUT_S,
) -> tuple[Any, str, str]:
    """Return a client of a store, the address that it connects to, and the name of the store's database.

    See `open_launchpad` for the parameters. A server has answered.

    Raises
    ------
    InputError
        If no store can be kept there, or the server does not answer.
    """
    if not is_server(location):
        host = os.path.realpath(Path(location).expanduser())
        if read_only:
            reading = ReadingClient(Path(host), allow_network_file_system=allow_network_file_system)
            return reading, host, database_name or DATABASE_NAME
        client = connect(host, synchronous=synchronous, allow_network_file_system=allow_network_file_system)
        return client, host, database_name or DATABASE_NAME
    from pymongo.errors import PyMongoError

    from .retrying import StoreUnreachable

    address = server_address(str(location))
    client = connect_to_server(address.uri, timeout_s=server_timeout_s)
    name = database_name or address.database
    patience = client.patience
    try:
        # Who names a wrong address is told at once; who has been connected waits.
        client.patience = replace(patience, limit_s=0.0)
        is_prepared(client[name])
        client.patience = patience
    except (PyMongoError, StoreUnreachable) as error:
        client.close()
        cause = error.__cause__ if isinstance(error, StoreUnreachable) else error
        raise explain_server_error(cause if isinstance(cause, Exception) else error, address) from None
    return client, address.uri, name


def is_prepared(database: Any) -> bool:
    """Return whether a database has what FireWorks needs."""
    return bool(database.fw_id_assigner.count_documents({}))


def file_of(client: Any) -> DatabaseFile | None:
    """Return the file of an embedded store's client; None of a server's."""
    file = getattr(client, "file", None)
    return file if isinstance(file, DatabaseFile) else None


@contextmanager
def transaction_of(client: Any) -> Iterator[None]:
    """Make everything inside one step on the embedded store; do nothing on a server."""
    if file_of(client) is None:
        yield
        return
    failure: RefreshError | None = None
    with client.transaction():
        try:
            yield
        except RefreshError as error:
            # FireWorks reports by this error that it marked a firework FIZZLED: rolling that back would hand
            # the same firework to the next worker, for ever.
            failure = error
    if failure is not None:
        raise failure
