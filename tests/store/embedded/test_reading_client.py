"""Who only reads a store gets the answers that the whole client gives, without the import of mongomock and pymongo."""

import subprocess
import sys

import pytest

from ionloop.core.errors import IonloopError
from ionloop.store.embedded import EmbeddedClient
from ionloop.store.embedded.reading_client import ReadingClient

JOBS = [
    {"_id": f"job-{number}", "n": number, "state": ("READY", "FIZZLED")[number % 2], "spec": {"key": f"k{number % 7}"}}
    | ({"refusal": "no"} if number % 5 == 0 else {})
    | ({"launches": [number, number + 1]} if number % 3 else {"launches": None})
    for number in range(100)
]
FILTERS = [
    {},
    {"state": "READY"},
    {"state": {"$in": ["FIZZLED", "COMPLETED"]}, "n": {"$ne": 3}},
    {"spec.key": "k3"},
    {"spec.key": {"$nin": ["k1", "k2"]}},
    {"spec.none": {"$ne": "x"}},
    {"refusal": {"$exists": True}, "state": "FIZZLED"},
    {"refusal": {"$exists": False}},
    {"_id": {"$in": ["job-3", "job-99", "none"]}},
    # What only mongomock can tell: lists, comparisons, alternatives.
    {"launches": 4},
    {"launches": {"$in": [4, 9]}},
    {"launches": None},
    {"n": {"$gt": 90}},
    {"$or": [{"n": 1}, {"n": 2}]},
]
FIELDS = [None, {"_id": 1}, {"n": 1}, {"spec.key": 1, "launches": 1}, {"n": 0}]


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store.db"
    whole = EmbeddedClient(path)
    whole.data.jobs.create_index("state")
    whole.data.jobs.insert_many(JOBS)
    reading = ReadingClient(path)
    yield whole.data.jobs, reading["data"]["jobs"]
    reading.close()
    whole.close()


@pytest.mark.parametrize("conditions", FILTERS, ids=str)
def test_both_clients_give_the_same_answers(clients, conditions):
    whole, reading = clients
    for fields in FIELDS:
        assert list(reading.find(conditions, fields)) == list(whole.find(conditions, fields))
        assert list(reading.find(conditions, fields).limit(3)) == list(whole.find(conditions, fields).limit(3))
    for order in ([("n", -1)], [("state", 1), ("_id", -1)], [("spec.key", 1), ("n", 1)]):
        assert list(reading.find(conditions).sort(order)) == list(whole.find(conditions).sort(order))
    assert list(reading.find(conditions).sort("n", -1).limit(2)) == list(whole.find(conditions).sort("n", -1).limit(2))
    assert reading.find_one(conditions) == whole.find_one(conditions)
    assert reading.count_documents(conditions) == whole.count_documents(conditions)
    assert reading.distinct("state", conditions) == whole.distinct("state", conditions)


def test_what_is_given_out_is_the_reader_s_own(clients):
    _, reading = clients
    reading.find_one("job-1")["spec"]["key"] = "changed"
    next(reading.find({"_id": "job-1"}, {"spec.key": 1}))["spec"]["key"] = "changed"
    assert reading.find_one("job-1")["spec"]["key"] == "k1"


def test_what_others_write_is_seen_and_nothing_can_be_written(clients):
    whole, reading = clients
    whole.update_one({"_id": "job-1"}, {"$set": {"state": "RUNNING"}})
    assert [one["_id"] for one in reading.find({"state": "RUNNING"})] == ["job-1"]
    whole.update_one({"_id": "job-1"}, {"$set": {"state": "FIZZLED"}})
    assert reading.count_documents({"state": "RUNNING"}) == 0
    with pytest.raises(IonloopError, match="read"):
        reading.update_one({"_id": "job-1"}, {"$set": {"state": "RUNNING"}})


def test_collections_that_are_not_there_are_empty(clients):
    _, reading = clients
    none = reading.database.none
    assert (list(none.find({"a": "b"})), none.find_one(), none.count_documents({})) == ([], None, 0)
    assert "jobs" in reading.database.list_collection_names()


def test_plain_questions_need_neither_mongomock_nor_pymongo(clients):
    whole, _ = clients
    asked = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ionloop.store.embedded.reading_client import ReadingClient\n"
        "jobs = ReadingClient(Path(sys.argv[1]))['data']['jobs']\n"
        "assert jobs.count_documents({'state': 'READY'}) == 50\n"
        "assert len(list(jobs.find({'spec.key': 'k1'}, {'n': 1}).sort([('n', 1)]).limit(4))) == 4\n"
        "print(*sys.modules)"
    )
    path = str(whole.database.client.path)
    done = subprocess.run([sys.executable, "-c", asked, path], capture_output=True, text=True, check=True)
    assert not {"mongomock", "pymongo"} & set(done.stdout.split())
