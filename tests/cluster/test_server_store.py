"""The store on a server that speaks MongoDB's protocol over TCP: the same records, whatever happens to the server."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fireworks import FiretaskBase, Firework, FWAction, FWorker, Workflow
from fireworks.core.rocket_launcher import launch_rocket
from server import PASSWORD, USER, DatabaseServer, SecuredServer

from ionloop.cli.console import environment
from ionloop.cli.console.environment import Status
from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.store.care.migration import copy_store
from ionloop.store.care.repair import repair
from ionloop.store.care.verification import verify_store
from ionloop.store.connection import Store, open_store
from ionloop.store.jobs import launchpad
from ionloop.store.jobs.launchpad import open_launchpad
from ionloop.store.jobs.registered_tasks import restricted_tasks
from ionloop.store.records import RECORD_TYPES
from ionloop.store.retrying import RetryingClient
from ionloop.workflows.loop.task_registry import registered_tasks
from ionloop.workflows.running.worker import Worker

TESTS = Path(__file__).parent.parent
ENERGY_TOLERANCE_eV = 1e-6
WORKERS = 2
RUN_TIMEOUT_S = 600
OUTAGE_S = 5.0
FORK = multiprocessing.get_context("fork")

pytestmark = pytest.mark.timeout(900)


def neighbour(path: str) -> ModuleType:
    """Return a module of another folder of tests."""
    name = f"neighbour_{Path(path).stem}_{Path(path).parent.name}"
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, TESTS / path)
        assert specification is not None
        assert specification.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def server_store(database_server: DatabaseServer, tmp_path: Path) -> Iterator[Store]:
    opened = database_server.open(tmp_path / "shared")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _own_tasks() -> Iterator[None]:
    with restricted_tasks(registered_tasks()):
        yield


def essences(store: Store) -> dict[str, dict[str, Any]]:
    return {kind.collection: {one.id: one.essence() for one in store.records(kind).find()} for kind in RECORD_TYPES}


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Yield where two records differ by more than the tolerance."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from differences(one[name], other[name], f"{place}/{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}/{index}")
    elif isinstance(one, float) and isinstance(other, float):
        if abs(one - other) > ENERGY_TOLERANCE_eV * max(1.0, abs(one)):
            yield f"{place}: {one!r} and {other!r}"
    elif one != other:
        yield f"{place}: {str(one)[:80]} and {str(other)[:80]}"


# -- records and jobs --------------------------------------------------------------------------------------------


def test_records_survive_the_server_bit_by_bit(server_store: Store, store: Store, make_builder: Any) -> None:
    for one in (store, server_store):
        builder = make_builder(one)
        builder.add_campaign()
        builder.add_loop()
        builder.conclude()
        one.database.fireworks.delete_many({})  # the builder's job is of no workflow
    for kind in RECORD_TYPES:
        here, there = ({one.id: one for one in place.records(kind).find()} for place in (store, server_store))
        assert here.keys() == there.keys()
        assert all(one.essence() == there[name].essence() for name, one in here.items())
    # An identifier that is there is not stored again.
    label = next(iter(server_store.labels.find({"state": "finished"})))
    assert server_store.labels.add(label.model_copy(update={"energy": 1.0})) == label
    assert verify_store(server_store).problems == []


def test_indexes_are_ours(server_store: Store) -> None:
    found = {tuple(index["key"]) for index in server_store.database.fireworks.list_indexes()}
    assert {("fw_id",), ("spec.campaign",), ("spec.campaign", "spec.key")} <= found
    labels = [tuple(index["key"]) for index in server_store.database.labels.list_indexes()]
    assert ("content_hash",) in labels
    assert server_store.database.fireworks.index_information()["fw_id_1"]["unique"]


class LedgerTask(FiretaskBase):
    _fw_name = "ledger"

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        with open(fw_spec["ledger"], "a") as file:
            file.write(f"{self['name']}\n")
        return FWAction(update_spec={"from": self["name"]})


def _work(location: str, folder: str) -> None:
    os.chdir(folder)
    with restricted_tasks({"ledger": LedgerTask}):
        opened = open_launchpad(location)
        while launch_rocket(opened, FWorker("worker"), strm_lvl="CRITICAL"):
            pass
        opened.client.close()


def test_processes_run_each_job_once(server_store: Store, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.touch()
    with restricted_tasks({"ledger": LedgerTask}):
        for number in range(20):
            spec = {"ledger": str(ledger)}
            first = Firework(LedgerTask(name=f"{number}.1"), spec=spec, name=f"{number}.1")
            second = Firework(LedgerTask(name=f"{number}.2"), spec=spec, name=f"{number}.2", parents=[first])
            server_store.launchpad.add_wf(Workflow([first, second]))
        workers = [FORK.Process(target=_work, args=(server_store.location, str(tmp_path))) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        _work(server_store.location, str(tmp_path))
        assert repair(server_store.launchpad, settle_s=0.1).total == 0
    executed = Counter(ledger.read_text().split())
    assert len(executed) == 40
    assert set(executed.values()) == {1}
    assert {one["state"] for one in server_store.database.fireworks.find()} == {"COMPLETED"}


# -- copies --------------------------------------------------------------------------------------------------------


def test_a_campaign_moves_to_the_server_and_back(
    finished_store: Store, server_store: Store, tmp_path: Path, make_builder: Any
) -> None:
    make_builder(server_store, "other").add_campaign()
    for one in (server_store, finished_store):
        one.database.fireworks.delete_many({})  # the builder's job is of no workflow
        with restricted_tasks({"ledger": LedgerTask}):
            spec = {"campaign": "small" if one is finished_store else "other", "kind": "x", "generation": 0}
            first = Firework(LedgerTask(name="1"), spec={**spec, "key": "1"})
            second = Firework(LedgerTask(name="2"), spec={**spec, "key": "2"}, parents=[first])
            one.launchpad.add_wf(Workflow([first, second]))
    report = copy_store(finished_store, server_store, "small")
    assert report.documents_copied == report.documents
    assert copy_store(finished_store, server_store, "small").documents_copied == 0
    assert verify_store(server_store).problems == verify_store(finished_store).problems
    back = open_store(str(tmp_path / "back.db"))
    copy_store(server_store, back, "small")
    # A survey is of several campaigns: it stays where it is when one of them moves.
    assert essences(back) == {**essences(finished_store), "surveys": {}}
    checksums, before = verify_store(back).checksums, verify_store(finished_store).checksums
    assert checksums.pop("surveys") != before.pop("surveys")
    assert checksums == before
    back.close()


# -- hostile documents -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_hostile_documents_are_refused(server_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile_tests = neighbour("reliability/test_hostile_documents.py")
    canary = hostile_tests.Canary(tmp_path / "canary")
    monkeypatch.setattr(launchpad, "ENTRY_WAIT_S", 0.5)
    monkeypatch.syspath_prepend(canary.folder)
    monkeypatch.chdir(tmp_path)
    hostile = hostile_tests.hostile_documents("small", canary)
    hostile_tests.add_campaign(server_store, {"engine": "command", "calculator": "ase.calculators.emt:EMT"})
    accepted = []
    server_store.wait_for_server(0.0)
    for one in hostile:
        # A server may refuse a document by itself, as MongoDB does with keys that it cannot store.
        try:
            hostile_tests.inject(server_store, [one])
        except Exception:  # whatever the server says
            server_store.database.workflows.delete_one({"_id": (one.workflow or {}).get("_id")})
        else:
            accepted.append(one)
    server_store.wait_for_server(30.0)
    assert len(accepted) >= 100
    Worker(server_store).run()
    hostile_tests.check_outcome(server_store, accepted, canary)


# -- the campaign ----------------------------------------------------------------------------------------------------


def start_worker(location: str, root: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ionloop.cli", "worker", "--store", location, "--root", str(root)]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*command, *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def run_campaign(store: Store, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Submit the small campaign of the tests of workflows and start workers on it."""
    folder.mkdir()
    small = neighbour("workflows/conftest.py").SmallCampaign(store, folder)
    small.submit()
    logs = [folder / f"worker-{number}.log" for number in range(WORKERS)]
    return [start_worker(store.location, store.root, log, "--campaign", "small") for log in logs]


