"""`ionloop doctor` and the checks behind it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ionloop.cli import run_command_line
from ionloop.cli.console import environment
from ionloop.cli.console.environment import Status
from ionloop.core.errors import InputError
from ionloop.store.connection import open_store
from ionloop.store.embedded import location


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IONLOOP_STORE", raising=False)


# Importing every dependency is the check; what third parties warn of while they are imported is not ours.
@pytest.mark.filterwarnings("ignore")
def test_a_healthy_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    names = [check["name"] for check in told["checks"]]
    assert {"python", "ase", "quippy-ase", "gap_fit", "engine gfn1-xtb", "cores", "memory", "disk", "store"} <= set(
        names
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore")
def test_a_missing_gap_fit_is_told_with_advice_and_missed_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ionloop.fitting import gap_fit

    def missing() -> Path:
        raise InputError("no gap_fit executable")

    monkeypatch.setattr(gap_fit, "find_executable", missing)
    monkeypatch.setenv("COLUMNS", "400")
    assert run_command_line(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "warning gap_fit" in " ".join(told.split())
    assert "pip install" in told
    assert environment.check_gap_fit(needed=True).status is Status.FAILED


def test_a_missing_package_is_told() -> None:
    check = environment.check_package("no-such-distribution")
    assert check.status is Status.FAILED
    assert "no-such-distribution" in check.advice


def test_a_broken_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_thing.py").write_text("raise OSError('libgfortran.so.5: cannot open')\n")
    (tmp_path / "broken_thing-1.0.dist-info").mkdir()
    (tmp_path / "broken_thing-1.0.dist-info" / "METADATA").write_text("Name: broken_thing\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    check = environment.check_package("broken_thing")
    assert check.status is Status.FAILED
    assert "libgfortran" in check.found


def test_a_store_in_a_folder_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(environment.tempfile, "TemporaryFile", refused)
    check = environment.check_store(str(tmp_path / "ionloop.db"))
    assert check.status is Status.FAILED
    assert "Permission denied" in check.found


@pytest.mark.parametrize("kind", ["nfs4", "glusterfs", "beegfs_nodev", "9p", "gpfs", "fuse.sshfs", "smb3", "lustre"])
def test_where_the_store_would_refuse_a_network_file_system_so_does_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(location, "_MOUNTS", mounts)
    (tmp_path / "below").mkdir()
    store = str(tmp_path / "below" / "ionloop.db")
    check = environment.check_store(store)
    assert check.status is Status.FAILED
    assert kind in check.found
    with pytest.raises(InputError, match=kind):
        open_store(store)


def test_a_server_that_does_not_answer_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "SERVER_TIMEOUT_MS", 50)
    check = environment.check_store("mongodb://user:secret@127.0.0.1:1/ionloop")
    assert check.status is Status.FAILED
    assert "secret" not in check.found + check.advice
    assert "127.0.0.1" in check.found


@pytest.mark.parametrize("location", ["mongodb://", "mongodb://host:port"])
def test_a_malformed_server_address_is_told(location: str) -> None:
    assert environment.check_store(location).status is Status.FAILED


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert environment.existing_parent(tmp_path / "a" / "b") == tmp_path
    # The store would not be made there, so that the check must not say so.
    assert environment.check_store(str(tmp_path / "a" / "b.db")).status is Status.FAILED
