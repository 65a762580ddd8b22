"""Kill a worker at one point after another, recover the store, and tell what became of its jobs.

``python crash_points.py FOLDER MODE FIRST STEP MOST`` prints one JSON object per crash point. A point is a moment
before or after a statement (MODE ``transactions``) or a commit (``commits``, ``server``) of the store. In mode
``server`` every write is its own commit, as FireWorks' writes are on MongoDB.

A process of its own, because it forks: each child does the same work on a copy of the same store and is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, Firework, FWAction, FWorker, Workflow
from fireworks.core.rocket_launcher import launch_rocket

from ionloop.store.care.repair import repair
from ionloop.store.embedded.database_file import DatabaseFile
from ionloop.store.jobs.launchpad import StoreLaunchPad, open_launchpad
from ionloop.store.jobs.registered_tasks import restrict_tasks

WORKER = FWorker("the worker")


class CountTask(FiretaskBase):
    _fw_name = "count"

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        with open(fw_spec["ledger"], "a") as file:
            file.write(self["name"] + "\n")
        grow = [
            Firework(
                CountTask(name=f"{self['name']}+{i}"), spec={"ledger": fw_spec["ledger"]}, name=f"{self['name']}+{i}"
            )
            for i in range(self.get("grow", 0))
        ]
        return FWAction(update_spec={"after": self["name"]}, detours=grow[:1], additions=grow[1:])


class ServerLikeLaunchPad(StoreLaunchPad):
    """FireWorks' own way of writing: one document after another."""

    is_embedded = False


def workflow(name: str, ledger: Path, grow: int = 0) -> Workflow:
    spec = {"ledger": str(ledger)}
    first = Firework(CountTask(name=f"{name}.1", grow=grow), spec=spec, name=f"{name}.1")
    left = Firework(CountTask(name=f"{name}.2"), spec=spec, name=f"{name}.2", parents=[first])
    right = Firework(CountTask(name=f"{name}.3"), spec=spec, name=f"{name}.3", parents=[first])
    last = Firework(CountTask(name=f"{name}.4"), spec=spec, name=f"{name}.4", parents=[left, right])
    return Workflow([first, left, right, last], name=name)


def prepare(folder: Path) -> None:
    launchpad = open_launchpad(folder / "template.db")
    launchpad.add_wf(workflow("plain", folder / "ledger"))
    launchpad.add_wf(workflow("growing", folder / "ledger", grow=2))
    launchpad.client.close()


def work(launchpad: StoreLaunchPad, folder: Path) -> None:
    """Do a bit of everything, noting in a file what the store acknowledged."""
    acknowledged = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ids = list(launchpad.add_wf(workflow("added", folder / "ledger")).values())
    os.write(acknowledged, b"added\n")
    for _ in range(4):
        launch_rocket(launchpad, WORKER, strm_lvl="CRITICAL")
    completed = launchpad.get_fw_ids({"state": "COMPLETED"})
    launchpad.rerun_fw(completed[0])
    _, launch = launchpad.reserve_fw(WORKER, str(folder))
    launchpad.cancel_reservation(launch)
    launchpad.defuse_fw(min(ids))
    launchpad.reignite_fw(min(ids))
    launchpad.append_wf(
        Workflow([Firework(CountTask(name="appended"), spec={"ledger": str(folder / "ledger")}, name="appended")]),
        [min(ids)],
    )
    os.write(acknowledged, b"appended\n")
    for _ in range(2):
        launch_rocket(launchpad, WORKER, strm_lvl="CRITICAL")


def kill_at(point: int, *, statements: bool) -> None:
    """Kill this process at a point: even ones are before, odd ones after the (point // 2)th event."""
    seen = [0]

    def hooked(method: Callable[..., Any], counts: Callable[..., bool]) -> Callable[..., Any]:
        def run(self: DatabaseFile, sql: str, *arguments: Any, **options: Any) -> Any:
            if not counts(sql):
                return method(self, sql, *arguments, **options)
            event, seen[0] = seen[0], seen[0] + 1
            if point == 2 * event:
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(self, sql, *arguments, **options)
            if point == 2 * event + 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run

    DatabaseFile._end = hooked(DatabaseFile._end, lambda sql: sql == "COMMIT")  # type: ignore[method-assign]
    if statements:
        writes = ("INSERT", "UPDATE", "DELETE", "RELEASE")
        for name in ("execute", "execute_many"):
            setattr(DatabaseFile, name, hooked(getattr(DatabaseFile, name), lambda sql: sql.startswith(writes)))


def open_as(mode: str, path: Path) -> StoreLaunchPad:
    launchpad = open_launchpad(path)
    if mode == "server":
        launchpad.__class__ = ServerLikeLaunchPad
    return launchpad


def crash_once(folder: Path, mode: str, point: int) -> bool:
    """Work in a child that is killed at a point; return whether it got there."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise RuntimeError(f"the work itself failed: {(folder / 'log').read_text()}")
        return os.WIFSIGNALED(status)
    try:
        with open(folder / "log", "w") as log, redirect_stdout(log), redirect_stderr(log):
            launchpad = open_as(mode, folder / "store.db")
            kill_at(point, statements=mode == "transactions")
            work(launchpad, folder)
        os._exit(0)
    except BaseException:
        import traceback

        with open(folder / "log", "a") as log:
            traceback.print_exc(file=log)
        os._exit(1)


def recover(folder: Path, mode: str) -> dict[str, Any]:
    """Bring the store back as a user would, run everything, and tell what there is."""
    launchpad = open_as(mode, folder / "store.db")
    with open(folder / "log", "a") as log, redirect_stdout(log), redirect_stderr(log):
        report = repair(launchpad, dead_workers={WORKER.name}, settle_s=0.0)
        again = repair(launchpad, dead_workers={WORKER.name}, settle_s=0.0)
        for one in launchpad.get_fw_ids({"state": "DEFUSED"}):
            launchpad.reignite_fw(one)
        for _ in range(100):
            if not launch_rocket(launchpad, WORKER, strm_lvl="CRITICAL"):
                break
        after = repair(launchpad, settle_s=0.0)
    states = {one["name"]: one["state"] for one in launchpad.fireworks.find({}, {"name": 1, "state": 1})}
    names = [one["name"] for one in launchpad.fireworks.find({}, {"name": 1})]
    acknowledged = folder / "acknowledged"
    result = {
        "unfinished": sorted(name for name, state in states.items() if state != "COMPLETED"),
        "twice": sorted(name for name, count in Counter(names).items() if count > 1),
        "names": sorted(states),
        "executed": sorted(set((folder / "ledger").read_text().split())),
        "acknowledged": acknowledged.read_text().split() if acknowledged.exists() else [],
        "mended": report.total - len(report.lost_launches),
        "left": again.total + after.total,
        "findings": report.lines(),
    }
    launchpad.client.close()
    return result


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    first, step, most = map(int, sys.argv[3:6])
    restrict_tasks({"count": CountTask})
    prepare(folder)
    for point in range(first, first + step * most, step):
        here = folder / f"{mode}-{point}"
        here.mkdir()
        os.chdir(here)
        shutil.copy(folder / "template.db", here / "store.db")
        (folder / "ledger").write_text("")
        (here / "ledger").symlink_to(folder / "ledger")
        started = time.monotonic()
        killed = crash_once(here, mode, point)
        result = {"point": point, "killed": killed, **recover(here, mode), "seconds": time.monotonic() - started}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
        os.chdir(folder)
        shutil.rmtree(here, ignore_errors=True)
        if not killed:
            break


if __name__ == "__main__":
    main()
