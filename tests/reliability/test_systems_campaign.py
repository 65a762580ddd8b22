"""A campaign of two crystals and a packed glass runs to its end, killed once, and is whole."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from small_campaign import finish, start
from systems_campaign import GLASS, prepare

from ionloop.core.names import ERRORS, NEW
from ionloop.core.states import State
from ionloop.store.care.verification import verify_store
from ionloop.store.connection import open_store
from ionloop.tasks.values.loop import MODEL_ERRORS

REST = """
baseline: {charges: {Cu: 0.0, Au: 0.0}}
models: [gap]
stop: {max_generations: 2, energy_tolerance: 0, force_tolerance: 0}
analyses: {energy_volume: {points: 5, reference: none, systems: [gold]}}
"""


def models_in(file: Path) -> int:
    if not (file.parent / "ionloop.db").exists():
        return 0
    store = open_store(str(file.parent / "ionloop.db"))
    try:
        return store.models.count()
    finally:
        store.close()


@pytest.mark.slow
def test_three_systems_run_to_their_end_though_killed_once(tmp_path: Path) -> None:
    file = prepare(tmp_path / "run", REST, GLASS)
    process = start(file)
    # In the middle: the first generation has a model.
    while process.poll() is None and models_in(file) == 0:
        time.sleep(0.2)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finish(file)
    store = open_store(str(file.parent / "ionloop.db"), must_exist=True)
    try:
        assert verify_store(store).problems == []
        assert store.campaigns["small"].state is State.FINISHED
        states = {job["state"] for job in store.database.fireworks.find()}
        assert states == {"COMPLETED"}
        assert [len(one.numbers) for one in store.campaigns["small"].systems.values()] == [14, 8, 16]
        for found in store.results.find({"kind": ERRORS, "values.subset": NEW}):
            assert set(MODEL_ERRORS.read(found).by_system) == {"ordered", "gold", "glass"}
        labels = store.labels.count()
        # Isolated atoms; 5, 3 and 3 at first; 5 in each of two generations.
        assert labels == 2 + 11 + 2 * 5
        assert {one.system for one in store.results.find({"kind": "energy-volume"})} == {"gold"}
    finally:
        store.close()
