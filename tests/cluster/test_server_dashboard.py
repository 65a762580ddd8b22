"""The dashboard on a server: the pages of the embedded store, by reading alone, also after the server was away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo.monitoring
import pytest
from dashboard_client import ClientOf
from flask.testing import FlaskClient
from server import DatabaseServer
from slurm import wait_until

from ionloop.deploy.dashboard import reader as reader_module
from ionloop.deploy.dashboard import source as source_module
from ionloop.store.care.migration import copy_store
from ionloop.store.clients import connect_to_server
from ionloop.store.connection import Store

READING = {"find", "getMore", "aggregate", "killCursors", "hello", "ismaster", "isMaster", "ping", "endSessions"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once, and do not wait for a server that is away."""
    monkeypatch.setattr(source_module, "SERVER_POLL_S", 0.01)
    monkeypatch.setattr(reader_module, "ANSWER_TIME_S", 0.5)
    monkeypatch.setattr(reader_module, "OUTAGE_PATIENCE_S", 0.1)


@pytest.fixture
def open_here(tmp_path: Path) -> Iterator[Callable[[DatabaseServer], Store]]:
    """Open stores on servers, and close them."""
    stores = []

    def open_one(server: DatabaseServer) -> Store:
        stores.append(server.open(tmp_path / "shared"))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def filled(finished_store: Store, builder: Any, make_builder: Any) -> Store:
    """An embedded store with two campaigns, one of them with results of every kind."""
    builder.add_analyses()
    other = make_builder(finished_store, "other")
    other.add_campaign()
    other.add_loop(1)
    return finished_store


def addresses(store: Store) -> list[str]:
    """Return a page of every kind."""
    configuration = next(iter(store.configurations.find({"generation": 2}))).id
    model = next(iter(store.models.find({"campaign": "small"}))).id
    results = list(store.results.find({"campaign": "small"}))
    return [
        "/",
        "/campaign?name=small",
        "/campaign?name=other&generation=0",
        "/job?number=1",
        "/configurations",
        "/configurations?filter=generation%3E0+state%3Dfinished&sort=-max_force",
        f"/configuration?id={configuration}",
        "/models",
        f"/model?id={model}",
        "/results",
        "/results?filter=kind%3Derrors&y=force_eV_per_A.rmse",
        *(f"/result?id={one.id}" for one in {one.kind: one for one in results}.values()),
        "/compare?campaign=small&campaign=other",
        f"/artefact?kind=models&record={model}&number=0",
    ]


def shown(client: FlaskClient, address: str) -> str:
    """Return what a page shows, without what tells one store from another."""
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.data[-500:])
    page = re.sub(r'data-revision="\d+"', "", answer.data.decode())
    return re.sub(r"<footer>.*?</footer>", "", page, flags=re.S)


def documents(location: str) -> dict[str, list[Any]]:
    client = connect_to_server(location)
    database = client.get_default_database()
    found = {name: list(database[name].find().sort("_id", 1)) for name in sorted(database.list_collection_names())}
    client.close()
    return found


class Commands(pymongo.monitoring.CommandListener):
    """Notes the commands that are sent while ``listening``."""

    def __init__(self) -> None:
        self.listening = False
        self.names: set[str] = set()

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        if self.listening:
            self.names.add(event.command_name)

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        pass


COMMANDS = Commands()


def test_a_server_shows_what_the_embedded_store_shows_and_is_only_read(
    database_server: DatabaseServer, filled: Store, client_of: ClientOf, open_here: Callable[[DatabaseServer], Store]
) -> None:
    copy_store(filled, open_here(database_server))
    pymongo.monitoring.register(COMMANDS)
    server = open_here(database_server)
    before = documents(database_server.location)
    COMMANDS.listening = True
    embedded, served = client_of(filled), client_of(server)
    for address in addresses(filled):
        assert shown(served, address) == shown(embedded, address), address
    assert "find" in COMMANDS.names
    assert COMMANDS.names <= READING
    COMMANDS.listening = False
    assert documents(database_server.location) == before


def test_what_changes_on_the_server_is_shown(
    database_server: DatabaseServer,
    make_builder: Any,
    client_of: ClientOf,
    open_here: Callable[[DatabaseServer], Store],
) -> None:
    server = open_here(database_server)
    builder = make_builder(server)
    builder.add_campaign()
    client = client_of(server)
    assert "generation-1/later" not in shown(client, "/campaign?name=small")
    builder.add_job("generation-1/later", "label", 1, "RUNNING")
    assert "generation-1/later: running" in shown(client, "/campaign?name=small")
    server.database.fireworks.update_one({"spec.key": "generation-1/later"}, {"$set": {"state": "COMPLETED"}})
    assert "generation-1/later: finished" in shown(client, "/campaign?name=small")


def test_a_server_that_is_away_is_said_and_missed_no_longer_than_it_is(
    stoppable_server: DatabaseServer,
    make_builder: Any,
    client_of: ClientOf,
    open_here: Callable[[DatabaseServer], Store],
) -> None:
    assert stoppable_server.process is not None
    store = open_here(stoppable_server)
    builder = make_builder(store)
    builder.add_campaign()
    client = client_of(store)
    shown(client, "/")
    stoppable_server.process.stop(kill=True)
    for address in ("/", "/campaign?name=small", "/configurations", "/revision"):
        answer = client.get(address)
        assert answer.status_code == 503, address
        assert b"cannot be read now" in answer.data
        assert b"small" not in answer.data
    stoppable_server.process.start()
    # Its first answers may take longer than the dashboard waits.
    wait_until(lambda: client.get("/").status_code == 200, "the page comes back")
    assert "small" in shown(client, "/")
