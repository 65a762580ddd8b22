"""`ionloop launch --daemon`: what would end it in the background at once is told in the foreground."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_campaign import prepare

from ionloop.cli.launch import launch
from ionloop.cli.run import submit
from ionloop.core.errors import InputError
from ionloop.core.processes import process_document, process_name
from ionloop.store.connection import open_store

PROFILE = "scheduler: slurm\npoll_s: 1\nresources: {all: {kinds: [other]}}\n"


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a submitted campaign, a profile, and commands of a SLURM without jobs, of which nobody is named."""
    file = prepare(tmp_path / "campaign")
    submit(file)
    (file.parent / "profile.yaml").write_text(PROFILE)
    commands = tmp_path / "bin"
    commands.mkdir()
    invalid = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    for name, body in {"squeue": "exit 0", "sacct": "exit 1", "scontrol": invalid, "sbatch": "exit 1"}.items():
        (commands / name).write_text(f"#!/bin/bash\n{body}\n")
        (commands / name).chmod(0o700)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    for name in ("USER", "LOGNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(file.parent)
    return file.parent


def refusal(**options: str) -> str:
    with pytest.raises(InputError) as caught:
        launch(Path("profile.yaml"), max_jobs=None, once=False, daemon=True, **options)
    return str(caught.value)


def test_another_launcher_an_unknown_campaign_and_a_log_that_cannot_be_written_are_told(submitted):
    assert "unknown campaign 'smal'" in refusal(name="smal")
    store = open_store(str(submitted / "ionloop.db"))
    lease = {"_id": "slurm", "owner": process_name(os.getppid()), **process_document(os.getppid()), "at": 0.0}
    store.database.launchers.insert_one(lease)
    assert f"process {os.getppid()}" in refusal()
    store.database.launchers.delete_many({})
    (store.artefacts.folder(Path("cluster")) / "launcher.log").mkdir()
    assert "launcher.log: the launcher's log cannot be written" in refusal()
    assert store.database.launchers.find_one() is None
    store.close()


def test_a_first_look_that_fails_ends_the_foreground_with_its_words_and_status(submitted):
    (submitted.parent / "bin" / "sbatch").write_text(
        "#!/bin/bash\necho 'error: invalid partition nromal' >&2; exit 1\n"
    )
    command = [sys.executable, "-m", "ionloop.cli", "launch", "--daemon", "--cluster", "profile.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "invalid partition nromal" in done.stderr
    assert "runs as process" not in done.stdout
