"""A campaign that is killed again and again ends with exactly the records of one that is not."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ionloop.core.states import State
from ionloop.store.connection import open_store
from ionloop.store.records import RECORD_TYPES

KILLS = 20


def records(file: Path) -> dict[str, dict[str, Any]]:
    store = open_store(str(file.parent / "ionloop.db"), must_exist=True)
    found = {
        record_type.collection: {record.id: record.essence() for record in store.records(record_type).find()}
        for record_type in RECORD_TYPES
    }
    assert store.campaigns["small"].state is State.FINISHED
    for model in store.models.find():
        assert all(store.artefacts.is_whole(artefact) for artefact in model.files)
    for trajectory in store.trajectories.find():
        assert store.artefacts.is_whole(trajectory.artefact)
    for state in ("RUNNING", "READY", "WAITING", "FIZZLED", "RESERVED"):
        assert store.database.fireworks.count_documents({"state": state}) == 0
    keys = [job["spec"]["key"] for job in store.database.fireworks.find()]
    assert len(keys) == len(set(keys))
    store.close()
    return found


def wait_for_work(file: Path, process: Any) -> bool:
    """Wait until a job runs; return False if the campaign ended first."""
    while process.poll() is None:
        if (file.parent / "ionloop.db").exists():
            store = open_store(str(file.parent / "ionloop.db"))
            running = store.database.fireworks.find_one({"state": "RUNNING"})
            store.close()
            if running:
                return True
        time.sleep(0.02)
    return False


def count_records(file: Path) -> int:
    store = open_store(str(file.parent / "ionloop.db"))
    done = sum(store.records(record_type).count() for record_type in RECORD_TYPES)
    store.close()
    return done


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_at_random_moments_change_no_record(tmp_path, runner):
    undisturbed = runner.prepare(tmp_path / "undisturbed")
    runner.finish(undisturbed)

    killed = runner.prepare(tmp_path / "killed")
    moments = random.Random(20)
    kills = done_before = 0
    while kills < KILLS:
        process = runner.start(killed)
        if not wait_for_work(killed, process):
            break
        # Short waits hit the writing of records, long ones let a fit come to its end.
        time.sleep(moments.choice([0.1, 0.3, 1.0, 4.0]) * moments.random())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        done = count_records(killed)
        assert done >= done_before, "a kill lost records"
        done_before = done
    assert kills == KILLS, "the campaign was over before it had been killed often enough"
    runner.finish(killed)

    expected, found = records(undisturbed), records(killed)
    for collection, essence in expected.items():
        assert found[collection].keys() == essence.keys(), collection
        for name, record in essence.items():
            assert found[collection][name] == record, f"{collection}/{name}"
    assert len(expected["models"]) == 6
    assert len(expected["results"]) > 6
