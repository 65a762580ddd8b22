"""FerretDB 1.24 on SQLite, built once by Go and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from server_process import ServerProcess

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
BUILD_TIMEOUT_S = 900


def ferretdb_executable() -> Path:
    """Return FerretDB's executable, built if there is none yet; skip the test where that is impossible."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ionloop" / "bin"
    executable = cache / f"ferretdb-{hashlib.sha256(repr((FERRETDB, _CHANGES)).encode()).hexdigest()[:8]}"
    if executable.exists():
        return executable
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip("there is no Go to build FerretDB with")
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
        pytest.skip(f"FerretDB cannot be built: {built.stderr[-300:]}")
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
class FerretDB(ServerProcess):
    """FerretDB with its data in SQLite files."""

    def command(self) -> list[str]:
        return [
            str(ferretdb_executable()),
            f"--listen-addr=127.0.0.1:{self.port}",
            "--debug-addr=-",
            "--telemetry=disable",
            "--handler=sqlite",
            f"--sqlite-url=file:{self.folder}/",
            f"--state-dir={self.folder}",
            "--log-level=error",
        ]

    def secured(self, tls_port: int, certificate: Path, user: str, password: str) -> None:
        """Let it ask for a password, and speak TLS at that port."""
        self.options = (
            f"--listen-tls=127.0.0.1:{tls_port}",
            f"--listen-tls-cert-file={certificate}",
            f"--listen-tls-key-file={certificate}",
            "--test-enable-new-auth",
            f"--setup-username={user}",
            f"--setup-password={password}",
            "--setup-database=admin",
        )
