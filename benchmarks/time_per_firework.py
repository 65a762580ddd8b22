"""CPU time that FireWorks and the store take per job, for a job that does nothing.

``python benchmarks/time_per_firework.py [--sizes 100 2000] [--stores mongomock embedded] [--rockets 100]``
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mongomock
from fireworks import FiretaskBase, Firework, FWorker, LaunchPad, Workflow
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core import rocket
from fireworks.core.rocket_launcher import launch_rocket
from rich.console import Console
from rich.table import Table

from ionloop.store.jobs.launchpad import install_client, open_launchpad
from ionloop.store.jobs.registered_tasks import restrict_tasks

STORES = ("mongomock", "embedded")
SHAPES = {"pairs": "many workflows of 2", "one": "one workflow"}
QUIET = "CRITICAL"


class NothingTask(FiretaskBase):
    _fw_name = "nothing"

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        return None


def fireworks_of(count: int, parent: Firework | None = None) -> list[Firework]:
    parents = [parent] if parent else None
    return [Firework(NothingTask(), name=f"job {number}", parents=parents) for number in range(count)]


def fill(launchpad: LaunchPad, shape: str, count: int) -> None:
    if shape == "one":
        first = Firework(NothingTask(), name="first")
        launchpad.add_wf(Workflow([first, *fireworks_of(count - 1, first)]))
        return
    for _ in range(count // 2):
        first = Firework(NothingTask(), name="first")
        launchpad.add_wf(Workflow([first, *fireworks_of(1, first)]))


@contextmanager
def launchpad_on(store: str, folder: Path) -> Iterator[LaunchPad]:
    if store == "embedded":
        yield open_launchpad(folder / "store.db")
        return
    install_client()
    client = fireworks_launchpad.MongoClient
    fireworks_launchpad.MongoClient = mongomock.MongoClient
    try:
        launchpad = LaunchPad(strm_lvl=QUIET)
        launchpad.reset("", require_password=False)
        yield launchpad
    finally:
        fireworks_launchpad.MongoClient = client


def milliseconds_per_rocket(store: str, shape: str, count: int, rockets: int) -> float:
    """Return the CPU time of one job (ms), the mean over the first ``rockets`` jobs of a full store."""
    with tempfile.TemporaryDirectory() as name, launchpad_on(store, Path(name)) as launchpad:
        fill(launchpad, shape, count)
        work = Path(name) / "work"
        work.mkdir()
        os.chdir(work)
        worker = FWorker("benchmark")
        launch_rocket(launchpad, worker, strm_lvl=QUIET)  # what happens once per process is not counted
        started, done = time.process_time(), 0
        while done < min(rockets, count - 1) and launch_rocket(launchpad, worker, strm_lvl=QUIET):
            done += 1
        elapsed_s = time.process_time() - started
        os.chdir("/")
        return 1000 * elapsed_s / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 2000], help="numbers of fireworks")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--rockets", type=int, default=100, help="how many jobs to run of each store")
    arguments = parser.parse_args()
    restrict_tasks({"nothing": NothingTask})
    rocket.ROCKET_STREAM_LOGLEVEL = QUIET
    table = Table("fireworks", "in", *arguments.stores, title="CPU time per job that does nothing (ms)")
    for count in arguments.sizes:
        for shape in arguments.shapes:
            times = [milliseconds_per_rocket(store, shape, count, arguments.rockets) for store in arguments.stores]
            table.add_row(str(count), SHAPES[shape], *(f"{value:.1f}" for value in times))
    Console().print(table)


if __name__ == "__main__":
    main()
