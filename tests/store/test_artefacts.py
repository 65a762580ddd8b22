import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.core.errors import InputError, IonloopError
from ionloop.store.artefacts import ArtefactStore, atomic_file, explain_os_error


def test_a_file_is_whole_until_a_byte_changes(tmp_path):
    artefacts = ArtefactStore(tmp_path)
    path = artefacts.folder("models") / "gap.xml"
    path.write_text("<GAP/>")
    artefact = artefacts.register(path)
    assert artefact.path == "models/gap.xml"
    assert artefacts.is_whole(artefact)
    path.write_text("<GAp/>")
    assert not artefacts.is_whole(artefact)
    path.unlink()
    assert not artefacts.is_whole(artefact)


@given(st.lists(st.sampled_from(["..", "a", ".", "b"]), min_size=1, max_size=6))
def test_no_relative_path_leads_out_of_the_root(tmp_path_factory, parts):
    root = tmp_path_factory.mktemp("root")
    relative = Path(*parts)
    try:
        path = ArtefactStore(root).path(relative)
    except InputError as error:
        assert "leads out" in str(error)
        assert ".." in parts
    else:
        assert path.is_relative_to(root.resolve())


def test_absolute_paths_and_links_that_lead_out_are_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    artefacts = ArtefactStore(root)
    for path in ("/etc/passwd", "link/elsewhere", str(root / "a")):
        with pytest.raises(InputError, match="leads out"):
            artefacts.path(path)


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
