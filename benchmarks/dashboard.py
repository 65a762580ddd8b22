"""How quick the dashboard is on a large store, alone and with many viewers.

Makes an embedded store with 20 campaigns, 200 generations, 10,000 configurations with labels and 20,000 jobs, serves it
on loopback, and measures every page as a browser asks for it: the first time, and after the store has changed. Then
50 viewers look for a while as the page's script does (the revision every 2.5 s, the page when it has changed) while a
job changes every second.

    python benchmarks/dashboard.py [--folder DIR] [--viewers 50] [--seconds 60]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ionloop.core.states import State
from ionloop.core.structures import structure_hash
from ionloop.labelling.settings import settings_hash
from ionloop.store.connection import Store, open_store
from ionloop.store.identifiers import identifier
from ionloop.store.records import (
    CampaignRecord,
    ConfigurationRecord,
    DataSetRecord,
    LabelRecord,
    ModelRecord,
    Origin,
    ResultRecord,
    Structure,
)
from ionloop.workflows.campaign.settings import Campaign

CAMPAIGNS, GENERATIONS, CONFIGURATIONS, JOBS = 20, 10, 50, 100
"""Campaigns; generations of each; configurations and jobs of each generation."""
FIRST_LIMIT_S, OTHER_LIMIT_S, VIEWER_LIMIT_S = 0.3, 1.0, 1.0
START = datetime(2026, 1, 1, tzinfo=UTC)
BULK = 1000


def structure(seed: int) -> Any:
    """Return 42 atoms of the composition Li14 P6 S22 at random places."""
    from ase import Atoms

    generator = np.random.default_rng(seed)
    return Atoms("Li14P6S22", scaled_positions=generator.random((42, 3)), cell=[6.2, 12.6, 12.7], pbc=True)


def make_store(path: Path) -> None:
    """Write the store, documents in bulk."""
    store = open_store(str(path))
    documents: dict[str, list[dict[str, Any]]] = {}
    for number in range(CAMPAIGNS):
        for name, document in campaign_documents(number):
            documents.setdefault(name, []).append(document)
    for name, found in documents.items():
        collection = store.database[name]
        for start in range(0, len(found), BULK):
            with store.transaction():
                collection.insert_many(found[start : start + BULK])
    sizes = {name: store.database[name].count_documents({}) for name in documents}
    print(f"store: {path.stat().st_size / 2**20:.0f} MiB, {sizes}")
    store.close()


def campaign_documents(number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the documents of one campaign, by collection."""
    name = f"campaign-{number:02d}"
    campaign = Campaign.model_validate({"name": name, "structure": "li7p3s11"})
    engine = settings_hash(campaign.reference)
    yield (
        "campaigns",
        CampaignRecord(
            id=name,
            campaign=name,
            settings=campaign.model_dump(mode="json"),
            structure=Structure.from_atoms(structure(number)),
            file=f"/data/{name}.yaml",
            created=START + timedelta(hours=number),
        ).to_document(),
    )
    links: dict[str, list[int]] = {}
    for generation in range(GENERATIONS):
        configurations = []
        for index in range(CONFIGURATIONS):
            record, label = labelled(name, engine, number, generation, index)
            configurations.append(record)
            yield "configurations", record.to_document()
            yield "labels", label.to_document()
        yield from job_documents(name, number, generation, configurations, links)
        yield from model_documents(name, generation, configurations)
    yield "workflows", {"nodes": [int(one) for one in links], "links": links, "updated_on": START.isoformat()}
    yield (
        "usage",
        {"_id": f"{name}/gfn1-xtb", "campaign": name, "engine": "gfn1-xtb", "core_seconds": 1e5 * (number + 1)},
    )


def labelled(
    name: str, engine: str, number: int, generation: int, index: int
) -> tuple[ConfigurationRecord, LabelRecord]:
    """Return a configuration and its label; one in fifty did not converge."""
    seed = (number * GENERATIONS + generation) * CONFIGURATIONS + index
    atoms = structure(seed)
    content = structure_hash(atoms)
    record = ConfigurationRecord(
        id=identifier("config", name, content),
        campaign=name,
        generation=generation,
        created=START,
        structure=Structure.from_atoms(atoms),
        formula=atoms.get_chemical_formula(),
        origin=Origin(sampler="molecular-dynamics", index=index, step=10 * index),
        content_hash=content,
    )
    finished = index != 7
    forces = np.random.default_rng(seed).normal(0.0, 0.8, (len(atoms), 3))
    label = LabelRecord(
        id=identifier("label", content, engine),
        campaign=name,
        generation=generation,
        created=START,
        content_hash=content,
        configuration=record.id,
        engine="gfn1-xtb",
        settings_hash=engine,
        state=State.FINISHED if finished else State.UNCONVERGED,
        reason="" if finished else f"no convergence after {200 + number} iterations",
        energy=-2842.8 if finished else None,
        forces=forces.tolist() if finished else None,
        wall_time_s=3.0,
    )
    return record, label


