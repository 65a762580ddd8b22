"""Six workers on short jobs while everything happens to them: at the end each job has ended once, with its own result.

The number of jobs, of faults and the longest stop come from the environment, so that the same test is the short one of
the slow suite and the long one that runs for an hour:

    IONLOOP_SOAK_JOBS=2000 IONLOOP_SOAK_FAULTS=300 IONLOOP_SOAK_STOP_S=60 pytest tests/reliability/test_soak.py
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.io import read
from small_campaign import prepare

from ionloop.core.states import State
from ionloop.labelling.engines.command import CommandSettings
from ionloop.store.connection import Store, open_store
from ionloop.store.records import CampaignRecord, Origin, Structure
from ionloop.tasks.base import TaskParameters
from ionloop.tasks.label import LabelParameters, LabelTask, add_configuration
from ionloop.workflows.graph.jobs import Graph, Job
from ionloop.workflows.loop.task_registry import admit_registered_tasks
from ionloop.workflows.running.heartbeat import ENVIRONMENT_EXIT
from ionloop.workflows.submission.campaign_file import read_campaign

JOBS = int(os.environ.get("IONLOOP_SOAK_JOBS", "84"))
FAULTS = int(os.environ.get("IONLOOP_SOAK_FAULTS", "14"))
STOP_S = float(os.environ.get("IONLOOP_SOAK_STOP_S", "6"))
WORKERS = 6
LIMIT_S = 240.0 + 6.0 * (JOBS + FAULTS * STOP_S / 10)
PAUSE_S = 2.0
"""Longest time between two faults."""
SKEWS_S = (0.0, 0.0, -240.0, 360.0, -7200.0, 90.0)
ROOM = "256m"
CAMPAIGN = "small"
ENGINE = CommandSettings(calculator="slow_emt:SlowEMT")
PLACE = TaskParameters(campaign=CAMPAIGN, generation=0)
# Jobs that take a while, but no processor: with a crew of which some are always starting, faults meet jobs.
SLOW_EMT = """
import os, time
from ase.calculators.emt import EMT

class SlowEMT(EMT):
    def calculate(self, *arguments, **options):
        time.sleep(float(os.environ.get("SOAK_JOB_S", "0")))
        super().calculate(*arguments, **options)
