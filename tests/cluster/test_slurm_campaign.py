"""A campaign through a real SLURM, under everything that goes wrong there, ends like an undisturbed local run."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from server import DatabaseServer
from slurm import PrivateSlurm

from ionloop.states import State
from ionloop.store.connection import Store, open_store
from ionloop.store.records import RECORD_TYPES
from ionloop.tasks.initial import INITIAL_DYNAMICS
from ionloop.tasks.label import ISOLATED_ATOM
from ionloop.workflows.cluster_profile import ClusterProfile
from ionloop.workflows.launcher import Launcher
from ionloop.workflows.ledger import failures
from ionloop.workflows.lost_jobs import losses_by_cause
from ionloop.workflows.queue_jobs import count_by_state, queue_jobs
from ionloop.workflows.report import write_report
from ionloop.workflows.status import campaign_status

RUN_TIMEOUT_S = 480
PHASE_TIMEOUT_S = 240
ENERGY_TOLERANCE_EV = 1e-6
LABELLING = ["label", "isolated-atom", "relax-distribution"]

# Labels with EMT; waits while a file `hold` lies beside it, so that a fault meets a label in the middle of its work.
ENGINE = """
import hashlib, pathlib, time
from ase.calculators.emt import EMT
from ase.io import read, write
here = pathlib.Path(__file__).parent
while (here / "hold").exists():
    time.sleep(0.05)
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
sampling: {{length_ps: 0.05, timestep_fs: 2.0, replicas: 2, write_every: 5}}
selection: {{method: farthest-point, count: 3}}
stop: {{max_generations: 2, energy_tolerance: 0, force_tolerance: 0}}
"""


def prepare(folder: Path, engine: Path) -> Path:
    folder.mkdir()
    atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    del atoms[[0, 6]]
    write(folder / "structure.extxyz", atoms)
    file = folder / "campaign.yaml"
    file.write_text(CAMPAIGN.format(python=sys.executable, engine=engine))
    return file


def ionloop(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ionloop.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def profile(**changes: Any) -> ClusterProfile:
    settings = {
        "scheduler": "slurm",
        "partition": "debug",
        "environment": {"OMP_NUM_THREADS": "1"},
        "margin_min": 0.1,
        "idle_min": 0.2,
        "poll_s": 0.5,
        "max_jobs": 3,
        "resources": {
            "labels": {
                "kinds": LABELLING,
                "cores": 2,
                "workers": 2,
                "wall_time_h": 0.1,
                "longest_min": 1,
                "max_jobs": 1,
            },
            "rest": {"kinds": ["other"], "wall_time_h": 0.1, "longest_min": 2, "max_jobs": 1},
        },
    }
    return ClusterProfile.model_validate({**settings, **changes})


class ClusterRun:
    """A campaign in a store, a launcher that feeds SLURM with it, and what goes wrong."""

    def __init__(self, store: Store, slurm: PrivateSlurm, hold: Path) -> None:
        self.slurm = slurm
        self.store = store
        self.hold = hold
        self.launcher = Launcher(self.store, profile())
        # Nobody wants to wait for a minute after each fault.
        self.launcher.first_pause_s = 0.5

    def feed(self, condition: Callable[[], Any], what: str) -> None:
        """Let the launcher work until ``condition`` holds."""
        end = time.monotonic() + PHASE_TIMEOUT_S
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {PHASE_TIMEOUT_S} s\n{self.situation()}"
            self.launcher.step()
            time.sleep(0.3)

    def situation(self) -> str:
        logs = [f"{path}:\n{path.read_text()[-1500:]}" for path in sorted(self.store.root.glob("*/*.log"))[-4:]]
        jobs = [str(job) for job in queue_jobs(self.store)[-4:]]
        return "\n".join([self.slurm.ask("squeue", "--states=all"), *jobs, *logs])

    def running(self) -> list[str]:
        """Return the workers that ask the engine for a label (or a relaxation, or a free atom)."""
        wanted = {"state": "RUNNING", "spec.kind": {"$in": LABELLING}}
        jobs = {job["fw_id"] for job in self.store.database.fireworks.find(wanted)}
        launches = self.store.database.launches.find({"state": "RUNNING"})
        return [launch["fworker"]["name"] for launch in launches if launch["fw_id"] in jobs]

    def with_a_label_held(self, fault: Callable[[str], None]) -> None:
        """Do ``fault`` to a worker that is in the middle of a label, then let labels go on."""
        self.hold.touch()
        self.feed(lambda: self.running(), "a label runs")
        fault(self.running()[0])
        self.hold.unlink()

    def queue_job_of(self, worker: str) -> str:
        document = self.store.workers.find_one({"_id": worker})
        assert document is not None
        return str(document["queue_job"]).removeprefix("slurm-")

    def is_over(self) -> bool:
        return campaign_status(self.store, "small").is_over

    def losses(self) -> dict[str, int]:
        return losses_by_cause(self.store, "small")

    def ended_as(self, state: str) -> Callable[[], bool]:
        return lambda: state in count_by_state(queue_jobs(self.store))

    # -- faults --------------------------------------------------------------------------------------------------

    def kill_worker(self, worker: str) -> None:
        document = self.store.workers.find_one({"_id": worker})
        assert document is not None
        os.kill(document["pid"], signal.SIGKILL)
        self.feed(lambda: "worker crashed" in self.losses(), "the dead worker's job is back")

    def restart_node_daemon(self, worker: str) -> None:
        self.slurm.kill_node_daemon()
        time.sleep(1)
        self.slurm.start_node()

    def cancel_job(self, worker: str) -> None:
        self.slurm.ask("scancel", self.queue_job_of(worker))
        self.feed(self.ended_as("cancelled"), "scancel is noticed")

    def exceed_wall_time(self, worker: str) -> None:
        self.slurm.ask("scontrol", "update", f"JobId={self.queue_job_of(worker)}", "TimeLimit=0:01")
        self.feed(self.ended_as("exceeded wall time"), "the wall time is over")

    def preempt(self, worker: str) -> None:
        script = self.slurm.folder / "urgent.sh"
        script.write_text("#!/bin/bash\nsleep 3\n")
        self.slurm.ask("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", str(script))
        self.feed(self.ended_as("pre-empted"), "pre-emption is noticed")

    def lose_node(self, worker: str) -> None:
        self.slurm.kill_node()
        self.slurm.start_node()
        self.feed(self.ended_as("node failed"), "the lost node is noticed")

    def fill_scratch(self, worker: str) -> None:
        """Let the worker come back to a scratch file system without any room."""
        filler = self.store.root / "scratch" / "filler"
        with filler.open("wb", buffering=0) as file:
            for block in (2**20, 2**12, 1):
                with suppress(OSError):
                    while file.write(bytes(block)) == block:
                        continue
        self.hold.unlink()
        self.feed(self.ended_as("scratch full"), "the full scratch is named")
        filler.unlink()
        self.hold.touch()


def records(store: Store) -> dict[str, dict[str, Any]]:
    reasons = [f"{failure.key}: {failure.reason}\n" for failure in failures(store)]
    assert store.campaigns["small"].state is State.FINISHED, "".join(reasons)
    for model in store.models.find():
        assert all(store.artefacts.is_whole(artefact) for artefact in model.files)
    for state in ("RUNNING", "READY", "WAITING", "FIZZLED", "RESERVED"):
        assert store.database.fireworks.count_documents({"state": state}) == 0
    keys = [job["spec"]["key"] for job in store.database.fireworks.find()]
    assert len(keys) == len(set(keys)), "a job was added twice"
    return {
        record_type.collection: {record.id: record.essence() for record in store.records(record_type).find()}
        for record_type in RECORD_TYPES
    }


@pytest.fixture
def small_scratch(tmp_path):
    """The scratch folder of the campaign on the cluster, as a small file system of its own."""
    folder = tmp_path / "cluster" / "ionloop-files" / "scratch"

    def mount() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True)
        if made.returncode:
            pytest.skip("mounting a file system is not allowed here")

    yield mount
    subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)


FAULTS = (
    "kill_worker",
    "restart_node_daemon",
    "cancel_job",
    "preempt",
    "exceed_wall_time",
    "fill_scratch",
    "lose_node",
)
OUTAGE_S = 30


def stop_database(run: ClusterRun, server: DatabaseServer) -> None:
    """Stop the server for a while in which the label that runs comes to its end."""
    assert server.ferretdb is not None
    server.ferretdb.stop(kill=True)
    run.hold.unlink()
    time.sleep(OUTAGE_S)
    server.ferretdb.start()
    run.hold.touch()


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "engine.py"
    path.write_text(ENGINE)
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


def submitted_run(tmp_path: Path, engine: Path, slurm: PrivateSlurm, location: str) -> ClusterRun:
    file = prepare(tmp_path / "cluster", engine)
    root = tmp_path / "cluster" / "ionloop-files"
    done = ionloop("submit", str(file), "--store", location, "--root", str(root))
    assert done.returncode == 0, done.stdout + done.stderr
    return ClusterRun(open_store(location, root=root, must_exist=True), slurm, tmp_path / "hold")


def as_the_engine_sees(atoms: Atoms) -> str:
    """Return what the engine writes when it has finished this structure."""
    file = io.StringIO()
    write(file, atoms, format="extxyz")
    file.seek(0)
    return hashlib.sha256(read(file, format="extxyz").positions.tobytes()).hexdigest()


def check_against(undisturbed: tuple[Store, Counter[str]], run: ClusterRun, tmp_path: Path) -> None:
    reference, finished = undisturbed
    # `ionloop run` ends with a report, which records what its figures show.
    write_report(run.store, "small", tmp_path / "report.html")
    expected, found = records(reference), records(run.store)
    for collection, essence in expected.items():
        lost = [record for name, record in essence.items() if name not in found[collection]]
        added = [record for name, record in found[collection].items() if name not in essence]
        assert not lost + added, f"{collection}: lost {str(lost)[:3000]}, added {str(added)[:3000]}"
        for name, record in essence.items():
            energy, other = record.pop("energy", None), found[collection][name].pop("energy", None)
            assert (energy is None) == (other is None)
            assert energy is None or abs(energy - other) < ENERGY_TOLERANCE_EV
            assert found[collection][name] == record, f"{collection}/{name}"
    calls = Counter((tmp_path / "finished").read_text().split())
    # Relaxations and dynamics ask the engine too, and what they had not written when they were killed they ask again:
    # the labels of frames of the initial dynamics cannot be told from the dynamics' own questions. An isolated atom
    # is put into a box before it is asked.
    others = {"$nin": [INITIAL_DYNAMICS, ISOLATED_ATOM]}
    labels = {as_the_engine_sees(one.atoms) for one in reference.configurations.find({"origin.sampler": others})}
    assert labels <= set(finished)
    assert {one: calls[one] for one in labels} == {one: finished[one] for one in labels}, "a label was computed again"
    assert set(calls) == set(finished)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_campaign_through_slurm_ends_like_a_local_one_whatever_happens(
    tmp_path, slurm, engine, undisturbed, small_scratch
):
    run = submitted_run(tmp_path, engine, slurm, str(tmp_path / "cluster" / "ionloop.db"))
    small_scratch()
    for name in FAULTS:
        run.with_a_label_held(getattr(run, name))
    run.feed(run.is_over, "the campaign ends")
    check_against(undisturbed, run, tmp_path)
    run.store.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_so_it_does_with_a_database_server_that_goes_away_and_comes_back(
    tmp_path, slurm, engine, undisturbed, stoppable_server
):
    run = submitted_run(tmp_path, engine, slurm, stoppable_server.location)
    for fault in (run.kill_worker, lambda worker: stop_database(run, stoppable_server), run.cancel_job):
        run.with_a_label_held(fault)
    run.feed(run.is_over, "the campaign ends")
    check_against(undisturbed, run, tmp_path)
    run.store.close()