def job_documents(
    name: str, number: int, generation: int, configurations: list[ConfigurationRecord], links: dict[str, list[int]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the jobs of a generation with their launches: fits, dynamics, a selection, labels, an assessment."""
    kinds = (
        ["fit"] * 2 + ["sample"] * (JOBS - CONFIGURATIONS - 4) + ["select"] + ["label"] * CONFIGURATIONS + ["assess"]
    )
    first = (number * GENERATIONS + generation) * JOBS + 1
    select = first + JOBS - CONFIGURATIONS - 2
    for place, kind in enumerate(kinds):
        job = first + place
        begun = START + timedelta(minutes=20 * generation, seconds=5 * place)
        is_last = generation == GENERATIONS - 1 and kind == "assess"
        key = f"generation-{generation}/{kind}/{place}"
        if kind == "label":
            key = f"generation-{generation}/label/{configurations[place - (JOBS - CONFIGURATIONS - 1)].id}"
        children = {
            "fit": range(first + 2, select),
            "sample": [select],
            "select": range(select + 1, select + 1 + CONFIGURATIONS),
            "label": [first + JOBS - 1],
            "assess": [] if is_last else [first + JOBS, first + JOBS + 1],
        }[kind]
        links[str(job)] = list(children)
        spec = {"campaign": name, "key": key, "kind": kind, "generation": generation, "_priority": 0}
        tasks = [{"_fw_name": f"ionloop.{kind}", "parameters": {"campaign": name, "settings": ["x" * 60] * 8}}]
        yield (
            "fireworks",
            {
                "fw_id": job,
                "name": key,
                "state": "RUNNING" if is_last else "COMPLETED",
                "spec": {**spec, "_tasks": tasks},
                "launches": [job],
                "archived_launches": [],
                "created_on": START.isoformat(),
                "updated_on": begun.isoformat(),
            },
        )
        history = [{"state": "RUNNING", "created_on": begun.isoformat()}]
        if not is_last:
            history.append({"state": "COMPLETED", "created_on": (begun + timedelta(seconds=4)).isoformat()})
        yield (
            "launches",
            {
                "launch_id": job,
                "fw_id": job,
                "fworker": {"name": f"node-{place % 8}-{number}"},
                "host": f"node-{place % 8}",
                "state": "RUNNING" if is_last else "COMPLETED",
                "state_history": history,
                "action": {"stored_data": {"state": "finished", "reason": ""}},
            },
        )


def model_documents(
    name: str, generation: int, configurations: list[ConfigurationRecord]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the models of a generation with their data set and errors."""
    data_set = identifier("data", name, generation)
    ids = [one.id for one in configurations]
    yield (
        "data_sets",
        DataSetRecord(
            id=data_set,
            campaign=name,
            generation=generation - 1,
            labels=ids,
            configurations=ids,
            isolated_atom_energies={},
        ).to_document(),
    )
    for kind, scale in (("gap", 1.2), ("es-gap", 1.0)):
        model = identifier("model", name, generation, kind)
        yield (
            "models",
            ModelRecord(
                id=model,
                campaign=name,
                generation=generation,
                kind=kind,
                data_set=data_set,
                training_set_hash="0" * 64,
                hyperparameters={"soap": {"cutoff_A": 5.0}},
                seed=1,
                path=f"models/{model}",
                files=[],
                wall_time_s=30.0,
            ).to_document(),
        )
        for subset, size in (("new", 0.9), ("training", 0.2)):
            error = {"rmse": scale * size / (generation + 1), "mae": 0.1, "maximum": 1.0, "count": 6300}
            yield (
                "results",
                ResultRecord(
                    id=identifier("result", model, subset),
                    campaign=name,
                    generation=generation,
                    kind="errors",
                    model=model,
                    model_kind=kind,
                    values={
                        "subset": subset,
                        "energy_eV_per_atom": {**error, "rmse": 0.02 * error["rmse"]},
                        "force_eV_per_A": error,
                        "force_by_element_eV_per_A": dict.fromkeys(("Li", "P", "S"), error),
                    },
                ).to_document(),
            )


# -- measuring --------------------------------------------------------------------------------------------------------


def ask(port: int, path: str, tag: str = "") -> tuple[float, int, int, str]:
    """Return the time (s) of one request on a connection of its own, its status, the answer's size and its tag."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"If-None-Match": tag} if tag else {})
        answer = connection.getresponse()
        body = answer.read()
        return time.perf_counter() - began, answer.status, len(body), answer.getheader("ETag") or ""
    finally:
        connection.close()


def change_something(store: Store, job: int) -> None:
    """Change a job as a worker does."""
    moment = datetime.now(UTC).isoformat()
    store.database.fireworks.update_one({"fw_id": job}, {"$set": {"updated_on": moment}})


def measure_pages(store: Store, port: int) -> bool:
    """Print how long every page takes, first and after a change; return whether all are within their limits."""
    configuration = store.database.configurations.find_one({}, {"_id": 1})["_id"]
    model = store.database.models.find_one({}, {"_id": 1})["_id"]
    result = store.database.results.find_one({}, {"_id": 1})["_id"]
    pages = {
        "campaigns": "/",
        "campaign": "/campaign?name=campaign-07",
        "job": "/job?number=777",
        "configurations": "/configurations",
        "configurations, filtered and sorted": "/configurations?filter="
        + quote("generation>3 state=finished max_force>2.5")
        + "&sort=-max_force",
        "configurations, page 57": "/configurations?page=57",
        "configuration": f"/configuration?id={configuration}",
        "models": "/models",
        "model": f"/model?id={model}",
        "results": "/results",
        "results, compared": "/results?filter=kind%3Derrors&y=force_eV_per_A.rmse",
        "result": f"/result?id={result}",
    }
    good = True
    print(f"{'page':<38}{'first':>10}{'changed':>10}{'size':>12}")
    for name, path in pages.items():
        first, status, size, _ = ask(port, path)
        change_something(store, 1)
        time.sleep(1.1)
        changed, again, _, _ = ask(port, path)
        limit = FIRST_LIMIT_S if name == "campaigns" else OTHER_LIMIT_S
        fine = status == again == 200 and max(first, changed) < limit
        good &= fine
        slow = "" if fine else "  SLOW"
        print(f"{name:<38}{1000 * first:>7.0f} ms{1000 * changed:>7.0f} ms{size / 1024:>8.0f} KiB{slow}")
    return good


class Viewers:
    """Browsers that look, as the page's script does: the revision every 2.5 s, the page when it has changed."""

    def __init__(self, port: int, paths: Sequence[str], viewers: int) -> None:
        self.waits: list[float] = []
        self.errors: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._view, args=(paths[number % len(paths)], 2.5 * number / viewers))
            for number in range(viewers)
        ]

    def __enter__(self) -> Viewers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _view(self, path: str, delay_s: float) -> None:
        tag, revision = "", None
        self._over.wait(delay_s)
        while not self._over.is_set():
            try:
                found = [ask_revision(self._port)]
                if found[0][1] != revision:
                    revision = found[0][1]
                    wait, status, _, tag = ask(self._port, path, tag)
                    if status not in (200, 304):
                        raise OSError(f"status {status}")
                    found.append((wait, revision))
                with self._lock:
                    self.waits.extend(wait for wait, _ in found)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.errors.append(f"{path}: {error}")
            self._over.wait(2.5)

    def summary(self) -> str:
        """Return what they waited."""
        ordered = sorted(self.waits)
        median, high = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))]
        text = (
            f"{len(self._threads)} viewers: {len(ordered)} requests, {len(self.errors)} errors, median "
            f"{1000 * median:.0f} ms, 99 % below {1000 * high:.0f} ms"
        )
        return "\n  ".join([text, *self.errors[:5]])


