"""A campaign through a real SLURM, under everything that goes wrong there, ends like an undisturbed local run."""

from __future__ import annotations

import hashlib
import io
import sys
from collections import Counter
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from cluster_run import (
    TOO_MUCH_MEMORY_GB,
    HoldByFile,
    check_every_job_ended_once,
    check_same_records,
    ionloop,
    small_scratch,
    submitted_run,
)

from ionloop.core.names import ISOLATED_ATOM
from ionloop.store.connection import Store, open_store
from ionloop.tasks.initial import INITIAL_DYNAMICS

# Labels with EMT; waits while a file `hold` lies beside it, so that a fault meets a label in the middle of its work,
# and the first that finds a file `hungry` then takes more memory than its queue job has.
ENGINE = """
import hashlib, pathlib, time
from ase.calculators.emt import EMT
from ase.io import read, write
here = pathlib.Path(__file__).parent
while (here / "hold").exists():
    time.sleep(0.05)
    try:
        (here / "hungry").unlink()
    except FileNotFoundError:
        continue
    block = b"x" * int({too_much})
atoms = read("input.extxyz")
atoms.calc = EMT()
atoms.get_potential_energy(), atoms.get_forces()
write("output.extxyz", atoms)
with open(here / "finished", "a") as finished:
    finished.write(hashlib.sha256(atoms.positions.tobytes()).hexdigest() + "\\n")
"""
CAMPAIGN = """
name: small
structure: structure.extxyz
mobile: Cu
seed: 7
reference: {{engine: command, executable: "{python} {engine}"}}
initial:
  molecular_dynamics: {{count: 4, every: 2, timestep_fs: 2.0}}
  lithium_monte_carlo: {{count: 3, relaxation: {{steps: 1}}}}
baseline: {{charges: {{Cu: 0.4, Au: -0.3}}}}
gap:
  two_body: {{cutoff_A: 4.0, sparse_points: 4}}
  soap: {{cutoff_A: 3.5, n_max: 2, l_max: 1, sparse_points: 5}}
explore:
  - {{kind: nvt, length_ps: 0.05, timestep_fs: 2.0, replicas: 1, write_every: 5}}
  - kind: on-the-fly
    walkers: 2
    temperatures_K: [600, 900]
    length_ps: 0.06
    leg_ps: 0.02
    timestep_fs: 2.0
    write_every: 5
    check_every_fs: 4.0
    audit_every_ps: 0.04
    max_labels: 8
    batch: 2
    force_tolerance_eV_per_A: 0.001
selection: {{method: farthest-point, count: 3}}
stop: {{max_generations: 2, energy_tolerance: 0, force_tolerance: 0, max_attempts: 5}}
"""


def prepare(folder: Path, engine: Path) -> Path:
    folder.mkdir()
    atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    del atoms[[0, 6]]
    write(folder / "structure.extxyz", atoms)
    file = folder / "campaign.yaml"
    file.write_text(CAMPAIGN.format(python=sys.executable, engine=engine))
    return file


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "engine.py"
    path.write_text(ENGINE.format(too_much=TOO_MUCH_MEMORY_GB * 2**30))
    return path


@pytest.fixture
def undisturbed(tmp_path, engine):
    """The store of a local run that nothing disturbs, and what its engine finished."""
    file = prepare(tmp_path / "local", engine)
    done = ionloop("run", str(file), "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    finished = Counter((tmp_path / "finished").read_text().split())
    (tmp_path / "finished").unlink()
    store = open_store(str(file.parent / "ionloop.db"), must_exist=True)
    yield store, finished
    store.close()


def as_the_engine_sees(atoms: Atoms) -> str:
    """Return what the engine writes when it has finished this structure."""
    file = io.StringIO()
    write(file, atoms, format="extxyz")
    file.seek(0)
    return hashlib.sha256(read(file, format="extxyz").positions.tobytes()).hexdigest()


def check_calls(reference: Store, finished: Counter[str], calls: Counter[str]) -> None:
    """Check that the engine was asked for each label as often as in the undisturbed run: once."""
    # Relaxations and dynamics ask the engine too, and what they had not written when they were killed they ask again:
    # the labels of frames of the initial dynamics cannot be told from the dynamics' own questions. An isolated atom
    # is put into a box before it is asked.
    others = {"$nin": [INITIAL_DYNAMICS, ISOLATED_ATOM]}
    labels = {as_the_engine_sees(one.atoms) for one in reference.configurations.find({"origin.sampler": others})}
    assert labels <= set(finished)
    assert {one: calls[one] for one in labels} == {one: finished[one] for one in labels}, "a label was computed again"
    assert set(calls) == set(finished)


@pytest.mark.timeout(1800)
def test_a_campaign_through_slurm_ends_like_a_local_one_whatever_happens(tmp_path, slurm, engine, undisturbed):
    file = prepare(tmp_path / "cluster", engine)
    hold, store = HoldByFile(tmp_path / "hold"), tmp_path / "cluster" / "ionloop.db"
    hungry = tmp_path / "hungry"

    def exceed_memory(worker: str) -> None:
        hungry.touch()
        run.feed(run.ended_as("exceeded memory"), "the exceeded memory is named")

    with submitted_run(file, slurm, hold, "small", store) as run, small_scratch(run.store.root):
        faults = (
            run.kill_worker,
            run.restart_node_daemon,
            run.cancel_job,
            run.preempt,
            exceed_memory,
            run.exceed_wall_time,
            run.fill_scratch,
            run.lose_node,
        )
        for fault in faults:
            run.with_a_label_held(fault)
        run.feed(run.is_over, "the campaign ends")
        reference, finished = undisturbed
        check_same_records(reference, run, tmp_path / "report.html")
        check_every_job_ended_once(run.store)
    check_calls(reference, finished, Counter((tmp_path / "finished").read_text().split()))