def wait_for(workers: list[subprocess.Popen[bytes]], folder: Path) -> None:
    for number, worker in enumerate(workers):
        status = worker.wait(RUN_TIMEOUT_S)
        assert status == 0, f"status {status}: {(folder / f'worker-{number}.log').read_text()[-2000:]}"


def check_same(embedded: Store, server: Store) -> None:
    unfinished = [job for job in server.database.fireworks.find() if job["state"] != "COMPLETED"]
    assert [(job["spec"]["key"], job["state"], job.get("refusal")) for job in unfinished] == []
    here, there = essences(embedded), essences(server)
    for record in (*here["campaigns"].values(), *there["campaigns"].values()):
        # Where the campaign's engine lies differs between the two runs.
        record["settings"].pop("reference")
    for collection in here:
        assert here[collection].keys() == there[collection].keys(), collection
        assert list(differences(here[collection], there[collection])) == []
    keys = Counter(job["spec"]["key"] for job in server.database.fireworks.find())
    assert set(keys.values()) == {1}
    assert verify_store(server).problems == []


@pytest.fixture(scope="module")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for the engine of both runs: its path is part of the settings, and thereby of every identifier."""
    return tmp_path_factory.mktemp("campaign") / "small"


@pytest.fixture(scope="module")
def embedded_run(engine_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The campaign on the embedded store, undisturbed."""
    opened = open_store(str(tmp_path_factory.mktemp("embedded") / "ionloop.db"))
    workers = run_campaign(opened, engine_folder)
    wait_for(workers, engine_folder)
    assert opened.campaigns["small"].state is State.FINISHED
    yield opened
    opened.close()


