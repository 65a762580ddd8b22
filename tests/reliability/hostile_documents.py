"""Documents that somebody with write access to the database might put there, or that a defect might."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import ObjectId

FIRST_NUMBER = 10_000
HARMLESS = {"_fw_name": "ionloop.conclude", "parameters": {"campaign": "small", "generation": "none"}}
"""A registered task whose parameters are wrong: it may be read, but ends with a reason."""

Document = dict[str, Any]


@dataclass
class Hostile:
    """One document of a job with its workflow and launches.

    Attributes
    ----------
    name
        For the messages of the tests.
    """

    name: str
    firework: Document
    workflow: Document | None
    launches: list[Document] = field(default_factory=list)


class Canary:
    """Where anything that is executed leaves a trace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "bait").write_text("secret")
        # Importing this module is execution.
        (folder / "canary_module.py").write_text(
            f"open({str(folder / 'imported')!r}, 'w').close()\n"
            "from fireworks import FiretaskBase\n"
            "class Task(FiretaskBase):\n    _fw_name = 'canary'\n    def run_task(self, fw_spec): pass\n"
        )

    def path(self, name: str = "sung") -> str:
        return str(self.folder / name)

    @property
    def has_sung(self) -> list[str]:
        """What was made in the folder beyond the bait."""
        made = (path.name for path in self.folder.iterdir())
        return sorted(set(made) - {"bait", "canary_module.py", "__pycache__"})


class _Factory:
    def __init__(self, campaign: str) -> None:
        self.campaign = campaign
        self.number = FIRST_NUMBER

    def make(self, name: str, **spec: Any) -> Hostile:
        """Return a document that is well formed but for the given keys of its specification."""
        self.number += 1
        number, moment = self.number, datetime(2026, 1, 1, tzinfo=UTC)
        firework = {
            "_id": ObjectId(),
            "fw_id": number,
            "name": name,
            "state": "READY",
            "created_on": moment.isoformat(),
            "updated_on": moment,
            "launches": [],
            "archived_launches": [],
            "spec": {
                "_tasks": [copy.deepcopy(HARMLESS)],
                "_priority": 1000,
                "campaign": self.campaign,
                "key": f"hostile/{name}",
                "kind": "x",
                "generation": 0,
                **spec,
            },
        }
        workflow = {
            "_id": ObjectId(),
            "nodes": [number],
            "links": {str(number): []},
            "parent_links": {},
            "fw_states": {str(number): "READY"},
            "name": name,
            "metadata": {},
            "state": "READY",
            "created_on": moment,
            "updated_on": moment,
        }
        return Hostile(name, firework, workflow)


def hostile_documents(campaign: str, canary: Canary) -> list[Hostile]:
    """Return a hundred documents, none of which may be executed."""
    factory = _Factory(campaign)
    found = [
        *_foreign_tasks(factory, canary),
        *_malformed_tasks(factory),
        *_hidden_tasks(factory, canary),
        *_acting_keys(factory, canary),
        *_malformed_fields(factory),
        *_malformed_workflows(factory),
        *_hostile_launches(factory, canary),
        *_wrong_parameters(factory, canary),
        *_extreme_documents(factory),
    ]
    assert len({one.name for one in found}) == len(found)
    return found


def _foreign_tasks(factory: _Factory, canary: Canary) -> Iterator[Hostile]:
    touch = f"touch {canary.path()}"
    tasks = {
        "script": {"_fw_name": "ScriptTask", "script": [touch], "use_shell": True},
        "python": {"_fw_name": "PyTask", "func": "os.mkdir", "args": [canary.path()]},
        "python eval": {"_fw_name": "PyTask", "func": "builtins.eval", "args": [f"open({canary.path()!r}, 'w')"]},
        "command line": {"_fw_name": "CommandLineTask", "command_spec": {"command": [touch]}},
        "file write": {"_fw_name": "FileWriteTask", "files_to_write": [{"filename": canary.path(), "contents": "x"}]},
        "file delete": {"_fw_name": "FileDeleteTask", "files_to_delete": [canary.path("bait")]},
        "file transfer": {"_fw_name": "FileTransferTask", "mode": "copy", "files": [canary.path("bait")]},
        "template": {"_fw_name": "TemplateWriterTask", "output_file": canary.path(), "template_file": "x"},
        "archive": {"_fw_name": "ArchiveDirTask", "base_name": canary.path()},
        "compress": {"_fw_name": "CompressDirTask", "dir": str(canary.folder)},
        "back up": {"_fw_name": "BackupFilesTask"},
        "for each": {"_fw_name": "ForeachTask", "task": {"_fw_name": "PyTask", "func": "os.mkdir"}, "split": "a"},
        "join": {"_fw_name": "JoinDictTask", "inputs": [], "output": "x"},
        "import": {"_fw_name": "{{canary_module.Task}}"},
        "import with spaces": {"_fw_name": "{{ canary_module.Task }}"},
        "import of fireworks": {
            "_fw_name": "{{fireworks.user_objects.firetasks.script_task.ScriptTask}}",
            "script": [touch],
        },
        "import of ionloop": {"_fw_name": "{{ionloop.tasks.label.LabelTask}}", "parameters": {}},
        "second task": None,
    }
    for name, task in tasks.items():
        listed = [HARMLESS, tasks["script"]] if task is None else [task]
        yield factory.make(f"task {name}", _tasks=listed)


