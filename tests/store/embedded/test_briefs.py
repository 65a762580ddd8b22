"""Briefs: some fields kept beside each document, so that whoever looks at thousands reads no bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mongomock.filtering import filter_applies

from ionloop.store.embedded.client import EmbeddedClient
from ionloop.store.embedded.documents import Documents
from ionloop.store.embedded.planner import plain_test

KEPT = ("campaign", "spec.key", "state")
FIELDS = {"spec.key": 1, "state": 1}


def key_and_state(document: dict[str, Any]) -> tuple[str, str, str]:
    return document["_id"], document["spec"]["key"], document["state"]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EmbeddedClient]:
    opened = EmbeddedClient(tmp_path / "store.db")
    yield opened
    opened.close()


def add_jobs(client: EmbeddedClient, count: int = 5) -> Any:
    jobs = client.db.jobs
    jobs.create_index("campaign")
    for number in range(count):
        spec = {"key": f"key-{number}", "forces": [0.0] * 30}
        jobs.insert_one({"_id": f"job-{number}", "campaign": "small", "spec": spec, "state": "READY"})
    return jobs


def looked_at_anew(client: EmbeddedClient, **filters: str) -> set[tuple[str, str, str]]:
    fresh = EmbeddedClient(client.path, read_only=True)
    try:
        return set(fresh.db.jobs.digests({"campaign": "small", **filters}, FIELDS, key_and_state))
    finally:
        fresh.close()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the documents whose bodies were read."""
    found: list[int] = []
    load = Documents.load

    def noted(self: Documents, identifier: int, revision: int) -> Any:
        found.append(identifier)
        return load(self, identifier, revision)

    monkeypatch.setattr(Documents, "load", noted)
    return found


def test_who_looks_first_reads_no_document(client: EmbeddedClient, loads: list[int]) -> None:
    add_jobs(client).keep_briefs(*KEPT)  # of the documents that exist
    client.db.jobs.insert_one({"_id": "job-9", "campaign": "small", "spec": {"key": "key-9"}, "state": "READY"})
    loads.clear()
    assert looked_at_anew(client) == {(f"job-{n}", f"key-{n}", "READY") for n in (0, 1, 2, 3, 4, 9)}
    assert not loads
    assert not looked_at_anew(client, state="DONE")


def change_one(jobs: Any) -> None:
    jobs.update_one({"_id": "job-1"}, {"$set": {"state": "DONE"}})


def remove_one(jobs: Any) -> None:
    jobs.delete_one({"_id": "job-1"})


def replace_one(jobs: Any) -> None:
    jobs.replace_one({"_id": "job-1"}, {"campaign": "small", "spec": {"key": "other"}, "state": "DONE"})


@pytest.mark.parametrize("change", [change_one, remove_one, replace_one])
@pytest.mark.parametrize("knows_briefs", [True, False], ids=["this release", "one that knows no briefs"])
def test_briefs_say_what_the_documents_say(
    client: EmbeddedClient, change: Callable[[Any], None], knows_briefs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = add_jobs(client)
    jobs.keep_briefs(*KEPT)
    watched = jobs.digests({"campaign": "small"}, FIELDS, key_and_state)
    with monkeypatch.context() as earlier:
        if not knows_briefs:
            earlier.setattr(Documents, "_note_brief", lambda *_: None)
        change(jobs)
    true = {key_and_state(document) for document in jobs.find()}
    assert looked_at_anew(client) == set(jobs.digests({"campaign": "small"}, FIELDS, key_and_state)) == true
    assert true != set(watched)


def test_other_fields_than_those_kept_before(client: EmbeddedClient) -> None:
    jobs = add_jobs(client)
    jobs.keep_briefs("campaign", "state")
    true = {key_and_state(document) for document in jobs.find()}
    assert looked_at_anew(client) == true  # from the documents: the key is not kept
    jobs.keep_briefs(*KEPT)
    assert looked_at_anew(client) == true
    jobs.drop()
    assert not looked_at_anew(client)


values = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["", "a", "b"]), st.just(1.0))
nested = st.one_of(values, st.lists(values, max_size=2), st.dictionaries(st.just("inner"), values, max_size=1))
documents = st.dictionaries(st.sampled_from(["one", "two"]), nested, max_size=2)
wanted = st.one_of(values, st.fixed_dictionaries({"$in": st.lists(values, max_size=3)}))


@given(documents, st.dictionaries(st.sampled_from(["one", "two", "one.inner"]), wanted, max_size=2))
def test_a_quick_test_says_what_the_filter_says(document: dict[str, Any], conditions: dict[str, Any]) -> None:
    test = plain_test(conditions)
    answer = None if test is None else test(document)
    assert answer is None or answer == bool(filter_applies(conditions, document))
