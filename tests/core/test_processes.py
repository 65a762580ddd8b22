"""Names of processes: who has ended is told where numbers mean something, and never guessed elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ionloop.core import processes
from ionloop.core.processes import has_ended, has_rebooted, host_name, process_document, process_name, process_start

NAMED = (
    "import os; from ionloop.core.processes import process_name; print(process_name(os.getpid()), flush=True); input()"
)


def renamed(name: str, **parts: str) -> str:
    """Return a process's name with some of its parts changed."""
    told = dict(zip(("host", "place", "pid", "start"), name.rsplit("-", 3), strict=True))
    return "-".join({**told, **parts}.values())


def test_a_process_keeps_its_name_and_a_dead_one_is_known():
    process = subprocess.Popen([sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    name = process_name(process.pid)
    assert process.stdout.readline().strip() == name, "parent and child call it alike"
    assert has_ended(name) is False
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(name) is True, "one that nobody has waited for is dead all the same"
    process.communicate()
    assert has_ended(name) is True


def test_a_process_that_took_over_the_number_of_another_is_not_that_one():
    mine = process_name(os.getpid())
    assert has_ended(renamed(mine, start=str(int(process_start(os.getpid())) - 1))) is True


def test_a_renamed_host_is_the_same_place_and_another_container_of_the_same_name_is_not():
    mine = process_name(os.getpid())
    assert has_ended(renamed(mine, host="before.example.org")) is False
    assert has_ended(renamed(mine, host="before", pid=str(2**22 - 1))) is True
    assert has_ended(renamed(mine, place="0123456789", pid=str(2**22 - 1))) is None
    assert has_ended("gone") is has_ended("a-b-c-d") is None


def test_names_of_earlier_releases_are_understood():
    start = process_start(os.getpid())
    assert has_ended(f"{host_name()}-{os.getpid()}-{start}") is False
    assert has_ended(f"{host_name()}-{os.getpid()}-{int(start) - 1}") is True
    assert has_ended(f"elsewhere-{os.getpid()}-{start}") is None


def test_a_reboot_ended_everything_and_an_image_s_identifier_tells_nothing(monkeypatch, tmp_path):
    machine = tmp_path / "machine-id"
    machine.write_text("0123456789abcdef\n")
    monkeypatch.setattr(processes, "_MACHINE", machine)
    monkeypatch.setattr(processes, "_OUTERMOST", str(Path("/proc/self/ns/pid").readlink()))
    document = process_document(1)
    assert not has_rebooted(document)
    assert has_rebooted({**document, "boot": "another"})
    assert not has_rebooted({**document, "boot": "another", "machine": "another"})
    monkeypatch.setattr(processes, "_OUTERMOST", "pid:[1]")
    assert process_document(1)["machine"] == ""
    assert not has_rebooted({**process_document(1), "boot": "another"})
    assert not has_rebooted({"host": host_name(), "pid": 1})


@pytest.mark.parametrize("mounts", [["--mount-proc"], []], ids=["its own /proc", "the outer /proc"])
def test_a_container_counts_its_processes_anew(mounts):
    command = ["unshare", "--pid", "--fork", *mounts]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no namespace can be made here")
    code = "import os; from ionloop.core.processes import *; n = process_name(os.getpid()); print(n, has_ended(n))"
    said = subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    name, told = said.split()
    assert (name.split("-")[-2], told) == ("1", "False")
    assert has_ended(name) is None, "its number 1 is not ours"