def _malformed_tasks(factory: _Factory) -> Iterator[Hostile]:
    names: list[Any] = [
        None,
        5,
        1.5,
        True,
        [],
        ["ScriptTask"],
        {},
        {"a": 1},
        "",
        " ",
        "ionloop.label ",
        "IONLOOP.LABEL",
    ]
    names += ["ionloop.task", "../ionloop.label", "{{}}", "{{a}}", "\u202eksat", "x" * 100_000]
    for index, name in enumerate(names):
        yield factory.make(f"name {index}", _tasks=[{"_fw_name": name, "parameters": {}}])
    lists: list[Any] = [None, "PyTask", 5, {}, {"_fw_name": "PyTask"}, [], [None], ["PyTask"], [[HARMLESS]], [{}]]
    for index, tasks in enumerate(lists):
        yield factory.make(f"tasks {index}", _tasks=tasks)
    missing = factory.make("tasks missing")
    del missing.firework["spec"]["_tasks"]
    yield missing


def _hidden_tasks(factory: _Factory, canary: Canary) -> Iterator[Hostile]:
    evil = {"_fw_name": "{{canary_module.Task}}"}
    script = {"_fw_name": "ScriptTask", "script": [f"touch {canary.path()}"]}
    yield factory.make("hidden in a value", innocent=evil)
    yield factory.make("hidden deeper", innocent={"a": [1, {"b": [script]}]})
    yield factory.make("hidden in parameters", _tasks=[{**HARMLESS, "parameters": {"campaign": evil}}])
    monty = {"@module": "canary_module", "@class": "Task"}
    yield factory.make("hidden for monty", _tasks=[{**HARMLESS, "parameters": monty}])


def _acting_keys(factory: _Factory, canary: Canary) -> Iterator[Hostile]:
    bait, copied = canary.path("bait"), canary.path("copied")
    keys: dict[str, Any] = {
        "_launch_dir": canary.path("made"),
        "_files_in": {"a": copied},
        "_files_out": {"a": bait},
        "_files_prev": {"a": bait},
        "_recovery": {"_prev_dir": str(canary.folder), "_mode": "cp", "_task_n": 0},
        "_trackers": [{"filename": bait, "nlines": 10}],
        "_background_tasks": [{"_fw_name": "BackgroundTask", "tasks": [HARMLESS]}],
        "_dupefinder": {"_fw_name": "DupeFinderExact"},
        "_add_launchpad_and_fw_id": True,
        "_add_fworker": True,
        "_pass_job_info": True,
        "_queueadapter": {"pre_rocket": f"touch {canary.path()}"},
    }
    for name, value in keys.items():
        yield factory.make(f"key {name}", **{name: value})
    yield factory.make("key files in and prev", _files_in={"a": copied}, _files_prev={"a": bait})


def _malformed_fields(factory: _Factory) -> Iterator[Hostile]:
    for index, priority in enumerate(["9", [1], {"a": 1}, True, "\x1b[31m"]):
        yield factory.make(f"priority {index}", _priority=priority)
    yield factory.make("priority nan", _priority=math.nan, _tasks=[{}])
    numbers: list[Any] = [None, "1", -5, 1.5, [77], {"a": 1}, False]
    for index, number in enumerate(numbers):
        one = factory.make(f"number {index}")
        one.firework["fw_id"] = number
        yield one
    for name in ("launches", "archived_launches"):
        for index, value in enumerate(["abc", None, [None], ["x"], {"a": 1}]):
            one = factory.make(f"{name} {index}")
            one.firework[name] = value
            yield one
    for index, spec in enumerate(["text", [], None, 5, ["_tasks"]]):
        one = factory.make(f"spec {index}")
        one.firework["spec"] = spec
        yield one
    missing = factory.make("spec missing")
    del missing.firework["spec"]
    yield missing


