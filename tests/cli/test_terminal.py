"""Terminals of any width and alphabet, and pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_what_an_alphabet_lacks_is_replaced(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    (tmp_path / "prints.py").write_text(PRINTS, encoding="utf-8")
    done = subprocess.run([sys.executable, "prints.py"], env=environment, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii") == f"5 ? ? ? {LONG}\n"
