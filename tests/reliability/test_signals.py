"""Whoever ends `ionloop run`, by Ctrl-C, kill or by closing the terminal, finds it as he would have left it himself."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from small_campaign import prepare

from ionloop.store.connection import open_store

# What it puts in order is tested with every run of the suite in tests/cli/test_boundary.py.
pytestmark = pytest.mark.slow
LIMIT_S = 90.0
HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"


def start_on_terminal(file: Path, ignored: tuple[signal.Signals, ...] = ()) -> tuple[subprocess.Popen[bytes], int]:
    """Start a campaign on a terminal of its own; return the process and our end of the terminal."""
    ours, theirs = pty.openpty()
    # How signals are taken is inherited, also from a shell that runs these tests in the background.
    code = "import os, signal, sys\n"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        code += f"signal.signal({int(number)}, signal.{'SIG_IGN' if number in ignored else 'SIG_DFL'})\n"
    code += "os.execv(sys.executable, [sys.executable, '-m', 'ionloop.cli', 'run', *sys.argv[1:]])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(file), "--workers", "1"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    return process, ours


def read(terminal: int, until: bytes = b"", seen: bytes = b"") -> bytes:
    """Return what is written on a terminal until it holds some bytes, or its other end is closed."""
    end = time.monotonic() + LIMIT_S
    while not until or until not in seen:
        assert time.monotonic() < end, seen.decode(errors="replace")
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
    return seen


def check_that_it_was_put_back(file: Path) -> None:
    store = open_store(str(file.parent / "ionloop.db"), must_exist=True)
    assert store.database.fireworks.count_documents({"state": "RUNNING"}) == 0
    assert [worker["state"] for worker in store.workers.find()] == ["ended"]
    assert [loss["cause"] for loss in store.database.losses.find()] == ["asked to leave"]
    store.close()


@pytest.fixture
def slow_campaign(tmp_path: Path) -> Path:
    file = prepare(tmp_path)
    (tmp_path / "engine.sh").write_text("sleep 600 & wait $!\n")
    engine = f'reference: {{engine: command, executable: "bash {tmp_path}/engine.sh"}}\n'
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(engine if line.startswith("reference:") else line for line in lines))
    return file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda one: one.name)
def test_a_signal_is_taken_like_ctrl_c(slow_campaign, number):
    process, terminal = start_on_terminal(slow_campaign)
    seen = read(terminal, b"running")
    process.send_signal(number)
    seen = read(terminal, seen=seen)
    assert process.wait(LIMIT_S) == 128 + number
    assert seen.count(HIDDEN) == seen.count(SHOWN) == 1
    text = seen.decode(errors="replace")
    assert f"Carry on with: ionloop run {slow_campaign}" in text
    assert "Traceback" not in text
    check_that_it_was_put_back(slow_campaign)
    os.close(terminal)


def test_closing_the_terminal_ends_the_run_in_order_but_not_under_nohup(slow_campaign):
    process, terminal = start_on_terminal(slow_campaign, ignored=(signal.SIGHUP, signal.SIGINT))
    read(terminal, b"running")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)
    # The terminal goes, and with it whoever could read a last word.
    os.close(terminal)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT_S) == 128 + signal.SIGTERM
    check_that_it_was_put_back(slow_campaign)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 0)
        pytest.fail("something of the run lives on")
