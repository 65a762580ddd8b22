"""Jobs per second of many jobs that do nothing, through the real worker, on the embedded store and on a server.

    python benchmarks/orchestration.py [--counts 100 5000] [--workers 8] [--server URI] [--only-server]

The jobs are many small workflows, as a campaign's labels are. The embedded store lies in a temporary folder; a server
(--server mongodb://..., else IONLOOP_TEST_MONGODB_URI) is given a database of its own, which is erased.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from fireworks import FiretaskBase, Firework, Workflow
from rich.console import Console
from rich.table import Table

from ionloop.store.connection import Store, open_store
from ionloop.store.jobs.registered_tasks import restrict_tasks
from ionloop.store.server import is_server
from ionloop.workflows.running import lost_jobs, worker

SERVER_VARIABLE = "IONLOOP_TEST_MONGODB_URI"
CAMPAIGN = "benchmark"
DATABASE = "ionloop_benchmark"
EMBEDDED = "embedded"
LARGEST_RATIO = 2.0
"""The time per job at the largest count may be so many times that at the smallest."""


class NothingTask(FiretaskBase):
    _fw_name: ClassVar[str] = "ionloop.nothing"

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        return None


def admit() -> None:
    restrict_tasks({NothingTask._fw_name: NothingTask})


def fill(store: Store, count: int) -> None:
    for number in range(count):
        spec = {"campaign": CAMPAIGN, "kind": "nothing", "generation": 0, "key": f"job-{number}", "_priority": 0}
        store.launchpad.add_wf(Workflow([Firework(NothingTask(), spec=spec, name=spec["key"])], name=CAMPAIGN))


def benchmark_location(server: str) -> str:
    """Return the address of a server with the benchmark's own database in it: what is there is erased."""
    address, mark, options = server.partition("?")
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{DATABASE}{mark}{options}"


def erase(store: Store) -> None:
    for name in ("fireworks", "launches", "workflows", "workers", "usage", "losses"):
        store.database[name].delete_many({})


def run_worker(location: str, root: str, begin: float) -> None:
    """Be one of the workers: wait for the common start, then run until nothing is left."""
    worker.admit_registered_tasks = lost_jobs.admit_registered_tasks = admit
    store = open_store(location, root=Path(root))
    time.sleep(max(0.0, begin - time.time()))
    worker.Worker(store, CAMPAIGN).run()


def seconds_per_job(location: str, root: Path, count: int, workers: int, start_up_s: float) -> float:
    """Return wall time over jobs (s), from the first job's start to the last one's end."""
    store = open_store(location, root=root)
    erase(store)
    fill(store, count)
    begin = time.time() + start_up_s
    command = [sys.executable, __file__, "--be-worker", location, str(root), str(begin)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(workers)]
    for process in processes:
        if process.wait():
            raise RuntimeError(f"a worker ended with status {process.returncode}")
    histories = [launch["state_history"] for launch in store.database.launches.find({"state": "COMPLETED"})]
    if len(histories) != count:
        raise RuntimeError(f"{len(histories)} of {count} jobs were run: a job was lost or run twice")
    moments = [str(entry["created_on"]) for history in histories for entry in history]
    store.close()
    return (as_seconds(max(moments)) - as_seconds(min(moments))) / count


def as_seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


def measure(locations: list[str], counts: list[int], workers: int, start_up_s: float) -> bool:
    """Print the table; return whether every store scales as it should."""
    table = Table("store", *(f"{count:,} jobs: jobs/s" for count in counts), "time per job, last / first")
    good = True
    for location in locations:
        times = []
        for count in counts:
            with tempfile.TemporaryDirectory() as root:
                where = benchmark_location(location) if is_server(location) else f"{root}/store.db"
                times.append(seconds_per_job(where, Path(root), count, workers, start_up_s))
        ratio = times[-1] / times[0]
        good = good and ratio <= LARGEST_RATIO
        table.add_row(location, *(f"{1 / one:.1f}" for one in times), f"{ratio:.2f}")
    Console().print(table)
    return good


def main() -> None:
    if sys.argv[1:2] == ["--be-worker"]:
        run_worker(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[100, 5000])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--server", default=os.environ.get(SERVER_VARIABLE, ""), help="a server's mongodb:// address")
    parser.add_argument("--only-server", action="store_true", help="leave the embedded store out")
    parser.add_argument("--start-up", type=float, default=30.0, help="time for all workers to start (s)")
    arguments = parser.parse_args()
    admit()
    locations = [EMBEDDED] * (not arguments.only_server) + [arguments.server] * bool(arguments.server)
    if not measure(locations, arguments.counts, arguments.workers, arguments.start_up):
        raise SystemExit(f"the time per job grew by more than {LARGEST_RATIO:g} times")


if __name__ == "__main__":
    main()
