"""Terminals of any width and alphabet, and pipes."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from ase.build import molecule
from ase.calculators.emt import EMT

from ionloop.cli.console import progress as progress_module
from ionloop.cli.console.progress import counting, progress
from ionloop.cli.console.terminal import make_console

LONG = "/a/path/" + "that/is/not/to/be/folded/" * 8
PRINTS = f"""
from ionloop.cli.console.boundary import run_guarded
from ionloop.cli.console.terminal import make_console
raise SystemExit(run_guarded(lambda: make_console().print("5 Å σ × {LONG}")))
"""


@pytest.mark.parametrize("columns", ["", "0", "abc", "-5", "60"])
def test_a_pipe_folds_nothing(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    make_console().print(LONG)
    assert capsys.readouterr().out == LONG + "\n"


def test_a_width_that_somebody_names_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert make_console(force_terminal=True).width == 60


@pytest.mark.parametrize("columns", ["0", "3"])
def test_a_terminal_that_says_nonsense_has_eighty_columns(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert make_console(force_terminal=True).width == 80


def test_what_an_alphabet_lacks_is_written_in_plain_letters(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    (tmp_path / "prints.py").write_text(PRINTS, encoding="utf-8")
    done = subprocess.run([sys.executable, "prints.py"], env=environment, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii") == f"5 A sigma x {LONG}\n"


def on_a_terminal(words: list[str], **environment: str) -> tuple[int, str]:
    """Run `ionloop` on a terminal of its own; return its exit status and all that the terminal got."""
    child, descriptor = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "ionloop.cli", *words], {**os.environ, **environment})
    seen = b""
    # A terminal whose last user has gone gives an error instead of an end.
    with suppress(OSError), os.fdopen(descriptor, "rb", buffering=0) as terminal:
        while part := terminal.read(65536):
            seen += part
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


@pytest.mark.parametrize(
    ("environment", "escapes", "is_ascii"),
    [
        ({"TERM": "xterm-256color"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "xterm-256color", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, True, True),
    ],
    ids=["usual", "dumb", "ascii"],
)
def test_help_suits_the_terminal(environment: dict[str, str], escapes: bool, is_ascii: bool) -> None:
    status, seen = on_a_terminal(["init", "--help"], **environment)
    assert status == 0
    assert "Write a commented" in seen
    assert ("\x1b" in seen) is escapes
    assert seen.isascii() is is_ascii


def test_no_color_is_heeded() -> None:
    status, seen = on_a_terminal(["init", "--help"], TERM="xterm-256color", NO_COLOR="1")
    assert status == 0
    assert not re.search(r"\x1b\[[0-9;]*3\d", seen)


def test_a_name_that_is_no_text_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "ionloop.cli", "check", b"\xff.yaml"], capture_output=True)
    assert done.returncode == 2
    assert b"does not exist" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell: str) -> None:
    asked = {
        "_IONLOOP_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "ionloop sch",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "ionloop sch",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    command = [sys.executable, "-m", "ionloop.cli"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True)
    assert "schema" in done.stdout
    assert "status" not in done.stdout


def test_progress_of_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work") as tell:
        tell(1, 2, "now")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "")


def test_progress_in_a_log_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = iter([0.0, 1.0, 11.0, 12.0, 25.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(moments))
    with progress("work") as tell:
        for done in range(4):
            tell(done, 4, "[rows]")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "work: [rows], 1 of 4\nwork: [rows], 3 of 4\n"


def test_progress_on_a_terminal_is_gone_when_the_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = make_console(force_terminal=True, file=shown, _environ={"TERM": "xterm"})
    monkeypatch.setattr(progress_module, "make_console", lambda **_: console)
    monkeypatch.setattr(progress_module, "_QUICK_S", 0.0)
    monkeypatch.setattr(progress_module, "_BETWEEN_S", 0.0)
    with progress("work") as tell:
        tell(1, 4, "rows")
    assert "work: rows" in shown.getvalue()
    assert "1/4" in shown.getvalue()
    written = len(shown.getvalue())
    tell(2, 4, "rows")
    assert len(shown.getvalue()) == written


def test_a_calculator_tells_how_often_it_was_asked() -> None:
    told: list[tuple[int | None, str]] = []
    atoms = molecule("N2")
    atoms.calc = counting(EMT(), lambda done=None, total=None, stage="": told.append((done, stage)))
    expected = atoms.get_potential_energy()
    atoms.rattle(0.1)
    assert atoms.get_potential_energy() != expected
    assert told == [(1, "evaluations"), (2, "evaluations")]
