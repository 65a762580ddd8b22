"""Which folder a store's files are in, whatever moves; what may only be read; what is no store."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ionloop.core.errors import InputError
from ionloop.store.care.verification import verify_store
from ionloop.store.connection import open_store, plain_location
from ionloop.store.embedded import database_file
from ionloop.store.home import MARK
from ionloop.store.records import SCHEMA_VERSION, RecordUnreadable
from ionloop.workflows.watching.status import campaign_status


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished_store) -> Path:
    """A folder with a store and its files in the folder ``elsewhere`` beside it."""
    monkeypatch.delenv("IONLOOP_ROOT", raising=False)
    database, root = Path(finished_store.location), finished_store.root
    finished_store.close()
    folder = tmp_path / "place"
    folder.mkdir()
    shutil.copy(database, folder / "ionloop.db")
    shutil.copytree(root, folder / "elsewhere")
    opened = open_store(str(folder / "ionloop.db"), root=root)
    opened.database.home.delete_many({})
    opened.close()
    (folder / "elsewhere" / MARK).unlink(missing_ok=True)
    open_store(str(folder / "ionloop.db"), root=folder / "elsewhere").close()
    return folder


def test_the_folder_is_remembered_and_another_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = str(place / "ionloop.db")
    for read_only in (True, False):
        opened = open_store(database, read_only=read_only)
        assert opened.root == place / "elsewhere"
        opened.close()
    with pytest.raises(InputError, match="--root"):
        open_store(database, root=place / "typo")
    assert not (place / "typo").exists()
    # Who runs jobs names it.
    with pytest.raises(InputError, match="elsewhere"):
        open_store(database, guess_root=False)
    monkeypatch.setenv("IONLOOP_ROOT", str(place / "elsewhere"))
    open_store(database, guess_root=False).close()
    monkeypatch.setenv("IONLOOP_ROOT", str(place / "other"))
    with pytest.raises(InputError, match="elsewhere"):
        open_store(database, read_only=True)


@pytest.mark.parametrize("how", ["renamed", "copied", "linked", "linked file"])
def test_moved_as_a_whole_it_is_the_same_store(place: Path, tmp_path: Path, how: str) -> None:
    moved = tmp_path / "moved"
    if how == "renamed":
        place.rename(moved)
    elif how == "copied":
        shutil.copytree(place, moved)
    elif how == "linked":
        moved.symlink_to(place)
    else:
        moved.mkdir()
        (moved / "ionloop.db").symlink_to(place / "ionloop.db")
    opened = open_store(str(moved / "ionloop.db"))
    assert [line for line in verify_store(opened).problems if not line.startswith("jobs:")] == []
    wanted = moved if how in ("renamed", "copied") else place
    assert opened.root.samefile(wanted / "elsewhere")
    opened.close()


def test_a_folder_that_moved_alone_is_known_by_its_mark_and_a_foreign_one_is_not(place: Path, tmp_path: Path) -> None:
    (place / "elsewhere").rename(tmp_path / "there")
    database = str(place / "ionloop.db")
    with pytest.raises(InputError, match="name files that are not in"):
        open_store(database, root=tmp_path / "nothing")
    open_store(str(tmp_path / "second.db"), root=tmp_path / "of the second").close()
    with pytest.raises(InputError, match="another store"):
        open_store(database, root=tmp_path / "of the second")
    open_store(database, root=tmp_path / "there").close()
    opened = open_store(database)
    assert opened.root == tmp_path / "there"
    opened.close()


def contents(folder: Path) -> set[tuple[str, int]]:
    return {(path.name, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize("with_log", [False, True])
def test_a_store_that_may_only_be_read_is_read_and_nothing_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, with_log: bool
) -> None:
    database = place / "ionloop.db"
    if with_log:
        # What a killed process leaves: a log, and no index of it.
        opened = open_store(str(database))
        opened.database.campaigns.update_many({}, {"$set": {"reason": "from the log"}})
        log = (place / "ionloop.db-wal").read_bytes()
        before = database.read_bytes()
        opened.close()
        database.write_bytes(before)
        (place / "ionloop.db-wal").write_bytes(log)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: not mode & os.W_OK and allowed(path, mode, **more))
    if not with_log:
        with pytest.raises(InputError, match="not writable"):
            open_store(str(database))
        before_reading = contents(place)
    opened = open_store(str(database), read_only=True)
    assert campaign_status(opened, "small").name == "small"
    if with_log:
        assert next(iter(opened.campaigns.find())).reason == "from the log"
    with pytest.raises(InputError, match="reading only"):
        opened.database.campaigns.update_many({}, {"$set": {"reason": "x"}})
    opened.close()
    if not with_log:
        assert contents(place) == before_reading


def test_who_reads_sees_what_was_written_since(place: Path) -> None:
    reader = open_store(str(place / "ionloop.db"), read_only=True)
    writer = open_store(str(place / "ionloop.db"))
    writer.database.campaigns.update_many({}, {"$set": {"reason": "new"}})
    assert next(iter(reader.campaigns.find())).reason == "new"
    writer.close()
    reader.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty file"), (b"SQLite format 3", "cut off"), (b"name: mini", "not a store"), (None, "cut off")],
)
def test_what_is_no_store_is_told(place: Path, content: bytes | None, message: str) -> None:
    database = place / "ionloop.db"
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) // 2] if content is None else content)
    (place / "ionloop-files").mkdir()
    for options in ({"read_only": True}, {"must_exist": True}, {}):
        with pytest.raises(InputError, match=message):
            open_store(str(database), **options)


def test_verify_tells_an_empty_store_and_a_lost_log(place: Path, tmp_path: Path) -> None:
    open_store(str(tmp_path / "new.db")).close()
    opened = open_store(str(tmp_path / "new.db"), read_only=True)
    assert "empty store" in " ".join(verify_store(opened).problems)
    opened.close()
    (place / "ionloop.db-shm").write_bytes(b"")
    opened = open_store(str(place / "ionloop.db"), read_only=True)
    assert "ionloop.db-wal" in " ".join(verify_store(opened).problems)
    opened.close()


def test_what_was_written_is_soon_in_the_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_file, "CHECKPOINT_EVERY_S", 0.0)
    opened = open_store(str(tmp_path / "ionloop.db"))
    opened.database.things.insert_one({"_id": 1})
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "ionloop.db", tmp_path / "copy" / "ionloop.db")
    copy = open_store(str(tmp_path / "copy" / "ionloop.db"), read_only=True, root=tmp_path / "ionloop-files")
    assert copy.database.things.count_documents({}) == 1
    copy.close()
    opened.close()


def test_a_record_of_a_newer_version_is_told_as_such(place: Path) -> None:
    opened = open_store(str(place / "ionloop.db"))
    change = {"$set": {"schema_version": SCHEMA_VERSION + 1, "soul": "new"}}
    opened.database.campaigns.update_many({}, change)
    with pytest.raises(RecordUnreadable, match="newer version") as error:
        campaign_status(opened, "small")
    assert error.value.exit_status == 2
    assert "newer version" in " ".join(verify_store(opened).problems)
    opened.close()


@pytest.mark.parametrize(
    ("location", "hint"),
    [("mongo://host/db", "mongodb://host/db"), ("sqlite:///x.db", "x.db"), ("postgres://host", "allowed")],
)
def test_addresses_of_other_programs_are_explained(location: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        open_store(location)


def test_the_home_folder_may_be_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plain_location("~/x.db") == str(tmp_path / "x.db")
    assert plain_location("mongodb://host/~") == "mongodb://host/~"
