"""A campaign that is killed again and again ends with exactly the records of one that is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from ase.io import write

from ionloop.states import State
from ionloop.store.connection import open_store
from ionloop.store.records import RECORD_TYPES

KILLS = 20
RUN_TIMEOUT_S = 240
CAMPAIGN = """
name: small
structure: structure.extxyz
mobile: Cu
seed: 7
reference: {engine: command, calculator: "ase.calculators.emt:EMT"}
initial:
  molecular_dynamics: {count: 4, every: 5, timestep_fs: 2.0}
  lithium_monte_carlo: {count: 4, relaxation: {steps: 3}}
baseline: {charges: {Cu: 0.4, Au: -0.3}}
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 6}
  soap: {cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 12}
sampling: {length_ps: 0.1, timestep_fs: 2.0, replicas: 2, write_every: 5}
selection: {method: farthest-point, count: 4}
stop: {max_generations: 2, energy_tolerance: 0, force_tolerance: 0}
"""


def prepare(folder: Path) -> Path:
    folder.mkdir()
    atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    # Two vacancies, so that the Monte Carlo has sites to choose from.
    del atoms[[0, 6]]
    write(folder / "structure.extxyz", atoms)
    file = folder / "campaign.yaml"
    file.write_text(CAMPAIGN)
    return file


def start(file: Path) -> subprocess.Popen[bytes]:
    """Start the campaign in a process group of its own, so that all of it can be killed at once."""
    with (file.parent / "run.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ionloop.cli", "run", str(file), "--workers", "2"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


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


def finish(file: Path) -> None:
    status = start(file).wait(RUN_TIMEOUT_S)
    assert status == 0, (file.parent / "run.log").read_text()


@pytest.mark.timeout(600)
def test_kills_at_random_moments_change_no_record(tmp_path):
    undisturbed = prepare(tmp_path / "undisturbed")
    finish(undisturbed)

    killed = prepare(tmp_path / "killed")
    moments = random.Random(20)
    done_before = 0
    for kill in range(KILLS):
        process = start(killed)
        # Past the start-up of two seconds at first, so that the kills fall into jobs of every kind.
        time.sleep(moments.uniform(0.5, 4.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (killed.parent / "ionloop.db").exists() and kill:
            store = open_store(str(killed.parent / "ionloop.db"))
            done = sum(store.records(record_type).count() for record_type in RECORD_TYPES)
            store.close()
            assert done >= done_before, "a kill lost records"
            done_before = done
    finish(killed)

    expected, found = records(undisturbed), records(killed)
    for collection, essence in expected.items():
        assert found[collection].keys() == essence.keys(), collection
        for name, record in essence.items():
            assert found[collection][name] == record, f"{collection}/{name}"
    assert len(expected["models"]) == 6
    assert len(expected["results"]) > 6
