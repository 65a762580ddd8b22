"""A worker imports what its job needs, and knows every Firetask by name all the same."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import ionloop.tasks
from ionloop.tasks.all_tasks import MODULES, task_of_loop, tasks_in
from ionloop.workflows.loop.task_registry import (
    OF_THE_LOOP,
    is_resumable,
    job_tasks,
    registered_tasks,
    resumable_kinds,
)

NUMERICS = {"numba", "scipy.stats", "quippy", "spglib"}
SCRIPT = """
import sys
import ionloop.workflows.running.worker
from ionloop.workflows.loop.task_registry import admit_registered_tasks, is_resumable, registered_tasks
admit_registered_tasks()
registered_tasks()["ionloop.label"], is_resumable("label")
print(*sys.modules)
"""


def test_every_task_is_the_loops_or_an_analysiss() -> None:
    found = pkgutil.walk_packages(ionloop.tasks.__path__, "ionloop.tasks.")
    modules = [module.name.removeprefix("ionloop.tasks.") for module in found if not module.ispkg]
    written = {name: task for module in modules for name, task in tasks_in(module).items()}
    written.pop("ionloop.task", None)
    abstract = {name for name, task in written.items() if task.__abstractmethods__}
    assert written.keys() - abstract == {name for name in job_tasks() if name.startswith("ionloop.")}
    assert all(task_of_loop(name) is written[name] for name in MODULES)


def test_tasks_are_found_one_by_one_as_they_are_found_together() -> None:
    one_by_one = {name: registered_tasks()[name] for name in registered_tasks()}
    assert job_tasks().items() <= one_by_one.items()
    assert one_by_one.keys() - job_tasks().keys() == OF_THE_LOOP.keys()
    assert all(one_by_one[name]._fw_name == name for name in one_by_one)
    assert {task.kind() for task in job_tasks().values() if is_resumable(task.kind())} == resumable_kinds()
    assert "conductivity-run" in resumable_kinds()
    assert not is_resumable("label")


@pytest.mark.parametrize("name", ["ionloop.task", "ionloop.unknown", "label", "", "{{ionloop.tasks.label.LabelTask}}"])
def test_other_names_are_no_tasks(name: str) -> None:
    assert name not in registered_tasks()
    assert not is_resumable("unknown")


def test_a_worker_that_labels_loads_neither_fits_nor_analyses() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = done.stdout.split()
    assert not NUMERICS & set(modules)
    assert not {"ionloop.tasks.fit", "ionloop.tasks.conductivity"} & set(modules)