def again(folder: Path) -> None:
    """Empty the engine's folder for another run."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_two_workers_on_the_server_make_the_records_of_the_embedded_run(
    embedded_run: Store, engine_folder: Path, server_store: Store
) -> None:
    again(engine_folder)
    wait_for(run_campaign(server_store, engine_folder), engine_folder)
    check_same(embedded_run, server_store)


def impatient(server: DatabaseServer) -> DatabaseServer:
    """Return the server for a driver that leaves a restart to us: on a replica set it waits one out by itself."""
    return replace(server, location=f"{server.location}?serverSelectionTimeoutMS=1000")


def test_a_server_that_goes_away_costs_nothing_but_time(
    embedded_run: Store, engine_folder: Path, stoppable_server: DatabaseServer, tmp_path: Path
) -> None:
    """Twice while the campaign runs: once orderly, once by a kill."""
    assert stoppable_server.process is not None
    again(engine_folder)
    store = impatient(stoppable_server).open(tmp_path / "shared")
    store.wait_for_server(60.0)
    workers = run_campaign(store, engine_folder)
    for kill, finished in ((False, 2), (True, 5)):
        while store.labels.count({"state": "finished"}) < finished:
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.2)
        stoppable_server.process.stop(kill=kill)
        time.sleep(OUTAGE_S)
        stoppable_server.process.start()
    wait_for(workers, engine_folder)
    check_same(embedded_run, store)
    assert "trying again" in "".join(log.read_text() for log in engine_folder.glob("worker-*.log"))
    store.close()


def test_an_operation_waits_for_the_server(stoppable_server: DatabaseServer, tmp_path: Path) -> None:
    assert stoppable_server.process is not None
    store = impatient(stoppable_server).open(tmp_path / "shared")
    assert isinstance(store.launchpad.client, RetryingClient)
    store.database.things.insert_many([{"_id": number} for number in range(300)])
    cursor = store.database.things.find().batch_size(10)
    next(cursor)
    stoppable_server.process.stop()
    started = time.monotonic()
    # Reports of progress do not wait.
    for _ in range(5):
        store.note_worker("x", heartbeat=1.0)
    assert time.monotonic() - started < 3 * 2.0
    comes_back = threading.Timer(2.0, stoppable_server.process.start)
    comes_back.start()
    store.wait_for_server(60.0)
    store.database.things.insert_one({"_id": 300})
    assert store.database.things.count_documents({}) == 301
    assert len(list(cursor)) == 299
    assert store.last_outage_end > 0
    comes_back.join()
    store.close()


def test_doctor_warns_of_a_server_without_authentication(database_server: DatabaseServer, server_store: Store) -> None:
    assert environment.check_store(database_server.location).status is Status.OK
    if database_server.process is not None:
        checks = {check.name: check for check in environment.check_server_safety(database_server.location)}
        assert checks["authentication"].status is Status.WARNING
        assert "encryption" not in checks  # nothing leaves this machine


# -- authentication and encryption -----------------------------------------------------------------------------------


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the right user and password."""
    path = tmp_path / "credentials"
    path.write_text(f"user: {USER}\npassword: {PASSWORD}\n")
    path.chmod(0o600)
    monkeypatch.setenv("IONLOOP_STORE_CREDENTIALS", str(path))
    monkeypatch.delenv("IONLOOP_STORE_USER", raising=False)
    monkeypatch.delenv("IONLOOP_STORE_PASSWORD", raising=False)
    return path


