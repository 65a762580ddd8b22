"""A disk that fills up in the middle of a campaign: a clear error, nothing lost, and the run carries on."""

from __future__ import annotations

import subprocess

import pytest

from ionloop.cli import run_command_line
from ionloop.core.errors import MachineAtFault

SMALL = "700k"
LARGE = "64m"
TIMEOUT_S = 240


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, which only root can make."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_disk_is_named_and_more_room_lets_the_campaign_finish(small_disk, runner):
    file = runner.prepare(small_disk)
    with (small_disk.parent / "output").open("w+b") as output:
        process = runner.start(file, output)
        status = process.wait(TIMEOUT_S)
        output.seek(0)
        text = output.read().decode()
    assert status == MachineAtFault.exit_status, text
    assert "no space left" in text.lower()
    assert "Traceback" not in text
    assert "same command" in text
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", small_disk], check=True)
    runner.finish(file)


def test_a_folder_that_cannot_be_written_is_named_before_anything_starts(tmp_path, runner, capsys):
    file = runner.prepare(tmp_path / "campaign")
    status = run_command_line(["run", str(file), "--workers", "2", "--store", "/proc/ionloop.db"])
    text = "".join(capsys.readouterr())
    assert status == 2, text
    assert "/proc" in text
    assert "Traceback" not in text
    assert not (file.parent / "ionloop-files").exists()
    assert {path.name for path in file.parent.iterdir()} == {"campaign.yaml", "structure.extxyz"}
