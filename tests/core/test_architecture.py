"""The house: who may import whom. Imports are read as Python executes them, wherever in a file they stand.

To import ``a.b.c`` is to execute ``a/__init__`` and ``a/b/__init__`` as well; what a function imports counts, and so do
the names that a package imports when they are first asked for (`core.lazy_imports`). What stands under
``TYPE_CHECKING`` is never executed: it closes no circle, but points upward no more than the rest.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from source_code import CHECKOUT, PACKAGE, modules_below, parsed, statements
from source_code import house as house_of

FLOORS = (
    ("core",),
    ("fitting",),
    ("sampling", "labelling"),
    ("analysis",),
    ("store",),
    ("tasks",),
    ("workflows",),
    ("deploy",),
    ("cli",),
)
"""From the ground up; rooms of one floor do not know each other."""
WORKFLOW_ROOMS = (
    "campaign",
    "graph",
    "analyses",
    "loop",
    "studies",
    "submission",
    "queue.schedulers",
    "running",
    "queue",
    "watching",
    "report",
    "survey",
    "exchange",
    "notebooks",
)
"""From the bottom to the top of the workflows' floor."""
BEHIND_THE_DOOR = frozenset(
    {
        *("fireworks", "launches", "workflows"),
        *("FIZZLED", "DEFUSED", "COMPLETED", "RUNNING", "READY", "WAITING", "RESERVED", "ARCHIVED", "PAUSED"),
        *("fw_id", "launch_id", "archived_launches", "state_history", "fworker", "fw_states", "links", "nodes"),
        *("spec", "_tasks", "_priority", "_allow_fizzled_parents", "_fizzled_parents", "_exception_details"),
    }
)
"""FireWorks' names of collections, states and keys; only `store` knows them."""
SPEAK_OF_OTHERS = frozenset({"ionloop.workflows.queue.schedulers.slurm"})
"""SLURM has states of the same names."""
MOST_FILES_OF_A_FOLDER = 20
MOST_LINES_OF_A_FILE = 600


@dataclass(frozen=True, order=True)
class Import:
    """A module that another imports.

    Attributes
    ----------
    is_named
        Not one of the packages that it lies in.
    is_executed
        Not only for types.
    """

    source: str
    target: str
    line: int
    is_named: bool
    is_executed: bool

    def __str__(self) -> str:
        return f"{self.source} imports {self.target} (line {self.line})"


class ImportReader:
    """Reads the imports of a set of modules among each other."""

    def __init__(self, modules: Mapping[str, Path]) -> None:
        self.modules = modules
        self.trees = {name: parsed(file) for name, file in modules.items()}
        self.lazy = {name: dict(self._lazy_names(name)) for name in modules}

    def imports(self) -> Iterator[Import]:
        """Yield every import, but for those of a package that is being imported already."""
        for source, tree in self.trees.items():
            unexecuted = {id(node) for node in statements(_for_types(tree))}
            for node in statements(tree.body):
                for name in self._targets(source, node):
                    for target in self._executed_by(name):
                        if target != source and not source.startswith(f"{target}."):
                            yield Import(source, target, node.lineno, target == name, id(node) not in unexecuted)

    def _targets(self, source: str, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._absolute(source, node.level, node.module)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in self.modules else self.lazy.get(base, {}).get(alias.name, base)

    def _absolute(self, source: str, level: int, module: str | None) -> str:
        if level == 0:
            return module or ""
        is_package = self.modules[source].name == "__init__.py"
        parts = source.split(".")
        base = parts[: len(parts) - level + is_package]
        return ".".join((*base, *([module] if module else [])))

    def _executed_by(self, name: str) -> Iterator[str]:
        parts = name.split(".")
        yield from (one for length in range(1, len(parts) + 1) if (one := ".".join(parts[:length])) in self.modules)

    def _lazy_names(self, package: str) -> Iterator[tuple[str, str]]:
        for node in self.trees[package].body:
            call = getattr(node, "value", None)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "lazy_exports":
                for module, names in ast.literal_eval(call.args[1]).items():
                    yield from ((name, f"{package}.{module}") for name in names)


def _for_types(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in statements(tree.body):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from node.body


def circle(imports: list[Import]) -> list[str]:
    """Return the modules of a circle, the first again at its end; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        if one.is_executed:
            graph.setdefault(one.source, set()).add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


@pytest.fixture(scope="module")
def house() -> dict[str, Path]:
    return house_of(room for floor in FLOORS for room in floor)


@pytest.fixture(scope="module")
def imports(house: dict[str, Path]) -> list[Import]:
    return sorted(ImportReader(house).imports())


def level(module: str, rooms: tuple[tuple[str, ...], ...], below: str) -> tuple[int, str] | None:
    """Return how high a module's room lies and the room's name; None for what lies in none."""
    inside = module.removeprefix(f"{below}.")
    found = [
        (len(room), height, room)
        for height, floor in enumerate(rooms)
        for room in floor
        if inside == room or inside.startswith(f"{room}.")
    ]
    # A room within a room: queue.schedulers is not queue.
    return max(found)[1:] if module.startswith(f"{below}.") and found else None


def upward(imports: list[Import], rooms: tuple[tuple[str, ...], ...], below: str) -> list[str]:
    """Return the imports that lead to a higher room, or to another one at the same height."""
    wrong = []
    for one in imports:
        source, target = level(one.source, rooms, below), level(one.target, rooms, below)
        if one.is_named and source and target and source != target and target[0] >= source[0]:
            wrong.append(str(one))
    return wrong


def test_no_imports_run_in_a_circle(imports):
    assert len(imports) > 1000, "the imports were read"
    assert " -> ".join(circle(imports)) == ""


def test_lower_floors_import_no_upper_ones(imports):
    assert upward(imports, FLOORS, PACKAGE) == []


def test_lower_rooms_of_the_workflows_import_no_upper_ones(imports):
    assert upward(imports, tuple((room,) for room in WORKFLOW_ROOMS), f"{PACKAGE}.workflows") == []


def test_every_folder_is_a_room_that_is_installed(house):
    packages = {name for name, file in house.items() if file.name == "__init__.py"}
    folders = {file.parent for file in house.values()}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []
    written = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert written == sorted(packages)
    placed = {f"{PACKAGE}.workflows.{room}" for room in WORKFLOW_ROOMS}
    assert placed <= packages
    below = {name for name in packages if name.startswith(f"{PACKAGE}.workflows.")}
    # A room may have folders of its own.
    assert [name for name in sorted(below) if not any(f"{name}.".startswith(f"{room}.") for room in placed)] == []


def names_of_fireworks(tree: ast.Module) -> Iterator[str]:
    """Yield the names behind the door that a file uses, as a text or as an attribute of a database or a Firework."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in BEHIND_THE_DOOR or node.value.startswith("spec."):
                yield f"{node.value!r} (line {node.lineno})"
        elif isinstance(node, ast.Attribute) and (
            (node.attr in BEHIND_THE_DOOR and ast.unparse(node.value).endswith(("database", "launchpad")))
            or (node.attr == "spec" and ast.unparse(node.value).endswith(("firework", "fw", "job")))
        ):
            yield f"{ast.unparse(node)} (line {node.lineno})"


def test_fireworks_stands_behind_the_stores_door(house):
    above = ("tasks", "workflows", "deploy", "cli")
    told = {
        name: found
        for name, file in house.items()
        if name.split(".")[1:2] and name.split(".")[1] in above and name not in SPEAK_OF_OTHERS
        if (found := list(names_of_fireworks(parsed(file))))
    }
    assert told == {}


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ('store.database.fireworks.find({"spec.campaign": name})', 2),
        ('store.database["launches"]', 1),
        ('job["state"] == "FIZZLED"', 1),
        ("firework.spec['kind']", 1),
        ("# FIZZLED, spec.key", 0),
        ("from fireworks import Firework", 0),
        ("self.workflows.append(1)", 0),
    ],
)
def test_names_behind_the_door_are_seen(line, count):
    assert len(list(names_of_fireworks(ast.parse(line)))) == count


