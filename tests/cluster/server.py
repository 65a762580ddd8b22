"""The servers of the tests, and a database of one for each test.

``IONLOOP_TEST_MONGODB_URI`` names a server (credentials in ``IONLOOP_STORE_USER`` and ``IONLOOP_STORE_PASSWORD``).
Without it tests start one of their own: SecantusDB on WiredTiger where that is installed, else FerretDB on SQLite that
Go builds; ``IONLOOP_TEST_SERVER=ferretdb`` takes the latter in any case. A test is skipped where there is no server.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymongo
import pytest
from ferretdb import FerretDB
from secantusdb import SecantusDB
from server_process import ServerProcess, free_port

from ionloop.store.clients import connect_to_server
from ionloop.store.connection import Store, open_store

URI_VARIABLE = "IONLOOP_TEST_MONGODB_URI"
SERVER_VARIABLE = "IONLOOP_TEST_SERVER"


def new_server(folder: Path) -> ServerProcess:
    """Return a server of the tests' own, which was not started yet."""
    name = os.environ.get(SERVER_VARIABLE) or ("secantusdb" if importlib.util.find_spec("secantus") else "ferretdb")
    return {"secantusdb": SecantusDB, "ferretdb": FerretDB}[name](folder)


@dataclass
class DatabaseServer:
    """A server and a database of it that belongs to one test.

    Attributes
    ----------
    location
        What ``--store`` takes.
    process
        The process behind it; None for a server that somebody else runs, which cannot be stopped.
    """

    location: str
    process: ServerProcess | None = None

    def open(self, root: Path) -> Store:
        return open_store(self.location, root=root)

    def environment(self, root: Path) -> dict[str, str]:
        """Return what a process needs to find the store."""
        return {"IONLOOP_STORE": self.location, "IONLOOP_ROOT": str(root)}


def location_of(address: str, database: str) -> str:
    """Return an address with that database in it."""
    host, _, options = address.partition("?")
    scheme, _, rest = host.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{database}" + (f"?{options}" if options else "")


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess | None]:
    """One server for all tests; None where one is named."""
    if os.environ.get(URI_VARIABLE):
        yield None
        return
    process = new_server(tmp_path_factory.mktemp("server"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def database_server(server_process: ServerProcess | None) -> Iterator[DatabaseServer]:
    """A database of one test, dropped at its end."""
    address = os.environ[URI_VARIABLE] if server_process is None else server_process.address
    database = f"ionloop_test_{secrets.token_hex(4)}"
    location = location_of(address, database)
    yield DatabaseServer(location, server_process)
    client: pymongo.MongoClient = connect_to_server(location)
    client.drop_database(database)
    client.close()


@pytest.fixture
def stoppable_server(tmp_path: Path) -> Iterator[DatabaseServer]:
    """A server of one test that may stop and start it; skipped where only a foreign one is there."""
    if os.environ.get(URI_VARIABLE):
        pytest.skip(f"the server of {URI_VARIABLE} is not ours to stop")
    process = new_server(tmp_path / "server")
    process.start()
    yield DatabaseServer(location_of(process.address, "ionloop"), process)
    process.stop()


USER, PASSWORD = "lovelace", "correct-horse"


@dataclass
class SecuredServer:
    """A server that asks for a password and is spoken to by TLS.

    Attributes
    ----------
    encrypted
        What ``--store`` takes.
    plain
        The same server without TLS.
    authority
        The file of the certificate that the server's is of.
    """

    encrypted: str
    plain: str
    authority: Path


@pytest.fixture(scope="session")
def secured_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServer]:
    """FerretDB with a user and with certificates that ``deploy/mongodb`` makes."""
    if os.environ.get(URI_VARIABLE):
        pytest.skip(f"the server of {URI_VARIABLE} has its own users and certificates")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("secured")
    script = Path(__file__).parents[2] / "deploy" / "mongodb" / "make-certificates.sh"
    subprocess.run([str(script), "localhost"], cwd=folder, check=True, capture_output=True)
    certificate, port = folder / "secrets" / "server.pem", free_port()
    ferretdb = FerretDB(folder / "data")
    ferretdb.secured(port, certificate, USER, PASSWORD)
    ferretdb.start()
    authority = folder / "secrets" / "ca.pem"
    yield SecuredServer(
        encrypted=f"mongodb://localhost:{port}/team?tls=true&tlsCAFile={authority}&authSource=admin",
        plain=location_of(ferretdb.address, "team?authSource=admin"),
        authority=authority,
    )
    ferretdb.stop()
