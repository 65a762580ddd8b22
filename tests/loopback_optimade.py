"""OPTIMADE on loopback: our structures, a server that replays or passes on answers with faults, the reference server.

``python tests/loopback_optimade.py`` with an interpreter that can run the reference server (``optimade[server]``)
records its answers anew for the tests of every day.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal

from ionloop.sampling.structures.crystals import build_crystal

RECORDED = Path(__file__).parent / "sampling" / "candidates" / "recorded_answers.json"
SERVER = Path(__file__).parent / "optimade_reference_server.py"
INTERPRETER = "IONLOOP_OPTIMADE_PYTHON"
"""Environment variable that may name an interpreter with ``optimade[server]``."""
START_S = 60.0
LARGEST_PAGE = 20
"""Of the reference server: it chooses 20 itself, and refuses more than its maximum."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Fault = Callable[[str, int, bytes], tuple[int, bytes]]
"""Path, number of earlier requests for it, the true answer -> what is sent; 200 leaves the status as it is."""


def rock_salt(anion: str, a_A: float) -> Atoms:
    return crystal(["Li", anion], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[a_A] * 3 + [90] * 3)


def antifluorite() -> Atoms:
    return crystal(["Li", "S"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[5.7] * 3 + [90] * 3)


def suzuki() -> Atoms:
    """Li6MgBr8, which its symmetry determines."""
    sites = [(0, 0, 0), (0, 0.25, 0.25), (0.25, 0.25, 0.25), (0.25, 0, 0)]
    return crystal(["Mg", "Li", "Br", "Br"], sites, spacegroup=225, cellpar=[11.0] * 3 + [90] * 3)


def entry(identifier: str, atoms: Atoms, **more: Any) -> dict[str, Any]:
    """Return what a database holds of a structure: the standard's properties, the provider's without prefix."""
    counts = atoms.symbols.formula.count()
    unit = int(np.gcd.reduce(list(counts.values())))
    elements = sorted(counts)
    reduced = "".join(f"{e}{counts[e] // unit if counts[e] != unit else ''}" for e in elements)
    return {
        "id": identifier,
        "immutable_id": f"first-{identifier}",
        "last_modified": "2026-01-01T00:00:00Z",
        "elements": elements,
        "nelements": len(elements),
        "elements_ratios": [counts[e] / len(atoms) for e in elements],
        "chemical_formula_reduced": reduced,
        "chemical_formula_descriptive": reduced,
        "chemical_formula_anonymous": "A",
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": np.round(atoms.cell.array, 6).tolist(),
        "cartesian_site_positions": np.round(atoms.positions, 6).tolist(),
        "nsites": len(atoms),
        "species_at_sites": list(atoms.symbols),
        "species": [{"name": e, "chemical_symbols": [e], "concentration": [1.0]} for e in elements],
        "structure_features": [],
        **more,
    }


def entries(*, with_properties: bool = True) -> list[dict[str, Any]]:
    """Return what the database holds: good ones, one with half of its Li, an oxide with Zr, one without a gap."""

    def said(stability: float, band_gap: float) -> dict[str, float]:
        return {"stability": stability, "band_gap": band_gap} if with_properties else {}

    half = entry("half-lithium", antifluorite(), structure_features=["disorder"])
    half["species"][0] |= {"chemical_symbols": ["Li", "vacancy"], "concentration": [0.5, 0.5]}
    zirconate = Atoms("Li2ZrO3", cell=[4.5] * 3, pbc=True)
    zirconate.set_scaled_positions([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0], [0, 0, 0.5], [0, 0.5, 0.5]])
    return [
        entry("li7p3s11", build_crystal("li7p3s11"), **said(0.022, 2.6)),
        entry("beta", build_crystal("beta-li3ps4"), **said(0.01, 2.8)),
        entry("gamma", build_crystal("gamma-li3ps4"), **said(0.0, 2.9)),
        entry("hypodiphosphate", build_crystal("li4p2s6"), **said(0.2, 2.0)),
        entry("suzuki", suzuki(), **said(0.0, 4.5)),
        half | said(0.0, 3.0),
        entry("zirconate", zirconate, **said(0.0, 4.0)),
        entry("metallic", build_crystal("gamma-li3ps4").repeat((1, 1, 2)), **said(0.0, 0.0)),
        entry("sulphide", antifluorite(), **said(0.0, 3.4)),
        entry("chloride", rock_salt("Cl", 5.13), **said(0.0, 6.0)),
    ]