def test_no_folder_holds_more_files_than_one_overlooks():
    rooms = [room for floor in FLOORS for room in floor]
    files = [file for room in (*rooms, "tests", "examples", "benchmarks") for file in (CHECKOUT / room).rglob("*.py")]
    counts = {folder: sum(file.parent == folder for file in files) for folder in {file.parent for file in files}}
    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES_OF_A_FOLDER} == {}


def test_no_file_is_longer_than_one_reads(house):
    lengths = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in house.items()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == {}


PACKAGES = {
    "a/__init__.py": "from .low import x",
    "a/low.py": "x = 1",
    "a/high.py": "",
    "b/__init__.py": "",
    "b/low.py": "",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, False, id="a package that hands on a name"),
        pytest.param(
            {"b/low.py": "import p.a.high", "a/high.py": "import p.b"}, False, id="the package, not its module"
        ),
        pytest.param({"b/low.py": "import p.a.high", "a/low.py": "from .. import b"}, False, id="another module of it"),
        pytest.param({"b/low.py": "from ..a import high", "a/high.py": "from ..b import low"}, True, id="two modules"),
        pytest.param({"b/low.py": "import p.a.high", "a/low.py": "import p.b.low"}, True, id="by the package's file"),
        pytest.param(
            {"b/low.py": "def f():\n from p.a import x", "a/low.py": "import p.b.low"}, True, id="in a function"
        ),
        pytest.param(
            {"b/low.py": "if TYPE_CHECKING:\n from p.a import x", "a/low.py": "import p.b.low"}, False, id="for types"
        ),
        pytest.param(
            {
                "b/__init__.py": "__getattr__ = lazy_exports(__name__, {'low': ('y',)})",
                "b/low.py": "import p.a.high",
                "a/high.py": "from ..b import y",
            },
            True,
            id="by a name that is imported when it is asked for",
        ),
    ],
)
def test_a_circle_is_found_as_python_would_run_into_it(tmp_path, files, expected):
    for name, text in {"__init__.py": "", **PACKAGES, **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert bool(circle(list(ImportReader(modules_below(tmp_path, "p")).imports()))) is expected


def test_imports_for_types_point_upward_no_more_than_others(tmp_path):
    for name, text in {"core/low.py": "if TYPE_CHECKING:\n from ..cli import high", "cli/high.py": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for folder in (tmp_path, tmp_path / "core", tmp_path / "cli"):
        (folder / "__init__.py").write_text("")
    found = list(ImportReader(modules_below(tmp_path, PACKAGE)).imports())
    assert upward(found, FLOORS, PACKAGE) == ["ionloop.core.low imports ionloop.cli.high (line 2)"]
    assert circle(found) == []
