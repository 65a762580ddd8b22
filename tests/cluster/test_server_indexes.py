"""What a job asks of a server is answered by indexes, so that it does not take longer in a larger store.

The server of the tests scans its collections whatever indexes they have: that the indexes are there, and are of use to
every question, is checked by their keys, as MongoDB's planner would choose them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fireworks import FiretaskBase, Firework, Workflow
from pymongo import monitoring
from server import DatabaseServer

from ionloop.store import clients
from ionloop.store.connection import Store
from ionloop.store.jobs.registered_tasks import restricted_tasks
from ionloop.workflows.running import worker

JOBS = 3
# One document for a campaign, or one for the whole store.
SMALL = {"controls", "usage", "fw_id_assigner"}

Question = tuple[str, str, tuple[str, ...], tuple[str, ...]]
"""Command, collection, fields that must equal something, fields to sort by."""


class NothingTask(FiretaskBase):
    _fw_name: ClassVar[str] = "ionloop.nothing"

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        return None


class Questions(monitoring.CommandListener):
    """Counts what is asked."""

    def __init__(self) -> None:
        self.asked: Counter[Question] = Counter()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        command = event.command
        collection = command.get(event.command_name)
        queries = {
            "find": [command.get("filter")],
            "findAndModify": [command.get("query")],
            "update": [update["q"] for update in command.get("updates", ())],
            "delete": [delete["q"] for delete in command.get("deletes", ())],
            "count": [command.get("query")],
        }
        for query in queries.get(event.command_name, ()):
            equal = tuple(sorted(equal_fields(query or {})))
            self.asked[event.command_name, str(collection), equal, tuple(command.get("sort") or ())] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def equal_fields(query: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields that a query compares for equality, or with a list of values."""
    for field, condition in query.items():
        operators = set(condition) if isinstance(condition, Mapping) else set()
        if not field.startswith("$") and (not operators or operators <= {"$eq", "$in"}):
            yield field


def is_served(index: list[str], equal: tuple[str, ...], sort: tuple[str, ...]) -> bool:
    """Tell whether an index leads to the documents, in the order that is asked for."""
    used = 0
    while used < len(index) and index[used] in equal:
        used += 1
    return used > 0 and (not sort or tuple(index[used : used + len(sort)]) == sort or index[:used] == list(sort))


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> Questions:
    listener = Questions()
    options = clients.client_options
    monkeypatch.setattr(
        clients, "client_options", lambda *args, **kwargs: {**options(*args, **kwargs), "event_listeners": [listener]}
    )
    return listener


def add_jobs(store: Store) -> None:
    for number in range(JOBS):
        spec = {"campaign": "small", "kind": "nothing", "generation": 0, "key": f"job-{number}", "_priority": number}
        store.launchpad.add_wf(Workflow([Firework(NothingTask(), spec=spec, name=spec["key"])], name="small"))


def test_every_question_of_a_job_is_served_by_an_index(
    questions: Questions, database_server: DatabaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "admit_registered_tasks", lambda: None)
    with restricted_tasks({NothingTask._fw_name: NothingTask}):
        store = database_server.open(tmp_path / "shared")
        add_jobs(store)
        questions.asked.clear()
        assert worker.Worker(store, "small").run() == JOBS
        asked = dict(questions.asked)
    served = {
        name: [[key for key, _ in index["key"]] for index in store.database[name].index_information().values()]
        for name in {collection for _, collection, _, _ in asked}
    }
    assert any(collection == "fireworks" and sort for _, collection, _, sort in asked), "no job was checked out"
    unserved = [
        question
        for question in asked
        if question[1] not in SMALL and not any(is_served(index, *question[2:]) for index in served[question[1]])
    ]
    assert unserved == []
    store.close()
