"""A server that speaks MongoDB's protocol over TCP, for tests: one that is there, or FerretDB on SQLite.

``IONLOOP_TEST_MONGODB_URI`` names a server (credentials in ``IONLOOP_STORE_USER`` and ``IONLOOP_STORE_PASSWORD``).
Without it FerretDB is built once by Go and kept in the user's cache; without Go the tests are skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pymongo
import pytest

from ionloop.store.connection import Store, open_store
from ionloop.store.launchpad import connect_to_server

FERRETDB = "github.com/FerretDB/FerretDB@v1.24.0"
_CHANGES = (
    (
        "internal/types/document_validation.go",
        """				case *Array:
					return newValidationError(ErrValidation, fmt.Errorf(
						"invalid value: { %q: %v } (nested arrays are not supported)", key, FormatAnyValue(value),
					))
""",
        "",
    ),
    (
        "internal/clientconn/conn.go",
        "		return cmd.Handler(connCtx, msg)\n",
        "		oneAtATime.Lock()\n		defer oneAtATime.Unlock()\n\n		return cmd.Handler(connCtx, msg)\n",
    ),
    (
        "internal/clientconn/conn.go",
        "// handleOpMsg processes",
        "var oneAtATime sync.Mutex\n\n// handleOpMsg processes",
    ),
    ("internal/clientconn/conn.go", "import (\n", 'import (\n	"sync"\n'),
)
URI_VARIABLE = "IONLOOP_TEST_MONGODB_URI"
BUILD_TIMEOUT_S = 900
START_TIMEOUT_S = 30


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ferretdb_executable() -> Path:
    """Return FerretDB's executable, built if there is none yet; skip the test where that is impossible."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ionloop" / "bin"
    executable = cache / f"ferretdb-{hashlib.sha256(repr((FERRETDB, _CHANGES)).encode()).hexdigest()[:8]}"
    if executable.exists():
        return executable
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip(f"no server: {URI_VARIABLE} is not set, and there is no Go to build FerretDB with")
    cache.mkdir(parents=True, exist_ok=True)
    built = _run([go, "mod", "download", "-json", FERRETDB])
    if not built.returncode:
        # `go install` of a version also asks for the list of all versions, which not every proxy gives.
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "ferretdb"
            shutil.copytree(json.loads(built.stdout)["Dir"], source, copy_function=shutil.copyfile)
            for path in (source, *source.rglob("*")):
                path.chmod(0o755)
            _prepare(source)
            partial = executable.with_name(f"{executable.name}-{os.getpid()}")
            built = _run([go, "build", "-C", str(source), "-p", "2", "-o", str(partial), "./cmd/ferretdb"])
        if not built.returncode:
            partial.replace(executable)
    if built.returncode:
        pytest.skip(f"no server: FerretDB cannot be built: {built.stderr[-300:]}")
    return executable


def _prepare(source: Path) -> None:
    """Mend in FerretDB's sources what no document store can be tested without.

    As released, FerretDB 1.24 refuses arrays of arrays (positions, forces), and on SQLite its "find and modify" is
    not atomic: of 100 jobs, four clients reserved 153. MongoDB does both. Here arrays may be nested, and commands
    are carried out one after the other.
    """
    (source / "build" / "version" / "version.txt").write_text(FERRETDB.partition("@")[2])
    for name, before, after in _CHANGES:
        path = source / name
        text = path.read_text()
        assert text.count(before) == 1, f"{name} is not that of the version which these changes are for"
        path.write_text(text.replace(before, after))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)


@dataclass
class FerretDB:
    """A FerretDB of the tests' own, which can be stopped and started again on the same data.

    Attributes
    ----------
    folder
        Where its data and its log lie.
    options
        Further options of its command line.
    """

    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def start(self) -> None:
        executable = ferretdb_executable()
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(executable),
            f"--listen-addr=127.0.0.1:{self.port}",
            "--debug-addr=-",
            "--telemetry=disable",
            "--handler=sqlite",
            f"--sqlite-url=file:{self.folder}/",
            f"--state-dir={self.folder}",
            "--log-level=error",
            *self.options,
        ]
        with (self.folder / "ferretdb.log").open("ab") as log:
            process = self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"FerretDB did not start: {(self.folder / 'ferretdb.log').read_text()[-1000:]}")

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._process.wait(START_TIMEOUT_S)
            self._process = None


@dataclass
class DatabaseServer:
    """A server and a database of it that belongs to one test.

    Attributes
    ----------
    location
        What ``--store`` takes.
    ferretdb
        The process behind it; None for a server that somebody else runs, which cannot be stopped.
    """

    location: str
    ferretdb: FerretDB | None = None

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
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FerretDB | None]:
    """One FerretDB for all tests; None where a server is named."""
    if os.environ.get(URI_VARIABLE):
        yield None
        return
    ferretdb = FerretDB(tmp_path_factory.mktemp("ferretdb"))
    ferretdb.start()
    yield ferretdb
    ferretdb.stop()


@pytest.fixture
def database_server(server_process: FerretDB | None) -> Iterator[DatabaseServer]:
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
    ferretdb = FerretDB(tmp_path / "ferretdb")
    ferretdb.start()
    yield DatabaseServer(location_of(ferretdb.address, "ionloop"), ferretdb)
    ferretdb.stop()


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
    ferretdb = FerretDB(
        folder / "data",
        (
            f"--listen-tls=127.0.0.1:{port}",
            f"--listen-tls-cert-file={certificate}",
            f"--listen-tls-key-file={certificate}",
            "--test-enable-new-auth",
            f"--setup-username={USER}",
            f"--setup-password={PASSWORD}",
            "--setup-database=admin",
        ),
    )
    ferretdb.start()
    authority = folder / "secrets" / "ca.pem"
    yield SecuredServer(
        encrypted=f"mongodb://localhost:{port}/team?tls=true&tlsCAFile={authority}&authSource=admin",
        plain=location_of(ferretdb.address, "team?authSource=admin"),
        authority=authority,
    )
    ferretdb.stop()
