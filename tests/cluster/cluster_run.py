"""A campaign that a launcher feeds to SLURM, what goes wrong with it, and how its records are compared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
from server import DatabaseServer
from slurm import PrivateSlurm

from ionloop.core.states import State
from ionloop.store.connection import Store, open_store
from ionloop.store.records import RECORD_TYPES
from ionloop.workflows.queue.cluster_profile import ClusterProfile
from ionloop.workflows.queue.launcher import Launcher
from ionloop.workflows.queue.queue_jobs import count_by_state, queue_jobs
from ionloop.workflows.report.page import write_report
from ionloop.workflows.running.lost_jobs import losses_by_cause
from ionloop.workflows.watching.ledger import failures
from ionloop.workflows.watching.status import campaign_status

RUN_TIMEOUT_S = 1800
PHASE_TIMEOUT_S = 600
ENERGY_TOLERANCE_EV = 1e-6
OUTAGE_S = 30
END_RECORDED_S = 1.0
SCRATCH_MB = 64
MEMORY_OF_LABELS_GB = 1.5
MEMORY_OF_THE_REST_GB = 2.5
# More than either has: dynamics among the rest ask the engine too.
TOO_MUCH_MEMORY_GB = 3.0
LABELLING = ["label", "isolated-atom", "relax-distribution"]
ENGINE_MODULE = "ionloop.labelling.process.child"


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
                "memory_GB": MEMORY_OF_LABELS_GB,
                "wall_time_h": 0.1,
                "longest_min": 1,
                "max_jobs": 1,
            },
            "rest": {
                "kinds": ["other"],
                "cores": 2,
                "workers": 2,
                "memory_GB": MEMORY_OF_THE_REST_GB,
                "wall_time_h": 0.1,
                "longest_min": 2,
                "max_jobs": 1,
            },
        },
    }
    return ClusterProfile.model_validate({**settings, **changes})


class Hold(Protocol):
    """What keeps a label in the middle of its work, so that a fault meets it there."""

    def prepare(self) -> None:
        """Make ready, before a label runs."""

    def catch(self, worker: psutil.Process) -> bool:
        """Hold the label that a worker runs; return whether there was something to hold."""

    def release(self) -> None:
        """Let all labels go on."""


class HoldByFile:
    """For an engine that waits while a file lies there."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def prepare(self) -> None:
        self.file.touch()

    def catch(self, worker: psutil.Process) -> bool:
        return True

    def release(self) -> None:
        self.file.unlink(missing_ok=True)


class HoldBySignal:
    """For any engine: its process is stopped."""

    def __init__(self) -> None:
        self._stopped: list[psutil.Process] = []

    def prepare(self) -> None:
        pass

    def catch(self, worker: psutil.Process) -> bool:
        for process in worker.children(recursive=True):
            if ENGINE_MODULE in process.cmdline():
                process.suspend()
                self._stopped.append(process)
        # A worker that has just begun has no engine yet.
        return bool(self._stopped)

    def release(self) -> None:
        for process in self._stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._stopped.clear()


class ClusterRun:
    """A campaign in a store, a launcher that feeds SLURM with it, and what goes wrong.

    Parameters
    ----------
    campaign
        Its name.
    server
        The store's server, if it is one that may be stopped.
    """

    def __init__(
        self, store: Store, slurm: PrivateSlurm, hold: Hold, campaign: str, server: DatabaseServer | None = None
    ) -> None:
        self.slurm = slurm
        self.store = store
        self.hold = hold
        self.campaign = campaign
        self.server = server
        self.launcher = Launcher(self.store, profile())
        # Nobody wants to wait for a minute after each fault.
        self.launcher.first_pause_s = 0.5

    def feed(self, condition: Callable[[], Any], what: str, limit_s: float = PHASE_TIMEOUT_S) -> None:
        """Let the launcher work until ``condition`` holds."""
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {limit_s} s\n{self.situation()}"
            self.launcher.step()
            time.sleep(0.3)

    def situation(self) -> str:
        logs = [f"{path}:\n{path.read_text()[-1500:]}" for path in sorted(self.store.root.glob("*/*.log"))[-4:]]
        jobs = [str(job) for job in queue_jobs(self.store)[-4:]]
        return "\n".join([self.slurm.ask("squeue", "--states=all"), *jobs, *logs])

    def running(self) -> list[str]:
        """Return the workers that ask the engine for a label (or a relaxation, or a free atom)."""
        wanted = {"state": "RUNNING", "spec.kind": {"$in": LABELLING}}
        jobs = {job["fw_id"] for job in self.store.database.fireworks.find(wanted, {"fw_id": 1})}
        launches = self.store.database.launches.find({"state": "RUNNING"}, {"fw_id": 1, "fworker": 1})
        return [launch["fworker"]["name"] for launch in launches if launch["fw_id"] in jobs]

    def caught(self) -> str | None:
        """Hold a label in the middle of its work; return its worker."""
        self.hold.prepare()
        for worker in self.running():
            with suppress(psutil.NoSuchProcess):
                if self.hold.catch(psutil.Process(self.document_of(worker)["pid"])):
                    # It may have ended in this very moment, with its end about to be recorded.
                    time.sleep(END_RECORDED_S)
                    if worker in self.running():
                        return worker
            self.hold.release()
        return None

    def with_a_label_held(self, fault: Callable[[str], None]) -> None:
        """Do ``fault`` to a worker that is in the middle of a label, then let labels go on."""
        found: list[str] = []

        def catch() -> bool:
            found.extend(filter(None, [self.caught()]))
            return bool(found)

        self.feed(catch, "a label runs")
        fault(found[0])
        self.hold.release()

    def document_of(self, worker: str) -> dict[str, Any]:
        document = self.store.workers.find_one({"_id": worker})
        assert document is not None
        return document

    def queue_job_of(self, worker: str) -> str:
        return str(self.document_of(worker)["queue_job"]).removeprefix("slurm-")

    def is_over(self) -> bool:
        return campaign_status(self.store, self.campaign).is_over

    def losses(self) -> dict[str, int]:
        return losses_by_cause(self.store, self.campaign)

    def ended_as(self, state: str) -> Callable[[], bool]:
        return lambda: state in count_by_state(queue_jobs(self.store))

    # -- faults --------------------------------------------------------------------------------------------------

    def kill_worker(self, worker: str) -> None:
        os.kill(self.document_of(worker)["pid"], signal.SIGKILL)
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
        """Let the label come back to a scratch file system without any room."""
        filler = self.store.root / "scratch" / "filler"
        with filler.open("wb", buffering=0) as file:
            for block in (2**20, 2**12, 1):
                with suppress(OSError):
                    while file.write(bytes(block)) == block:
                        continue
        self.hold.release()
        self.feed(self.ended_as("scratch full"), "the full scratch is named")
        filler.unlink()

    def stop_database(self, worker: str) -> None:
        """Stop the server for a while in which the label that runs comes to its end."""
        assert self.server is not None
        assert self.server.process is not None
        self.server.process.stop(kill=True)
        self.hold.release()
        time.sleep(OUTAGE_S)
        self.server.process.start()