def measure_viewers(store: Store, port: int, viewers: int, seconds: float) -> bool:
    """Let viewers look while jobs change; print what they waited; return whether that is within the limits."""
    paths = ["/", *(f"/campaign?name=campaign-{number:02d}" for number in range(5)), "/configurations", "/models"]
    end = time.monotonic() + seconds
    writes = []
    with Viewers(port, paths, viewers) as found:
        while time.monotonic() < end:
            began = time.perf_counter()
            change_something(store, 1 + len(writes) % 1000)
            writes.append(time.perf_counter() - began)
            time.sleep(1.0)
    print(f"{found.summary()}; in {seconds:.0f} s, a write took {1000 * statistics.median(writes):.1f} ms")
    return not found.errors and statistics.median(found.waits) < VIEWER_LIMIT_S


def ask_revision(port: int) -> tuple[float, int]:
    """Return the time (s) of asking for the revision, and the revision."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/revision")
        return time.perf_counter() - began, int(json.loads(connection.getresponse().read())["revision"])
    finally:
        connection.close()


SERVE = """
import sys, time
from ionloop.deploy.dashboard.app import DashboardSettings, create_app, warm_up
from ionloop.deploy.dashboard.server import make_server
from ionloop.store.connection import open_store
store = open_store(sys.argv[1], must_exist=True)
settings = DashboardSettings(port=0)
app = create_app(store, settings)
server = make_server(app, settings)
began = time.perf_counter()
warm_up(app)
print(server.port, time.perf_counter() - began, flush=True)
server.serve_forever()
"""


@contextmanager
def served(path: Path) -> Iterator[tuple[int, float, int]]:
    """Serve a store; yield the port, how long the start took (s) and the server's process identifier."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            assert server.stdout is not None
            port, seconds = server.stdout.readline().split()
            yield int(port), float(seconds), server.pid
        finally:
            server.terminate()


def main() -> int:
    """Make the store, serve it, measure; the status is 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keep the store here (default: a temporary folder)")
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = (options.folder or Path(temporary)) / "ionloop.db"
        if not path.exists():
            make_store(path)
        store = open_store(str(path))
        with served(path) as (port, seconds, _):
            print(f"reading the store when the dashboard starts: {seconds:.2f} s")
            good = measure_pages(store, port)
            good &= measure_viewers(store, port, options.viewers, options.seconds)
        store.close()
    print("all within the limits" if good else "NOT within the limits")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
