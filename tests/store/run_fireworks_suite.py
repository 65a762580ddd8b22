"""FireWorks' own tests on a store of choice: ``python run_fireworks_suite.py [mongomock] [embedded]``.

FireWorks ships its tests inside the package, and they write beside themselves: each store gets its own copy of the
package, and its own process, because FireWorks' modules take their client and LaunchPad at import.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import fireworks
import mongomock
import pytest
from fireworks import LaunchPad, fw_config
from mongomock.gridfs import enable_gridfs_integration
from mongomock.store import ServerStore
from rich.console import Console
from rich.table import Table

STORES = ("mongomock", "embedded")


class Results:
    """A pytest plugin that keeps each test's outcome and, where it did not pass, the reason."""

    def __init__(self) -> None:
        self.outcomes: dict[str, tuple[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            known = self.outcomes.get(report.nodeid)
            if known is None or known[0] == "passed":
                self.outcomes[report.nodeid] = (report.outcome, _reason(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = ("not importable", str(report.longrepr).splitlines()[-1])


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).splitlines()[0]


def _use_store(store: str, folder: Path) -> None:
    """Let every module of FireWorks use the store; for the embedded one through our LaunchPad."""
    enable_gridfs_integration()
    if store == "mongomock":
        shared = ServerStore()
        client: Any = lambda *args, **kwargs: mongomock.MongoClient(_store=shared)  # noqa: E731
    else:
        from ionloop.store.embedded import EmbeddedClient

        client = functools.partial(_embedded_client, EmbeddedClient, folder / "store.db")
        from ionloop.store.jobs.launchpad import TransactionalLaunchPad

        _replace_everywhere("LaunchPad", LaunchPad, TransactionalLaunchPad)
    _replace_everywhere("MongoClient", fw_config.MongoClient, client)


def _embedded_client(kind: Any, path: Path, *args: Any, **kwargs: Any) -> Any:
    return kind(path)


def _replace_everywhere(name: str, old: Any, new: Any) -> None:
    import fireworks.core.rocket_launcher
    import fireworks.features.multi_launcher
    import fireworks.queue.queue_launcher
    import fireworks.scripts.lpad_run
    import fireworks.scripts.mlaunch_run
    import fireworks.scripts.qlaunch_run
    import fireworks.scripts.rlaunch_run
    import fireworks.utilities.filepad  # noqa: F401

    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("fireworks") and getattr(module, name, None) is old:
            setattr(module, name, new)


def run_here(store: str, folder: Path, selection: list[str]) -> dict[str, tuple[str, str]]:
    """Run FireWorks' tests in this process, which afterwards is of no other use."""
    _use_store(store, folder)
    results = Results()
    os.chdir(folder)
    package = Path(fireworks.__file__).parent
    paths = [str(package / part) for part in selection] or [str(package)]
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "--timeout=300", "--continue-on-collection-errors"]
    # Neither our configuration nor FireWorks' own: the tests as they are.
    pytest.main([*paths, *options, "-c", os.devnull, "--rootdir", str(package)], plugins=[results])
    return results.outcomes


def run(store: str, selection: tuple[str, ...] = (), source: Path | None = None) -> dict[str, tuple[str, str]]:
    """Run FireWorks' tests on a store in a fresh process and folder; return outcome and reason by test.

    ``selection`` are paths inside the package, all by default; ``source`` is a checkout of FireWorks with the data
    files that the installed package lacks.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output, work, packages = folder / "results.json", folder / "work", folder / "packages"
        work.mkdir()
        package = source / "fireworks" if source else Path(fireworks.__file__).parent
        shutil.copytree(package, packages / "fireworks", ignore=shutil.ignore_patterns("__pycache__"))
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            part for part in (str(packages), environment.get("PYTHONPATH", "")) if part
        )
        command = [sys.executable, __file__, "--here", store, str(work), str(output), *selection]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if not output.exists():
            raise RuntimeError(f"the tests did not run: {finished.stdout}{finished.stderr}")
        return {test: (outcome, reason) for test, (outcome, reason) in json.loads(output.read_text()).items()}


def counts(outcomes: dict[str, tuple[str, str]]) -> dict[str, int]:
    """Return how many tests had each outcome."""
    values = [outcome for outcome, _ in outcomes.values()]
    return {kind: values.count(kind) for kind in ("passed", "failed", "skipped", "not importable")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", help=f"some of {', '.join(STORES)}; both by default")
    parser.add_argument("--here", nargs="+", metavar="ARGUMENT", help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help="a checkout of FireWorks, with its tests' data files")
    arguments = parser.parse_args()
    if arguments.here:
        store, folder, output, *selection = arguments.here
        Path(output).write_text(json.dumps(run_here(store, Path(folder), selection)))
        return
    console = Console()
    table = Table("store", "passed", "failed", "skipped", "not importable", title="FireWorks' own tests")
    for store in arguments.stores or STORES:
        outcomes = run(store, source=arguments.source)
        table.add_row(store, *(str(number) for number in counts(outcomes).values()))
        for test, (outcome, reason) in sorted(outcomes.items()):
            if outcome != "passed":
                console.print(f"{store}: {outcome}: {test}: {reason[:200]}", markup=False, soft_wrap=True)
    console.print(table)


if __name__ == "__main__":
    main()
