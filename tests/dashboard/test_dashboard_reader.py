"""What the dashboard reads of a store, how it notices changes, and how little it asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_client import ClientOf
from pymongo.errors import ServerSelectionTimeoutError

from ionloop.core.states import State
from ionloop.deploy.dashboard.pages.shared import READER
from ionloop.deploy.dashboard.reader import Memory, Reader, StoreAway
from ionloop.deploy.dashboard.snapshot import MAKERS
from ionloop.deploy.dashboard.source import ServerSource
from ionloop.store.connection import Store, open_store
from ionloop.store.retrying import StoreUnreachable
from ionloop.workflows.loop.error_history import error_history
from ionloop.workflows.watching.ledger import failures
from ionloop.workflows.watching.status import campaign_status


@pytest.fixture
def reader(store: Store) -> Iterator[Reader]:
    made = Reader(store, 0.0)
    yield made
    made.close()


def test_it_says_what_the_status_says(finished_store: Store, reader: Reader) -> None:
    status = campaign_status(finished_store, "small")
    snapshot = reader.snapshot()
    assert snapshot.standing("small") == (status.state, status.reason)
    assert {state.value: count for state, count in snapshot.job_counts("small").items()} == status.jobs
    assert snapshot.error_history["small"] == error_history(finished_store, "small")


def test_the_revision_grows_with_changes_and_only_then(builder: object, reader: Reader, store: Store) -> None:
    first = reader.snapshot()
    assert reader.snapshot() is first
    builder.add_generation_0()  # type: ignore[attr-defined]
    second = reader.snapshot()
    assert second.revision == first.revision + 1
    assert len(second.configurations) == 8
    assert reader.snapshot() is second


def test_only_what_changed_is_read_again(
    finished_store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.snapshot()
    asked: list[int] = []
    source = reader._source
    original = source.documents
    monkeypatch.setattr(source, "documents", lambda name, keys: asked.append(len(keys)) or original(name, keys))
    finished_store.database.fireworks.update_one({"fw_id": 1}, {"$set": {"state": "RUNNING"}})
    assert reader.snapshot().jobs[1].state is State.RUNNING
    assert sum(asked) == 1


def test_a_heartbeat_alone_changes_no_page(builder: object, reader: Reader, store: Store) -> None:
    worker = {"_id": "w", "host": "h", "pid": 1, "state": "running", "started": 0.0, "heartbeat": 600.0}
    store.workers.insert_one(worker)
    before = reader.snapshot().revision
    store.workers.update_one({"_id": "w"}, {"$set": {"heartbeat": 620.0}})
    assert reader.snapshot().revision == before
    store.workers.update_one({"_id": "w"}, {"$set": {"state": "ended"}})
    assert reader.snapshot().revision == before + 1


def test_removed_records_are_gone(finished_store: Store, reader: Reader) -> None:
    name = next(iter(reader.snapshot().models))
    finished_store.database.models.delete_one({"_id": name})
    assert name not in reader.snapshot().models


def test_a_server_gives_the_same_snapshot(finished_store: Store, reader: Reader) -> None:
    # The embedded store answers pymongo's calls as a server would, but for the counts of writes.
    source = ServerSource(finished_store, tuple(MAKERS))
    assert source.token() is not None
    for name, make in MAKERS.items():
        stamps = source.stamps(name)
        rows = [make(document) for _, document in source.documents(name, list(stamps))]
        assert len(rows) == len(reader.snapshot().tables[name].rows), name


def test_the_browser_is_told_when_nothing_is_new(client_of: ClientOf, finished_store: Store, builder: object) -> None:
    client = client_of(finished_store)
    first = client.get("/campaign?name=small")
    again = client.get("/campaign?name=small", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""
    revision = json.loads(client.get("/revision").data)["revision"]
    builder.add_job("generation-2/more", "label", 2, "READY")  # type: ignore[attr-defined]
    assert json.loads(client.get("/revision").data)["revision"] == revision + 1
    changed = client.get("/campaign?name=small", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert b"generation-2/more" in changed.data


def test_many_viewers_cost_one_look(
    client_of: ClientOf, finished_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(finished_store, refresh_s=60.0)
    client.get("/")
    source = client.application.extensions[READER]._source
    monkeypatch.setattr(source, "token", lambda: pytest.fail("the store was asked again"))
    for _ in range(20):
        assert client.get("/revision").status_code == 200


def test_a_value_is_made_once_however_many_ask() -> None:
    memory, made, start = Memory(2), [], threading.Barrier(4)

    def ask() -> None:
        start.wait()
        memory.get("name", 1, lambda: made.append(1))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    memory.get("name", 2, lambda: made.append(2))
    assert made == [1, 2]


def test_memory_keeps_the_last_ones() -> None:
    memory = Memory(2)
    for name in "abc":
        memory.get(name, 0, name.upper)
    made: list[str] = []
    memory.get("c", 0, lambda: made.append("c"))
    memory.get("a", 0, lambda: made.append("a"))
    assert made == ["a"]


def test_a_file_put_in_its_place_is_noticed(builder: object, reader: Reader, store: Store, tmp_path: Path) -> None:
    assert "small" in reader.snapshot().campaigns
    other = open_store(str(tmp_path / "other.db"))
    other.close()
    store.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{store.location}{suffix}").unlink(missing_ok=True)
    (tmp_path / "other.db").replace(store.location)
    assert reader.snapshot().campaigns == {}


@pytest.mark.parametrize(
    ("error", "is_traced"),
    [
        (ServerSelectionTimeoutError("mongodb://secret@host is away"), True),
        (StoreUnreachable("the store's server secret could not be reached"), False),
    ],
)
def test_an_outage_is_told_and_logged_once(
    error: Exception,
    is_traced: bool,
    client_of: ClientOf,
    finished_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = client_of(finished_store)
    client.get("/")
    source = client.application.extensions[READER]._source
    token = source.token

    def away() -> None:
        raise error

    for _ in range(2):
        monkeypatch.setattr(source, "token", away)
        for _ in range(3):
            answer = client.get("/")
            assert answer.status_code == 503
            assert b"cannot be read now" in answer.data
            assert b"secret" not in answer.data
        assert [bool(record.exc_info) for record in caplog.records] == [is_traced]
        caplog.clear()
        monkeypatch.setattr(source, "token", token)
        assert client.get("/").status_code == 200


def test_nobody_takes_for_the_present_what_was_so_before_an_outage(
    finished_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(finished_store, refresh_s=60.0)
    known = reader.snapshot()
    token = reader._source.token
    reader._looked_at -= 120.0
    monkeypatch.setattr(reader._source, "token", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reader.snapshot()
    with pytest.raises(StoreAway):
        reader.snapshot()
    reader._looked_at -= 120.0
    monkeypatch.setattr(reader._source, "token", token)
    assert reader.snapshot() is known
    assert reader.snapshot() is known
    reader.close()


def test_it_lists_the_failures_that_the_ledger_lists(builder: object, reader: Reader, store: Store) -> None:
    builder.add_generation_0()  # type: ignore[attr-defined]
    add_job, jobs = builder.add_job, store.database.fireworks  # type: ignore[attr-defined]
    for name in ("crashed", "rejected", "raised", "refused", "silent"):
        add_job(f"generation-0/{name}", "sample", 0, "FIZZLED")
    loss = {"cause": "time limit", "reason": "after 4 h"}
    jobs.update_one({"fw_id": 2}, {"$set": {"spec.given_up": True, "spec.crashes": 3, "spec.loss": loss}})
    said = {
        3: {"_details": {"reason": "forces are too large", "state": "rejected"}},
        4: {"_stacktrace": "Traceback\nValueError: singular"},
        5: {},
        6: {},
    }
    for number, exception in said.items():
        jobs.update_one({"fw_id": number}, {"$set": {"launches": [number]}})
        launch = {"launch_id": number, "fw_id": number, "state": "FIZZLED", "state_history": []}
        store.database.launches.insert_one({**launch, "action": {"stored_data": {"_exception": exception}}})
    jobs.update_one({"fw_id": 5}, {"$set": {"refusal": "its tasks are none of ours"}})
    listed = [one.model_copy(update={"log": []}) for one in failures(store, "small")]
    assert len(listed) == 6
    assert reader.snapshot().failures("small") == listed
    status = campaign_status(store, "small")
    assert {state.value: count for state, count in reader.snapshot().job_counts("small").items()} == status.jobs
