"""The README and the documentation: their code runs, the commands they name exist, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from ionloop.cli import app
from ionloop.sampling.structures.crystals import build_crystal

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
MAKE_TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def examples(pattern: re.Pattern[str]) -> list:
    return [
        pytest.param(block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, block in enumerate(pattern.findall(page.read_text()))
    ]


@pytest.mark.parametrize("code", examples(PYTHON))
def test_every_python_example_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # An example may speak of `atoms` without saying where they came from.
    exec(compile(code, "example", "exec", dont_inherit=True), {"atoms": build_crystal("gamma-li3ps4")})


def command_lines() -> list[str]:
    lines = [line for page in PAGES for block in CONSOLE.findall(page.read_text()) for line in block.splitlines()]
    return [line.removeprefix("$ ").split("#")[0].strip() for line in lines if line.startswith("$ ")]


def test_every_command_and_option_in_the_examples_exists():
    commands = typer.main.get_command(app).commands
    lines = command_lines()
    assert any(line.startswith("ionloop run") for line in lines)
    for line in lines:
        program, *words = line.removesuffix("&").split()
        if program == "make":
            assert set(words) <= set(MAKE_TARGETS), line
        elif program == "ionloop":
            command = commands[words[0]]
            if hasattr(command, "commands"):
                command = command.commands[words[1]]
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word.split("=")[0] for word in words if word.startswith("-")} <= options, line
        else:
            assert program in {"python", "cd", "git"}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_module_says_what_it_is_for():
    folders = ("analysis", "cli", "fitting", "labelling", "sampling", "store", "tasks", "workflows")
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            first = path.read_text().lstrip()
            assert first.startswith('"""'), path.relative_to(ROOT)


def test_the_lower_floors_never_import_the_upper_ones():
    floors = [
        {"errors", "states"},
        {"fitting"},
        {"labelling", "sampling", "analysis"},
        {"store"},
        {"tasks"},
        {"workflows"},
        {"cli"},
    ]
    height = {name: level for level, names in enumerate(floors) for name in names}
    for folder, level in height.items():
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"^\s*from \.\.+(\w+)", path.read_text(), re.MULTILINE):
                if name in height:
                    assert height[name] <= level, f"{path.relative_to(ROOT)} imports {name}"
