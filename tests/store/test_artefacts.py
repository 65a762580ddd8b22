from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.store.artefacts import ArtefactStore


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
