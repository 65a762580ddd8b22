"""What is remembered of questions asked before is what the documents say now."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionloop.store.embedded import EmbeddedClient
from ionloop.store.embedded.documents import Documents

MANY = 200
FIELDS = {"state": 1, "spec.key": 1, "launches": 1}


@pytest.fixture
def jobs(tmp_path):
    client = EmbeddedClient(tmp_path / "store.db")
    collection = client["ionloop"]["jobs"]
    collection.create_index("campaign")
    collection.insert_many(
        [
            {
                "_id": number,
                "campaign": "small" if number % 4 else "other",
                "state": "READY",
                "spec": {"key": f"label-{number}", "parameters": [0.5] * 20},
                "launches": [number],
            }
            for number in range(MANY)
        ]
    )
    yield collection
    client.close()


def asked(collection):
    return list(collection.find({"campaign": "small"}, dict(FIELDS)))


def as_read(collection):
    """The same, from whole documents."""
    return [
        {name: one[name] for name in ("_id", "state", "launches") if name in one}
        | {"spec": {"key": one["spec"]["key"]}}
        for one in collection.find({"campaign": "small"})
    ]


DIGESTED = []


def note(job):
    DIGESTED.append(job["_id"])
    return None if job["state"] == "RUNNING" else job


def change(jobs):
    jobs.update_one({"_id": 5}, {"$set": {"state": "RUNNING"}})
    jobs.update_one({"_id": 6}, {"$set": {"campaign": "other"}})
    jobs.update_one({"_id": 8}, {"$set": {"campaign": "small"}})
    jobs.delete_one({"_id": 7})
    jobs.insert_one({"_id": MANY, "campaign": "small", "state": "READY", "spec": {"key": "new"}, "launches": []})


def test_an_answer_is_that_of_the_documents_as_they_are_now(jobs):
    assert asked(jobs) == as_read(jobs)
    change(jobs)
    found = asked(jobs)
    assert found == as_read(jobs)
    assert {5: "RUNNING", MANY: "READY"}.items() <= {one["_id"]: one["state"] for one in found}.items()


def test_what_a_caller_does_to_an_answer_changes_no_later_one(jobs):
    before = asked(jobs)
    for one in asked(jobs):
        one["spec"]["key"] = "changed"
        one["launches"].append(0)
    assert asked(jobs) == before


def test_a_change_that_is_undone_is_not_remembered(jobs):
    before = asked(jobs)
    file = jobs._store.file
    with pytest.raises(ZeroDivisionError), file.transaction():
        jobs.update_one({"_id": 5}, {"$set": {"state": "RUNNING"}})
        assert asked(jobs) != before
        raise ZeroDivisionError
    assert asked(jobs) == before


def test_another_process_changes_what_this_one_remembers(jobs, tmp_path: Path):
    asked(jobs)
    with EmbeddedClient(tmp_path / "store.db") as other:
        other["ionloop"]["jobs"].update_one({"_id": 5}, {"$set": {"state": "RUNNING"}})
    assert next(one for one in asked(jobs) if one["_id"] == 5)["state"] == "RUNNING"


def test_documents_that_did_not_change_are_not_read_again(jobs, monkeypatch):
    asked(jobs)
    jobs.update_one({"_id": 5}, {"$set": {"state": "RUNNING"}})
    read: list[int] = []
    load = Documents.load
    monkeypatch.setattr(
        Documents, "load", lambda self, number, revision: read.append(number) or load(self, number, revision)
    )
    asked(jobs)
    assert len(read) == 1


def test_only_what_changed_is_digested_again(jobs):
    other = EmbeddedClient(jobs.database.client.path)
    for changed in ([number for number in range(MANY) if number % 4], [5, 8, MANY]):
        DIGESTED.clear()
        found = jobs.digests({"campaign": "small"}, FIELDS, note)
        assert list(found) == [one for one in as_read(jobs) if one["state"] != "RUNNING"]
        assert jobs.digests({"campaign": "small"}, FIELDS, note) is found
        assert sorted(DIGESTED) == changed
        # As another process does.
        if len(changed) > 3:
            change(other["ionloop"]["jobs"])
    other.close()