@contextmanager
def submitted_run(
    file: Path, slurm: PrivateSlurm, hold: Hold, campaign: str, where: DatabaseServer | Path
) -> Iterator[ClusterRun]:
    """Submit a campaign into a store, the embedded one at a path or one on a server."""
    root = file.parent / "ionloop-files"
    location = str(where) if isinstance(where, Path) else where.location
    done = ionloop("submit", str(file), "--store", location, "--root", str(root))
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(open_store(location, root=root, must_exist=True)) as store:
        yield ClusterRun(store, slurm, hold, campaign, None if isinstance(where, Path) else where)


@contextmanager
def undisturbed_run(file: Path) -> Iterator[Callable[[], Store]]:
    """Run a campaign locally, beside what else is done; the callable waits for its end and opens its store.

    A fault mostly waits for what SLURM does about it.
    """
    with ThreadPoolExecutor() as beside:
        running = beside.submit(ionloop, "run", str(file), "--workers", "2")

        def store() -> Store:
            done = running.result()
            assert done.returncode == 0, done.stdout + done.stderr
            return open_store(str(file.with_name("ionloop.db")), must_exist=True)

        yield store


@contextmanager
def small_scratch(root: Path) -> Iterator[None]:
    """Let the scratch folder of a store be a small file system of its own."""
    folder = root / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SCRATCH_MB}m", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)


# -- records -----------------------------------------------------------------------------------------------------


def records(store: Store, campaign: str) -> dict[str, dict[str, Any]]:
    """Return the essence of all records of a store whose campaign is over, all files whole, no job left or doubled."""
    reasons = [f"{failure.key}: {failure.reason}\n" for failure in failures(store)]
    assert store.campaigns[campaign].state is State.FINISHED, "".join(reasons)
    for model in store.models.find():
        assert all(store.artefacts.is_whole(artefact) for artefact in model.files)
    for state in ("RUNNING", "READY", "WAITING", "FIZZLED", "RESERVED"):
        assert store.database.fireworks.count_documents({"state": state}) == 0
    keys = [job["spec"]["key"] for job in store.database.fireworks.find({}, {"spec.key": 1})]
    assert len(keys) == len(set(keys)), "a job was added twice"
    return {
        record_type.collection: {record.id: record.essence() for record in store.records(record_type).find()}
        for record_type in RECORD_TYPES
    }


def check_same_records(reference: Store, run: ClusterRun, report: Path) -> None:
    """Check that the run made the records of the reference: none lost, none added, the same content."""
    # `ionloop run` ends with a report, which records what its figures show.
    write_report(run.store, run.campaign, report)
    expected, found = records(reference, run.campaign), records(run.store, run.campaign)
    for collection, essence in expected.items():
        lost = [record for name, record in essence.items() if name not in found[collection]]
        added = [record for name, record in found[collection].items() if name not in essence]
        assert not lost + added, f"{collection}: lost {str(lost)[:3000]}, added {str(added)[:3000]}"
        for name, record in essence.items():
            energy, other = record.pop("energy", None), found[collection][name].pop("energy", None)
            assert (energy is None) == (other is None)
            assert energy is None or abs(energy - other) < ENERGY_TOLERANCE_EV
            assert found[collection][name] == record, f"{collection}/{name}"


def check_every_job_ended_once(store: Store) -> None:
    """Check that no job came to its end twice: what was finished was not computed again."""
    ends: dict[int, int] = {}
    for launch in store.database.launches.find({"state": "COMPLETED"}, {"fw_id": 1}):
        ends[launch["fw_id"]] = ends.get(launch["fw_id"], 0) + 1
    jobs = [job["fw_id"] for job in store.database.fireworks.find({}, {"fw_id": 1})]
    assert ends == dict.fromkeys(jobs, 1)