def _malformed_workflows(factory: _Factory) -> Iterator[Hostile]:
    orphan = factory.make("workflow missing")
    orphan.workflow = None
    yield orphan
    changes: dict[str, Document] = {
        "links text": {"links": "all"},
        "links to nothing": {"links": {"9999999": [9999998]}},
        "links of text": {"links": {"first": ["second"]}},
        "states list": {"fw_states": ["READY"]},
        "nodes beyond": {"nodes": None},
    }
    for name, change in changes.items():
        one = factory.make(f"workflow {name}")
        assert one.workflow is not None
        number = one.firework["fw_id"]
        one.workflow |= {"nodes": [number, number + 500_000]} if name == "nodes beyond" else change
        yield one
    circle = factory.make("workflow circle")
    assert circle.workflow is not None
    number = circle.firework["fw_id"]
    circle.workflow |= {"links": {str(number): [number]}, "parent_links": {str(number): [number]}}
    yield circle


def _hostile_launches(factory: _Factory, canary: Canary) -> Iterator[Hostile]:
    evil = {"spec": {"_tasks": [{"_fw_name": "{{canary_module.Task}}"}]}, "fw_id": -1, "name": "evil"}
    actions: dict[str, Any] = {
        "detour": {"detours": [{"fws": [evil], "links": {}, "name": "x", "metadata": {}}]},
        "addition": {"additions": [evil]},
        "stored": {"stored_data": {"a": {"_fw_name": "{{canary_module.Task}}"}}},
        "text": "action",
    }
    base = {"stored_data": {}, "exit": False, "update_spec": {}, "mod_spec": [], "additions": [], "detours": []}
    for name, action in actions.items():
        one = factory.make(f"launch {name}")
        number = one.firework["fw_id"]
        one.firework["launches"] = [number]
        whole = {**base, "defuse_children": False, **action} if isinstance(action, dict) else action
        one.launches.append(
            {
                "_id": ObjectId(),
                "launch_id": number,
                "fw_id": number,
                "state": "COMPLETED",
                "launch_dir": "/",
                "fworker": {"name": "x", "category": "", "query": "{}", "env": {}},
                "action": whole,
                "trackers": [],
                "state_history": [],
                "host": "x",
                "ip": "x",
            }
        )
        yield one


def _wrong_parameters(factory: _Factory, canary: Canary) -> Iterator[Hostile]:
    place = {"campaign": factory.campaign, "generation": 0}
    escape = "../../../../../../../../../.." + canary.path("escaped")
    command = {"engine": "command", "executable": f"touch {canary.path()}"}
    parameters: dict[str, tuple[str, Any]] = {
        "text": ("conclude", "text"),
        "list": ("conclude", [1, 2]),
        "nothing": ("label", None),
        "unknown key": ("conclude", {**place, "shell": "touch"}),
        "generation text": ("conclude", {**place, "generation": "0; touch"}),
        "configuration escapes": ("label", {**place, "configuration": escape, "engine": command}),
        "data set escapes": ("conclude", {**place, "data_set": escape}),
        "model escapes": ("sample", {**place, "model": escape, "model_kind": "gap"}),
        "fit escapes": ("fit", {**place, "model": escape, "kind": "gap"}),
        "engine unknown": ("label", {**place, "configuration": "x", "engine": {"engine": "bash"}}),
    }
    for name, (task, given) in parameters.items():
        yield factory.make(f"parameters {name}", _tasks=[{"_fw_name": f"ionloop.{task}", "parameters": given}])


def _extreme_documents(factory: _Factory) -> Iterator[Hostile]:
    deep: Any = "end"
    for _ in range(80):
        deep = {"a": deep}
    yield factory.make("deep", innocent=deep)
    yield factory.make("large", innocent="x" * 9_000_000)
    yield factory.make("many tasks", _tasks=[{"_fw_name": "PyTask"}] * 5_000)
    yield factory.make("control characters", key="hostile/\x1b[2J\x00\u202e", campaign=factory.campaign)
    strange = factory.make("strange keys")
    strange.firework["spec"] |= {"": 1, "\u202e": 2, "a b": 3, "x" * 5_000: 4}
    yield strange
    foreign = factory.make("campaign table", campaign={"$ne": None})
    yield foreign
