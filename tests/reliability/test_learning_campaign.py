"""A campaign that learns on the fly with two workers, killed on the way: it ends, and no label is made twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ionloop.store.care.verification import verify_store
from ionloop.store.connection import open_store
from ionloop.tasks.values.learning import UPDATES
from tests.learning_campaign import ON_THE_FLY
from tests.small_campaign import finish, prepare, start

KILL_AFTER_S = 120.0


def learning_file(folder: Path) -> Path:
    """Write the small campaign with an entry that learns."""
    file = prepare(folder)
    yaml = YAML(typ="safe")
    settings = yaml.load(file.read_text())
    del settings["sampling"]
    settings |= {"explore": [ON_THE_FLY | {"audit_every_ps": 0.01}], "models": ["gap"], "evaluate": {"cross_check": 0}}
    with file.open("w") as stream:
        yaml.dump(settings, stream)
    return file


def wait_for_an_update(file: Path) -> None:
    """Wait until labels have joined a model."""
    until = time.monotonic() + KILL_AFTER_S
    while time.monotonic() < until:
        time.sleep(0.5)
        if not (file.parent / "ionloop.db").exists():
            continue
        store = open_store(str(file.parent / "ionloop.db"), read_only=True)
        joined = any(UPDATES.read(one).joined for one in store.results.find({"kind": UPDATES.name}))
        store.close()
        if joined:
            return
    pytest.fail("nothing joined in time")


@pytest.mark.slow
def test_a_campaign_that_learns_survives_a_kill_and_says_that_it_has_not_converged(tmp_path: Path) -> None:
    file = learning_file(tmp_path / "learning")
    running = start(file)
    try:
        wait_for_an_update(file)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    finish(file)
    store = open_store(str(file.parent / "ionloop.db"), read_only=True)
    record = store.campaigns["small"]
    assert "not converged" in record.reason
    labels = list(store.labels.find({}))
    assert len({one.content_hash for one in labels}) == len(labels)
    found = verify_store(store)
    assert found.problems == []
    store.close()
    report = next(iter((tmp_path / "learning").glob("*report*.html")), None)
    assert report is not None
    assert "Learning on the fly" in report.read_text()