def test_a_store_behind_tls_and_a_password(secured_server: SecuredServer, credentials: Path, tmp_path: Path) -> None:
    job = Firework(LedgerTask(name="one"), spec={"ledger": str(tmp_path / "ledger")})
    with closing(open_store(secured_server.encrypted, root=tmp_path / "shared")) as opened:
        with restricted_tasks({"ledger": LedgerTask}):
            opened.launchpad.add_wf(Workflow([job]))
        stored = str([list(opened.database[name].find()) for name in opened.database.list_collection_names()])
        for shown in (stored, opened.location, repr(opened.database), str(opened.launchpad.to_dict())):
            assert PASSWORD not in shown
            assert USER not in shown
        # A worker gets the address as an argument, and the credentials as we got them.
        wait_for([start_worker(opened.location, tmp_path / "shared", tmp_path / "worker-0.log")], tmp_path)
        assert PASSWORD not in (tmp_path / "worker-0.log").read_text()
        # It refuses a kind of job that it does not know; it would wait for ever if the job had not been seen.
        assert opened.database.fireworks.find_one({}, {"state": 1})["state"] == "FIZZLED"
    checks = [environment.check_store(secured_server.encrypted)]
    checks += environment.check_server_safety(secured_server.encrypted)
    assert {check.name: check.status for check in checks} == {"store": Status.OK, "authentication": Status.OK}


@pytest.mark.parametrize("place", ["encrypted", "plain"])
def test_a_wrong_password_is_told_without_being_shown(
    secured_server: SecuredServer, credentials: Path, place: str, tmp_path: Path
) -> None:
    credentials.write_text(f"user: {USER}\npassword: battery-staple\n")
    with pytest.raises(InputError, match=r"uthentication failed.*IONLOOP_STORE_PASSWORD") as caught:
        open_store(getattr(secured_server, place), root=tmp_path)
    assert "staple" not in str(caught.value)
    assert environment.check_store(getattr(secured_server, place)).status is Status.FAILED


def test_a_stranger_and_a_server_of_an_unknown_authority_are_refused(
    secured_server: SecuredServer, credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_authority = secured_server.encrypted.replace(f"tlsCAFile={secured_server.authority}&", "")
    with pytest.raises(InputError, match=r"certificate.*tlsCAFile"):
        open_launchpad(without_authority, server_timeout_s=2.0)
    monkeypatch.delenv("IONLOOP_STORE_CREDENTIALS")
    with pytest.raises(InputError, match="authentication"):
        open_store(secured_server.encrypted, root=tmp_path)
    monkeypatch.setenv("IONLOOP_STORE_CREDENTIALS", str(credentials))
    credentials.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        open_store(secured_server.encrypted, root=tmp_path)
    warnings = [check.name for check in environment.check_server_safety(secured_server.encrypted)]
    assert "credentials" in warnings
