"""The one boundary: messages, exit statuses, the log, and never a traceback on the terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from ionloop import __version__
from ionloop.cli import run_command_line
from ionloop.cli.console.boundary import LOG_NAME, LOG_VARIABLE, run_guarded
from ionloop.core.errors import InputError, IonloopError, MachineAtFault

HEAVY = {"numpy", "scipy", "ase", "fireworks", "pymongo", "pydantic", "pandas", "plotly", "numba", "flask"}
"""Processor time that `ionloop --help` may take."""


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (IonloopError("it [failed] in /folder[1]"), 1),
        (InputError("wrong input"), 2),
        (KeyboardInterrupt(), 130),
        (SystemExit(3), 3),
        (SystemExit(None), 0),
    ],
)
def test_exit_statuses(error: BaseException, status: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_guarded(raising(error)) == status
    output = capfd.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    if isinstance(error, IonloopError):
        assert str(error) in output.err


def test_the_unexpected_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(LOG_VARIABLE, raising=False)
    assert run_guarded(raising(ZeroDivisionError("three\nlines\nlong"))) == 1
    told = capfd.readouterr().err
    assert "ZeroDivisionError: three lines long" in told
    assert str(tmp_path / LOG_NAME) in told
    assert "Traceback" not in told
    log = (tmp_path / LOG_NAME).read_text()
    assert "Traceback" in log
    assert f"ionloop {__version__}" in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_there_is_no_room_for_is_no_defect(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ionloop.cli", "--version"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == MachineAtFault.exit_status
    assert done.stderr == (
        "Error: where the output goes: no space left; free some and run the same command again, nothing is lost\n"
    )
    assert not (tmp_path / LOG_NAME).exists()


def test_a_working_directory_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run_guarded(Path.cwd) == 2
    assert "the working directory is gone" in capfd.readouterr().err


def test_the_log_goes_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = tmp_path / "chosen.log"
    monkeypatch.setenv(LOG_VARIABLE, str(chosen))
    run_guarded(raising(ValueError("first")))
    assert "first" in chosen.read_text()
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "no" / "folder.log"))
    monkeypatch.chdir(tmp_path)
    run_guarded(raising(ValueError("second")))
    assert "second" in (tmp_path / LOG_NAME).read_text()
    assert str(tmp_path / LOG_NAME) in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--version"], 0, __version__),
        (["--help"], 0, "check"),
        (["chek"], 2, "check"),
        (["check"], 2, "Missing argument"),
        (["init", "--tempalte", "demo"], 2, "--template"),
    ],
)
def test_usage(arguments: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(arguments) == status
    output = capsys.readouterr()
    assert told in output.out + output.err


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    from ionloop.cli import app

    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert run_command_line([name, "--help"]) == 0
        assert name in capsys.readouterr().out


def ionloop(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ionloop.cli", *arguments]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **options)


def test_help_comes_at_once_because_nothing_heavy_is_loaded() -> None:
    code = "import sys; from ionloop.cli import run_command_line as run; run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Usage" in done.stdout
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


def test_a_worker_waits_for_nothing_that_draws() -> None:
    code = "import sys; import ionloop.workflows.running.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "matplotlib" not in done.stdout.split()


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = ionloop("init", "--help", stdout=writer)
    os.close(writer)
    _, told = process.communicate(timeout=60)
    assert told == ""


def test_colour_is_off_where_the_user_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    process = ionloop("query", "models", "--store", str(tmp_path / "none.db"), env=environment, stdout=subprocess.PIPE)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "none.db" in told
    assert "\x1b[3" not in out + told


def test_an_interrupt_ends_with_130() -> None:
    # A shell that runs the tests in the background has them ignore Ctrl-C, and all that they start.
    script = "import signal, time\nfrom ionloop.cli.console.boundary import run_guarded\n"
    script += "signal.signal(signal.SIGINT, signal.default_int_handler)\nprint('up', flush=True)\n"
    script += "raise SystemExit(run_guarded(lambda: time.sleep(60)))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told.strip()) == (130, "Interrupted.")


@pytest.mark.parametrize(("ignored", "sent", "status"), [("", "TERM", 143), ("", "HUP", 129), ("HUP", "HUP TERM", 143)])
def test_whoever_asks_a_run_to_end_is_answered_like_ctrl_c(ignored: str, sent: str, status: int) -> None:
    # A shell that runs the tests in the background, and nohup, have signals ignored, by all that is started then.
    script = "import signal, time\nfrom ionloop.cli.console.boundary import run_guarded\n"
    script += "from ionloop.cli.console.signals import end_like_ctrl_c\n"
    script += f"signal.signal(signal.SIGHUP, signal.{'SIG_IGN' if ignored else 'SIG_DFL'})\n"
    script += "end_like_ctrl_c()\nprint('up', flush=True)\nraise SystemExit(run_guarded(lambda: time.sleep(60)))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    for name in sent.split():
        time.sleep(0.3)
        process.send_signal(signal.Signals[f"SIG{name}"])
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told.strip()) == (status, f"Ended by SIG{sent.split()[-1]}.")


@pytest.mark.parametrize("words", [["--help"], ["store", "verify", "--help"], ["fit", "-h"]])
def test_help_shows_no_type_for_what_takes_no_value(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(words) == 0
    told = capfd.readouterr().out
    assert "--help" in told
    assert "-h" in told
    assert "<bool>" not in told
