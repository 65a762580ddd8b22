"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from ionloop.core.errors import InputError, IonloopError
from ionloop.core.files import OPEN, PRIVATE, atomic_file, explain_os_error, replacement, sha256_of, write_whole

KILLED_HALFWAY = """
import os, signal, sys
from pathlib import Path
from ionloop.core.files import replacement

with replacement(Path(sys.argv[1]), alone=sys.argv[2] == "alone") as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("alone", [True, False])
def test_a_killed_writer_leaves_the_old_content_and_hinders_nobody(tmp_path, alone):
    path = tmp_path / "band.npz"
    path.write_text("old")
    for _ in range(2):
        arguments = [sys.executable, "-c", KILLED_HALFWAY, str(path), "alone" if alone else "many"]
        assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    # What one who writes alone leaves is written over, not added to.
    assert len(list(tmp_path.iterdir())) == (2 if alone else 3)
    write_whole(path, "new", alone=alone)
    assert path.read_text() == "new"


def test_the_temporary_file_has_the_ending_that_writers_go_by(tmp_path):
    with replacement(tmp_path / "bands.npz") as temporary:
        assert temporary.suffix == ".npz"
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")


@pytest.mark.parametrize(("rights", "expected"), [(OPEN, 0o640), (PRIVATE, 0o600), (0o700, 0o700)])
def test_others_may_read_a_file_as_its_rights_and_the_umask_say(tmp_path, rights, expected):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", "text", rights=rights)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected


def test_a_link_that_somebody_laid_in_the_way_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("old")
    (tmp_path / ".file.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        write_whole(tmp_path / "file", "new", alone=True)
    assert victim.read_text() == "old"


def test_texts_are_written_in_utf_8(tmp_path):
    write_whole(tmp_path / "file", "Å")
    assert (tmp_path / "file").read_bytes() == b"\xc3\x85"
    # printf "Å" | sha256sum
    assert sha256_of(tmp_path / "file").startswith("0a94dc9d420d1142")


@pytest.mark.parametrize(
    ("number", "error_type", "words"),
    [
        (errno.ENOSPC, IonloopError, "no space left"),
        (errno.EACCES, InputError, "not writable"),
        (errno.EROFS, InputError, "not writable"),
        (errno.EIO, IonloopError, "output"),
    ],
)
def test_disk_errors_are_explained(tmp_path, number, error_type, words):
    error = explain_os_error(OSError(number, "Input/output error"), tmp_path)
    assert type(error) is error_type
    assert words in str(error)
    assert str(tmp_path) in str(error)


def test_a_full_disk_is_told_with_the_path(tmp_path):
    with pytest.raises(IonloopError, match=f"{tmp_path}/file: no space left"), atomic_file(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
