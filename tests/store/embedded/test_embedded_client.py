import datetime
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading

import gridfs
import pytest
from mongomock.gridfs import enable_gridfs_integration
from pymongo.errors import CollectionInvalid, DocumentTooLarge, DuplicateKeyError, OperationFailure

from ionloop.core.errors import InputError
from ionloop.store.embedded import EmbeddedClient, StoreError
from ionloop.store.embedded.documents import MAX_DOCUMENT_BYTES

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def client(tmp_path):
    client = EmbeddedClient(tmp_path / "store.db")
    yield client
    client.close()


def in_child(work):
    """Run ``work`` in a forked child; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


def test_documents_outlive_the_process(tmp_path):
    path = tmp_path / "store.db"
    script = (
        "import os, signal, sys\n"
        "from ionloop.store.embedded import EmbeddedClient\n"
        "things = EmbeddedClient(sys.argv[1]).data.things\n"
        "things.create_index('n', unique=True)\n"
        "things.insert_many([{'n': n} for n in range(5)])\n"
        "things.update_one({'n': 3}, {'$set': {'seen': True}})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    things = EmbeddedClient(path).data.things
    assert [one["n"] for one in things.find()] == list(range(5))
    assert things.find_one({"n": 3})["seen"] is True
    with pytest.raises(DuplicateKeyError):
        things.insert_one({"n": 4})


def test_a_kill_inside_a_transaction_leaves_nothing_of_it(client):
    things = client.data.things
    things.insert_one({"_id": 1, "n": 0})

    def killed():
        with client.transaction():
            things.update_one({"_id": 1}, {"$set": {"n": 1}})
            things.insert_one({"_id": 2})
            os.kill(os.getpid(), 9)

    assert in_child(killed) == -9
    assert list(things.find()) == [{"_id": 1, "n": 0}]


def test_transactions_see_their_own_writes_and_undo_them(client):
    things = client.data.things
    things.insert_many([{"_id": n, "n": n} for n in range(3)])
    with pytest.raises(ZeroDivisionError), client.transaction():
        things.update_many({}, {"$inc": {"n": 10}})
        things.create_index("n")
        client.data.others.insert_one({"_id": "new"})
        assert sorted(one["n"] for one in things.find()) == [10, 11, 12]
        raise ZeroDivisionError
    assert sorted(one["n"] for one in things.find()) == [0, 1, 2]
    assert "n_1" not in things.index_information()
    assert "others" not in client.data.list_collection_names()


def test_an_inner_failure_undoes_the_inner_part_only(client):
    things = client.data.things
    with client.transaction():
        things.insert_one({"_id": "outer"})
        with pytest.raises(ZeroDivisionError), client.transaction():
            things.insert_one({"_id": "inner"})
            raise ZeroDivisionError
        things.insert_one({"_id": "after"})
    assert [one["_id"] for one in things.find()] == ["outer", "after"]


def test_two_clients_of_one_file_share_a_transaction(client):
    second = EmbeddedClient(client.path)
    with client.transaction():
        client.data.things.insert_one({"_id": 1})
        second.data.things.insert_one({"_id": 2})
    assert second.data.things.count_documents({}) == 2


def increase(path, times):
    things = EmbeddedClient(path).data.things
    for _ in range(times):
        things.find_one_and_update({"_id": "counter"}, {"$inc": {"n": 1}})
        things.insert_one({"by": os.getpid()})


def test_processes_lose_no_update(client):
    client.data.things.insert_one({"_id": "counter", "n": 0})
    workers = [FORK.Process(target=increase, args=(client.path, 40)) for _ in range(3)]
    for worker in workers:
        worker.start()
    increase(client.path, 40)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert client.data.things.find_one({"_id": "counter"})["n"] == 160
    assert client.data.things.count_documents({"by": {"$exists": True}}) == 160


def test_threads_lose_no_update(client):
    things = client.data.things
    things.insert_one({"_id": 1, "n": 0})

    def work():
        for _ in range(30):
            with client.transaction():
                (n,) = (one["n"] for one in things.find({"_id": 1}))
                things.update_one({"_id": 1}, {"$set": {"n": n + 1}})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert things.find_one({"_id": 1})["n"] == 120


def test_threads_count_and_change_one_collection_object_at_a_time(client):
    things = client.data.things
    things.insert_many([{"_id": n, "n": 0} for n in range(20)])
    failures, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            try:
                assert things.count_documents({"n": {"$gte": 0}}) == 20
            except Exception as error:  # whatever goes wrong in the thread, the test must tell
                failures.append(error)

    thread = threading.Thread(target=count)
    thread.start()
    for _ in range(20):
        things.update_many({}, {"$inc": {"n": 1}})
    stop.set()
    thread.join()
    assert failures == []


def insert_unique(path, results):
    things = EmbeddedClient(path).data.things
    wins = 0
    for n in range(30):
        try:
            things.insert_one({"n": n})
            wins += 1
        except DuplicateKeyError:
            pass
    results.put(wins)


def test_unique_indexes_hold_across_processes(client):
    client.data.things.create_index("n", unique=True)
    results = FORK.SimpleQueue()
    workers = [FORK.Process(target=insert_unique, args=(client.path, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    wins = sum(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    assert wins == 30
    assert sorted(one["n"] for one in client.data.things.find()) == list(range(30))


def test_parent_and_child_go_on_after_a_fork(client):
    things = client.data.things
    things.insert_one({"_id": "before"})
    assert in_child(lambda: things.insert_one({"_id": "child", "n": things.count_documents({})})) == 0
    things.insert_one({"_id": "parent"})
    assert [one["_id"] for one in things.find()] == ["before", "child", "parent"]
    assert things.find_one({"_id": "child"})["n"] == 1


def test_a_fork_waits_for_the_transaction_of_another_thread(client):
    things = client.data.things
    inside, go_on = threading.Event(), threading.Event()

    def slow():
        with client.transaction():
            things.insert_one({"_id": "begun"})
            inside.set()
            go_on.wait(10)
            EmbeddedClient(client.path).data.things.insert_one({"_id": "ended"})

    thread = threading.Thread(target=slow)
    thread.start()
    inside.wait(10)
    threading.Timer(0.2, go_on.set).start()
    assert in_child(lambda: os._exit(things.count_documents({}))) == 2
    thread.join()


def test_a_child_forked_inside_a_transaction_cannot_touch_the_store(client):
    things = client.data.things
    with client.transaction():
        things.insert_one({"_id": 1})

        def refused():
            with pytest.raises(StoreError, match="forked in the middle"):
                things.insert_one({"_id": 2})

        assert in_child(refused) == 0
    assert things.count_documents({}) == 1


def test_another_process_sees_changes_at_once(client):
    things = client.data.things
    things.insert_one({"_id": 1, "n": 1})
    assert things.find_one({"_id": 1})["n"] == 1
    assert in_child(lambda: things.update_one({"_id": 1}, {"$set": {"n": 2}})) == 0
    assert things.find_one({"_id": 1})["n"] == 2
    assert in_child(lambda: things.create_index("n")) == 0
    assert "n_1" in things.index_information()


def test_returned_documents_are_the_callers_own(client):
    things = client.data.things
    things.insert_one({"_id": {"a": 1}, "list": [1, {"deep": 2}], "n": 1})
    for projection in (None, {"list": 1}, {"n": 0}, {"list": {"$slice": 1}}):
        one = things.find_one({}, projection)
        one["_id"]["a"] = "changed"
        one["list"].append("changed")
    assert things.find_one() == {"_id": {"a": 1}, "list": [1, {"deep": 2}], "n": 1}


def test_too_large_documents_are_refused_and_nothing_is_kept(client):
    things = client.data.things
    things.insert_one({"_id": 1, "n": 1})
    with pytest.raises(DocumentTooLarge):
        things.insert_one({"_id": 2, "blob": b"x" * MAX_DOCUMENT_BYTES})
    with pytest.raises(DocumentTooLarge):
        things.update_one({"_id": 1}, {"$set": {"blob": b"x" * MAX_DOCUMENT_BYTES}})
    with pytest.raises(DocumentTooLarge):
        things.replace_one({"_id": 1}, {"blob": b"x" * MAX_DOCUMENT_BYTES})
    assert list(things.find()) == [{"_id": 1, "n": 1}]


def test_gridfs_keeps_what_is_too_large_for_a_document(client):
    enable_gridfs_integration()
    files = gridfs.GridFS(client.data, "large")
    content = os.urandom(1_000_000)
    identifier = files.put(content, metadata={"launch_id": 7})
    assert files.get(identifier).read() == content
    assert [one._id for one in files.find({"metadata.launch_id": 7})] == [identifier]
    files.delete(identifier)
    assert client.data["large.chunks"].count_documents({}) == 0


def test_dates_stored_as_texts_sort_as_dates(client):
    things = client.data.things
    things.insert_many(
        [
            {"_id": "late", "on": "2024-05-01T12:00:00+02:00"},
            {"_id": "date", "on": datetime.datetime(2024, 5, 1, 9)},
            {"_id": "early", "on": "2024-05-01T08:00:00"},
        ]
    )
    stage = {"$set": {"on": {"$dateFromString": {"dateString": "$on", "onError": "$on"}}}}
    found = things.aggregate([{"$match": {}}, stage, {"$sort": {"on": 1}}, {"$project": {"_id": 1}}])
    assert [one["_id"] for one in found] == ["early", "date", "late"]


def test_collections_can_be_made_renamed_and_dropped(client):
    database = client.data
    database.create_collection("a")
    with pytest.raises(CollectionInvalid):
        database.create_collection("a")
    database.a.insert_one({"_id": 1})
    database.a.rename("b")
    assert database.list_collection_names() == ["b"]
    assert database.b.count_documents({}) == 1
    database.b.drop()
    assert client.list_database_names() == []
    database.c.insert_one({})
    client.drop_database("data")
    assert database.list_collection_names() == []


def test_databases_of_one_file_are_apart(client):
    client.one.things.insert_one({"_id": 1})
    assert client.two.things.count_documents({}) == 0
    assert client.list_database_names() == ["one"]


def test_an_index_that_would_be_broken_is_not_made(client):
    things = client.data.things
    things.insert_many([{"n": 1}, {"n": 1}])
    with pytest.raises(DuplicateKeyError):
        things.create_index("n", unique=True)
    assert "n_1" not in things.index_information()
    things.create_index("n")
    with pytest.raises(OperationFailure):
        things.create_index("n", unique=True)


def test_expiry_is_refused_rather_than_ignored(client):
    with pytest.raises(OperationFailure, match="expireAfterSeconds"):
        client.data.things.create_index("on", expireAfterSeconds=5)


@pytest.mark.parametrize("direction", [1, -1])
def test_many_candidates_come_sorted_with_ties_in_the_order_of_insertion(client, direction):
    things = client.data.things
    things.create_index([("state", 1), ("priority", 1)])
    things.insert_many([{"_id": n, "state": "READY", "priority": (n * 7) % 3 or None} for n in range(200)])
    expected = sorted(range(200), key=lambda n: (n * 7) % 3, reverse=direction < 0)
    found = things.find({"state": "READY"}, sort=[("priority", direction)]).limit(150)
    assert [one["_id"] for one in found] == expected[:150]
    assert things.find_one({"state": "READY"}, sort=[("priority", direction)])["_id"] == expected[0]


def test_full_keeps_to_full_for_everybody(tmp_path):
    normal = EmbeddedClient(tmp_path / "store.db")
    full = EmbeddedClient(tmp_path / "store.db", synchronous="FULL")
    with normal.file.read():
        (level,) = normal.file.execute("PRAGMA synchronous").fetchone()
    assert level == 2
    full.close()


def test_a_file_that_was_removed_is_made_anew(client):
    client.data.things.insert_one({"_id": 1})
    for suffix in ("", "-wal", "-shm"):
        client.path.with_name(client.path.name + suffix).unlink()
    assert EmbeddedClient(client.path).data.things.count_documents({}) == 0


# -- what cannot be a store --------------------------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        EmbeddedClient(tmp_path / "no" / "store.db")


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        EmbeddedClient(tmp_path)


def test_a_foreign_file_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes" * 100)
    with pytest.raises(InputError, match="not a store"):
        EmbeddedClient(path)
    assert path.read_text() == "these are notes" * 100


def test_a_foreign_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE precious (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="another program"):
        EmbeddedClient(path)
    assert path.read_bytes() == before


def test_a_newer_format_is_refused(client):
    path = client.path
    client.close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.commit()
    raw.close()
    with pytest.raises(InputError, match="format 99"):
        EmbeddedClient(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="not writable"):
            EmbeddedClient(tmp_path / "store.db")
    finally:
        tmp_path.chmod(0o700)