def interpreter() -> str | None:
    """Return an interpreter that can run the reference server, None if none is known."""
    for python in (os.environ.get(INTERPRETER), sys.executable):
        if (
            python
            and subprocess.run([python, "-c", "import optimade.server, uvicorn"], capture_output=True).returncode == 0
        ):
            return python
    return None


@contextlib.contextmanager
def reference_server(folder: Path, *, with_properties: bool = True) -> Iterator[str]:
    """Serve the entries with the reference server; its base URL."""
    python = interpreter()
    if python is None:
        pytest.skip(f"no interpreter here has optimade[server]; {INTERPRETER} may name one")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    config = {
        "insert_test_data": False,
        "page_limit_max": LARGEST_PAGE,
        "base_url": base,
        "aliases": {},
        "provider": {"prefix": "oqmd", "name": "Loopback", "description": "Structures of a test"},
        "provider_fields": {
            "structures": [
                {"name": name, "description": name, "type": "float", "unit": unit}
                for name, unit in (("stability", "eV"), ("band_gap", "eV"))
                if with_properties
            ]
        },
        "log_dir": str(folder),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "entries.json").write_text(json.dumps(entries(with_properties=with_properties)))
    command = [python, str(SERVER), str(folder / "config.json"), str(folder / "entries.json"), str(port)]
    with open(folder / "output", "w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                DIRECT.open(f"{base}/v1/info", timeout=5).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "output").read_text()[-3000:]) from error
                time.sleep(0.2)
        yield base
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Loopback:
    """A server on loopback that answers by a function of path and base URL, through faults.

    Attributes
    ----------
    url
        Its base URL.
    requests
        Every path with its query that was asked for, in order.
    """

    def __init__(self, answer: Callable[[str, str], tuple[int, bytes]], fault: Fault | None = None) -> None:
        outer = self
        self.requests: list[str] = []
        self.headers: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                earlier = outer.requests.count(self.path)
                outer.requests.append(self.path)
                status, content = answer(self.path, outer.url)
                if fault is not None:
                    changed, content = fault(self.path, earlier, content)
                    status = status if changed == 200 else changed
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/vnd.api+json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def passed_on(base: str) -> Callable[[str, str], tuple[int, bytes]]:
    """Return an answer that asks another server, whose addresses become ours."""

    def answer(path: str, url: str) -> tuple[int, bytes]:
        try:
            with DIRECT.open(base + path, timeout=30) as response:
                return response.status, response.read().replace(base.encode(), url.encode())
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return answer


def replayed(name: str) -> Callable[[str, str], tuple[int, bytes]]:
    """Return an answer out of those that the reference server once gave; ``name`` says which database it was."""
    known = json.loads(RECORDED.read_text())[name]

    def answer(path: str, url: str) -> tuple[int, bytes]:
        if path not in known:
            return 404, json.dumps({"errors": [{"detail": f"not recorded: {path}"}]}).encode()
        return 200, json.dumps(known[path]).replace("{base}", url).encode()

    return answer


def record(folder: Path) -> None:
    """Ask the reference server what the tests ask, and keep its answers."""
    from ionloop.sampling.candidates.base import SourceRequest
    from ionloop.sampling.candidates.filters import CandidateFilters
    from ionloop.sampling.candidates.optimade import OPTIMADE, OptimadeSource

    recorded: dict[str, dict[str, Any]] = {}
    for name in ("with-properties", "without-properties"):
        answers = recorded[name] = {}
        with reference_server(folder / name, with_properties=name == "with-properties") as base:
            pass_on = passed_on(base)

            def remember(path: str, url: str, answers=answers, pass_on=pass_on) -> tuple[int, bytes]:
                status, content = pass_on(path, url)
                answer = json.loads(content.decode().replace(url, "{base}"))
                if "/info/structures" in path:
                    answer["data"]["properties"] = {key: {} for key in answer["data"]["properties"]}
                answers[path] = answer
                return status, content

            with Loopback(remember) as server:
                for exclude in ((), ("transition-metals",)):
                    filters = CandidateFilters(elements=(2, 4), exclude_elements=exclude)
                    OPTIMADE.gather(SourceRequest(OptimadeSource(url=server.url, page_limit=3), filters))
    RECORDED.write_text(json.dumps(recorded, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        record(Path(scratch))