"""
JOB_S = 1.0
BITE_LIMIT_S = 120.0
"""How long a full disk or lost rights last at most, where nobody meets them."""
NO_ROOM = re.compile(r"no space left|disk is full|database or disk", re.IGNORECASE)
NO_RIGHTS = re.compile(
    r"not writable|cannot be read and written|may not be written|read-?only|permission denied", re.IGNORECASE
)
CAPABILITIES = "-dac_override,-dac_read_search,-fowner"
# What stands for a node whose clock is wrong.
SKEW = """
import os, time
_true, _off = time.time, float(os.environ.get("SKEW_S", "0"))
time.time = lambda: _true() + _off
"""


def fill(store: Store, file: Path) -> None:
    """Put the jobs into a store: labels of one crystal, displaced differently for each."""
    campaign, crystal = read_campaign(file), read(file.parent / "structure.extxyz")
    assert isinstance(crystal, Atoms)
    admit_registered_tasks()
    settings = campaign.model_dump(mode="json")
    structure = Structure.from_atoms(crystal)
    with store.transaction():
        store.campaigns.add(
            CampaignRecord(id=CAMPAIGN, campaign=CAMPAIGN, settings=settings, structure=structure, file=str(file))
        )
        for index in range(JOBS):
            atoms = crystal.copy()
            atoms.rattle(0.05, seed=index)
            record = add_configuration(store, PLACE, atoms, Origin(sampler="test", index=index))
            parameters = LabelParameters(**PLACE.model_dump(), configuration=record.id, engine=ENGINE)
            job = Job(key=f"label/{index}", task=LabelTask, parameters=parameters)
            store.launchpad.add_wf(Graph((job,)).to_workflow(CAMPAIGN))


def labels(store: Store) -> dict[str, dict[str, Any]]:
    return {label.id: label.essence() for label in store.labels.find()}


def release(store: Store, count: int) -> None:
    """Let so many jobs be run in all; the last one is held back, so that workers wait for it, until all may be."""
    jobs = store.database.fireworks
    with store.transaction():
        held = {"state": {"$in": ["PAUSED", "RESERVED"]}, "launches": []} if count >= JOBS else {"state": "PAUSED"}
        jobs.update_many({**held, "fw_id": {"$lte": count}}, {"$set": {"state": "READY"}})
        jobs.update_many({"state": "READY", "fw_id": {"$gt": count}}, {"$set": {"state": "PAUSED"}})
        jobs.update_many({"state": "PAUSED", "fw_id": JOBS}, {"$set": {"state": "RESERVED"}})


def unfinished(store: Store) -> int:
    return int(store.database.fireworks.count_documents({"state": {"$ne": "COMPLETED"}}))


class Crew:
    """The workers, each with a clock of its own, and what happens to them."""

    def __init__(self, store: Store, folder: Path, disk: Path | None, moments: random.Random) -> None:
        self.store = store
        self.folder = folder
        self.disk = disk
        self.moments = moments
        self.workers: list[subprocess.Popen[bytes] | None] = [None] * WORKERS
        self.statuses: Counter[int] = Counter()
        self.done: Counter[str] = Counter()
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "SOAK_JOB_S": str(JOB_S)}
        self.where = ["--store", store.location, "--root", str(store.root)]
        # Root may write everywhere; without this right it is like anybody else.
        is_root = os.geteuid() == 0 and shutil.which("setpriv") is not None
        drop = ["setpriv", f"--bounding-set={CAPABILITIES}", f"--inh-caps={CAPABILITIES}"]
        self.as_anybody = drop if is_root else []
        self.can_lose_rights = is_root or os.geteuid() != 0

    def keep_up(self) -> None:
        """Start those that are not there."""
        for index, worker in enumerate(self.workers):
            if worker is not None and worker.poll() is None:
                continue
            if worker is not None:
                self.statuses[worker.returncode] += 1
            with (self.folder / f"worker-{index}.log").open("ab") as log:
                self.workers[index] = subprocess.Popen(
                    [*self.as_anybody, sys.executable, "-m", "ionloop.cli", "worker", *self.where],
                    stdout=log,
                    stderr=log,
                    env={**self.environment, "SKEW_S": str(SKEWS_S[index])},
                )

    def any_worker(self) -> subprocess.Popen[bytes]:
        """Return a worker, one that has a job where there is any."""
        launches = self.store.database.launches.find({"state": "RUNNING"}, {"fworker.name": 1})
        busy = {launch["fworker"]["name"].split("-")[-2] for launch in launches}
        there = [worker for worker in self.workers if worker is not None]
        return self.moments.choice([worker for worker in there if str(worker.pid) in busy] or there)

    def kill(self) -> None:
        self.any_worker().kill()

    def ask_to_leave(self) -> None:
        self.any_worker().terminate()

    def stop(self) -> None:
        """Stop a worker for a while, as a node that swaps does."""
        worker = self.any_worker()
        with contextlib.suppress(ProcessLookupError):
            worker.send_signal(signal.SIGSTOP)
            time.sleep(self.moments.uniform(0.2, 1.0) * STOP_S)
            worker.send_signal(signal.SIGCONT)

    def met(self, words: re.Pattern[str]) -> int:
        """Return how often workers have complained so."""
        logs = self.folder.glob("worker-*.log")
        return sum(len(words.findall(log.read_text(errors="replace"))) for log in logs)

    def wait_until_met(self, words: re.Pattern[str]) -> None:
        """Wait until a worker complains so, while others are started in place of those that end."""
        before, end = self.met(words), time.monotonic() + BITE_LIMIT_S
        while self.met(words) == before and time.monotonic() < end:
            time.sleep(0.2)
            self.keep_up()

    def fill_disk(self) -> None:
        """Let others use the disk up until a worker has met that."""
        if self.disk is None:
            return
        # Room that the store's log has already would be written again.
        with contextlib.closing(sqlite3.connect(self.store.location, timeout=10.0)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ballast = self.disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        try:
            self.wait_until_met(NO_ROOM)
        finally:
            ballast.unlink()

    def take_rights(self) -> None:
        """Let nobody write the store, nor below its folder, until a worker has met that."""
        if not self.can_lose_rights:
            return
        file = Path(self.store.location)
        places = [Path(folder) for folder, _, _ in os.walk(self.store.root)]
        places += [path for path in file.parent.glob(f"{file.name}*") if path.is_file()]
        modes = {}
        for path in places:
            # Workers remove what they have done with.
            with contextlib.suppress(FileNotFoundError):
                modes[path] = path.stat().st_mode
                path.chmod(modes[path] & 0o7555)
        try:
            # Who is there keeps the files open; who begins meets it.
            self.kill()
            self.wait_until_met(NO_RIGHTS)
        finally:
            for path, mode in modes.items():
                with contextlib.suppress(FileNotFoundError):
                    path.chmod(mode)

    def back_up(self) -> None:
        """Make a backup; one that says it is whole holds whole records only."""
        self.done["tried backups"] += 1
        archive = self.folder / f"backup-{self.done['tried backups']}.tar"
        command = [sys.executable, "-m", "ionloop.cli", "store", "backup", self.store.location, str(archive)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert "Traceback" not in done.stderr + done.stdout
        self.done["whole backups"] += done.returncode == 0

    def end(self) -> None:
        for worker in self.workers:
            if worker is not None:
                with contextlib.suppress(ProcessLookupError):
                    worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of its own, which can be filled; None where none can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder], capture_output=True)
    yield folder if made.returncode == 0 else None
    if made.returncode == 0:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that all processes of the test find: the slow calculator, and what shifts a worker's clock."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SKEW)
    (folder / "slow_emt.py").write_text(SLOW_EMT)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.fixture
def undisturbed(modules: None, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The labels of the same jobs, done by one worker that nothing happens to."""
    file = prepare(tmp_path / "undisturbed")
    store = open_store(str(file.parent / "ionloop.db"))
    fill(store, file)
    # In a process of its own: what other tests did in this one is of no concern.
    command = [sys.executable, "-m", "ionloop.cli", "worker", "--store", store.location, "--root", str(store.root)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert unfinished(store) == 0, done.stdout + done.stderr
    found = labels(store)
    assert {label["state"] for label in found.values()} == {State.FINISHED}, [one.reason for one in store.labels.find()]
    store.close()
    return found


@pytest.mark.slow
@pytest.mark.timeout(2 * LIMIT_S)
def test_whatever_happens_to_six_workers_each_job_ends_once_with_its_own_result(tmp_path, disk, undisturbed):
    assert len(undisturbed) == JOBS
    file = prepare((disk or tmp_path) / "disturbed")
    store = open_store(str(file.parent / "ionloop.db"))
    fill(store, file)
    release(store, JOBS // FAULTS)
    moments = random.Random(21)
    crew = Crew(store, tmp_path, disk, moments)
    faults = [crew.kill] * 8 + [crew.stop] * 4 + [crew.ask_to_leave] * 2 + [crew.fill_disk, crew.take_rights]
    end, happened = time.monotonic() + LIMIT_S, 0
    try:
        while unfinished(store):
            assert time.monotonic() < end, (crew.done, crew.statuses)
            crew.keep_up()
            time.sleep(moments.uniform(0.0, PAUSE_S))
            # In step with the jobs, or all would be over before the workers have begun.
            if happened < FAULTS and JOBS - unfinished(store) >= JOBS * happened // FAULTS:
                due = {
                    FAULTS // 4: crew.take_rights,
                    FAULTS // 3: crew.back_up,
                    FAULTS // 2: crew.fill_disk,
                    FAULTS - 1: crew.back_up,
                }
                fault = due.get(happened) or moments.choice(faults)
                if fault in (crew.fill_disk, crew.take_rights):
                    # While nobody works nobody needs room or rights: those jobs that come after the fault otherwise.
                    release(store, min(JOBS - 1, JOBS * (happened + 2) // FAULTS))
                fault()
                crew.done[fault.__name__] += 1
                happened += 1
                # Faster than their faults no jobs are done, however busy the machine is.
                release(store, JOBS if happened == FAULTS else JOBS * (happened + 1) // FAULTS)
    finally:
        crew.end()
    assert happened == FAULTS, "it was over before much had happened"
    assert labels(store) == undisturbed
    for job in store.database.fireworks.find():
        ends = store.database.launches.count_documents({"fw_id": job["fw_id"], "state": "COMPLETED"})
        assert ends == 1, job["spec"]["key"]
    assert store.database.launches.count_documents({"state": {"$in": ["RUNNING", "RESERVED"]}}) == 0
    # Killed, asked to leave (also before it could hear that), the disk at fault, no rights to begin with; nothing
    # unexpected.
    assert crew.statuses.keys() <= {0, 1, 2, ENVIRONMENT_EXIT, -signal.SIGKILL, -signal.SIGTERM}
    met = {"full disk": crew.met(NO_ROOM), "no rights": crew.met(NO_RIGHTS)}
    assert disk is None or met["full disk"] > 0
    assert not crew.can_lose_rights or met["no rights"] > 0
    seconds = time.monotonic() - end + LIMIT_S
    print(
        f"soak: {JOBS} jobs in {seconds:.0f} s, {dict(crew.done)}, workers met {met} and ended with "
        f"{dict(crew.statuses)}"
    )
    for log in tmp_path.glob("worker-*.log"):
        assert "Unexpected error" not in log.read_text(errors="replace"), log
    store.close()
