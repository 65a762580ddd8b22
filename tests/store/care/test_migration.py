"""Copies between stores: everything arrives, nothing is overwritten, an interruption costs nothing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fireworks import Firework, FWAction, FWorker, Workflow

from ionloop.core.errors import InputError, IonloopError
from ionloop.core.states import State
from ionloop.store.care import migration
from ionloop.store.care.migration import (
    Shift,
    StoreChanged,
    StoresDiffer,
    artefacts_in,
    collection_checksum,
    content_hash,
    copy_store,
    shifted,
    unpack_backup,
    write_backup,
)
from ionloop.store.care.repair import find_problems, read_snapshot
from ionloop.store.care.verification import verify_store
from ionloop.store.connection import Store, open_store
from ionloop.store.jobs.registered_tasks import restricted_tasks
from ionloop.store.records import RECORD_TYPES
from ionloop.tasks.assess import ConcludeTask
from ionloop.workflows.watching.ledger import failures
from ionloop.workflows.watching.status import campaign_status


def essences(store: Store) -> dict[str, dict]:
    return {
        kind.collection: {record.id: record.to_document() for record in store.records(kind).find()}
        for kind in RECORD_TYPES
    }


def add_jobs(store: Store, campaign: str) -> None:
    """A chain of two jobs, the first of which has run."""
    store.database.fireworks.delete_many({"spec.campaign": campaign})
    task = ConcludeTask(parameters={})
    spec = {"campaign": campaign, "kind": "conclude", "generation": 0}
    first = Firework(task, spec={**spec, "key": "first"}, fw_id=-1)
    second = Firework(task, spec={**spec, "key": "second"}, fw_id=-2, parents=[first])
    with restricted_tasks({ConcludeTask._fw_name: ConcludeTask}):
        store.launchpad.add_wf(Workflow([first, second], name=campaign))
        _, launch = store.launchpad.checkout_fw(FWorker(), "/")
        store.launchpad.complete_launch(launch, FWAction(), "COMPLETED")


@pytest.fixture
def source(finished_store: Store) -> Store:
    add_jobs(finished_store, "small")
    return finished_store


@pytest.fixture
def target(tmp_path: Path):
    (tmp_path / "target").mkdir()
    opened = open_store(str(tmp_path / "target" / "there.db"))
    yield opened
    opened.close()


def test_everything_arrives_and_the_source_is_untouched(source: Store, target: Store) -> None:
    before = essences(source)
    report = copy_store(source, target)
    assert essences(target) == before == essences(source)
    assert report.documents_copied == report.documents > 30
    assert report.files_copied == sum(1 for kind in before.values() for one in kind.values() for _ in artefacts_in(one))
    assert verify_store(target).checksums == verify_store(source).checksums
    assert verify_store(target).files == report.files_copied
    assert campaign_status(target).state is campaign_status(source).state
    assert failures(target, "small") == failures(source, "small")


@pytest.mark.parametrize("when", ["files", "campaigns"])
@pytest.mark.parametrize("runs", [True, False], ids=["still runs", "has run"])
def test_a_copy_notices_jobs_that_ran_meanwhile_and_leaves_nothing(
    source: Store, target: Store, when: str, runs: bool
) -> None:
    def start(part: str) -> None:
        if part == when:
            with restricted_tasks({ConcludeTask._fw_name: ConcludeTask}):
                _, launch = source.launchpad.checkout_fw(FWorker(), "/")
                if not runs:
                    source.launchpad.complete_launch(launch, FWAction(), "COMPLETED")

    with pytest.raises(StoreChanged, match="ran while it was copied") as error:
        copy_store(source, target, progress=start)
    assert error.value.exit_status == 2
    assert not any(target.database[kind.collection].count_documents({}) for kind in RECORD_TYPES)
    assert target.database.fireworks.count_documents({}) == 0
    if not runs:
        assert copy_store(source, target).documents_copied


def test_a_second_copy_finds_everything_there(source: Store, target: Store) -> None:
    first = copy_store(source, target)
    again = copy_store(source, target)
    assert again.documents_copied == again.files_copied == 0
    assert again.documents == first.documents
    assert {name: one.checksum for name, one in again.collections.items()} == {
        name: one.checksum for name, one in first.collections.items()
    }


@pytest.mark.parametrize("stop_after", [1, 7, 25, 40])
def test_an_interrupted_copy_carries_on(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    insert, inserted = migration._insert, []

    def interrupted(collection, document) -> None:
        if len(inserted) == stop_after:
            raise KeyboardInterrupt
        inserted.append(document)
        insert(collection, document)

    monkeypatch.setattr(migration, "_insert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        copy_store(source, target)
    monkeypatch.undo()
    report = copy_store(source, target)
    assert report.documents - report.documents_copied == stop_after
    assert essences(target) == essences(source)


def test_jobs_move_behind_those_that_are_there(source: Store, target: Store, make_builder) -> None:
    make_builder(target, "other").add_campaign()
    add_jobs(target, "other")
    add_jobs(target, "another")
    copy_store(source, target, "small")
    snapshot = read_snapshot(target.launchpad)
    assert find_problems(snapshot).total == 0
    numbers = [one["fw_id"] for one in target.database.fireworks.find()]
    assert len(set(numbers)) == len(numbers)
    assert target.launchpad.get_new_fw_id() > max(numbers)
    # The graph is the same: the second job waits for the first, which has run.
    first, second = (
        target.database.fireworks.find_one({"spec.campaign": "small", "spec.key": key}) for key in ("first", "second")
    )
    workflow = target.database.workflows.find_one({"nodes": first["fw_id"]})
    assert workflow["links"][str(first["fw_id"])] == [second["fw_id"]]
    launch = target.database.launches.find_one({"launch_id": first["launches"][0]})
    assert launch["fw_id"] == first["fw_id"]
    assert copy_store(source, target, "small").documents_copied == 0
    with restricted_tasks({ConcludeTask._fw_name: ConcludeTask}):
        assert target.launchpad.get_fw_by_id(first["fw_id"]).state == "COMPLETED"


def test_a_campaign_that_returns_finds_itself(source: Store, target: Store, make_builder) -> None:
    make_builder(target, "other").add_campaign()
    add_jobs(target, "other")
    copy_store(source, target, "small")
    assert copy_store(target, source, "small").documents_copied == 0


def test_one_campaign_comes_with_the_labels_that_it_shares(source: Store, target: Store, make_builder) -> None:
    other = make_builder(source, "other")
    other.add_campaign()
    content = next(iter(source.configurations.find({"campaign": "small"})))
    source.configurations.add(content.model_copy(update={"id": "config-other", "campaign": "other"}))
    copy_store(source, target, "other")
    assert [record.id for record in target.campaigns.find()] == ["other"]
    assert [label.content_hash for label in target.labels.find()] == [content.content_hash]
    assert target.models.count() == 0


def test_other_content_is_never_overwritten(source: Store, target: Store) -> None:
    copy_store(source, target)
    label = next(iter(target.labels.find({"state": "finished"})))
    changed = label.model_copy(update={"energy": -1.0})
    target.labels.replace(changed)
    with pytest.raises(StoresDiffer, match=rf"labels/{label.id} differs.*energy"):
        copy_store(source, target)
    assert target.labels[label.id] == changed


def test_another_file_is_never_overwritten(source: Store, target: Store) -> None:
    artefact = next(iter(source.trajectories.find())).artefact
    path = target.artefacts.folder(Path(artefact.path).parent) / Path(artefact.path).name
    path.write_text("another")
    with pytest.raises(StoresDiffer, match="another file"):
        copy_store(source, target)
    assert path.read_text() == "another"


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"framez")])
def test_a_damaged_file_is_not_passed_on(source: Store, target: Store, damage) -> None:
    artefact = next(iter(source.trajectories.find())).artefact
    damage(source.artefacts.path(artefact.path))
    with pytest.raises(IonloopError, match=r"missing|damaged"):
        copy_store(source, target)
    assert not target.artefacts.path(artefact.path).exists()
    assert target.trajectories.count() == 0


def test_a_running_store_and_a_store_onto_itself_are_refused(source: Store, target: Store) -> None:
    with pytest.raises(InputError, match="onto itself"):
        copy_store(source, source)
    with pytest.raises(InputError, match=r"unknown campaign 'smal'.*did you mean 'small'"):
        copy_store(source, target, "smal")
    source.database.fireworks.update_one({"spec.key": "second"}, {"$set": {"state": "RUNNING"}})
    with pytest.raises(InputError, match="running or reserved"):
        copy_store(source, target)


# -- archives and verification -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["backup.tar", "backup.tar.gz"])
def test_a_backup_is_a_store(source: Store, target: Store, tmp_path: Path, name: str) -> None:
    report = write_backup(source, tmp_path / name)
    assert [path.name for path in tmp_path.glob(".backup*")] == []
    (tmp_path / "unpacked").mkdir()
    unpacked = unpack_backup(tmp_path / name, tmp_path / "unpacked")
    assert essences(unpacked) == essences(source)
    assert verify_store(unpacked).files == report.files_copied
    copy_store(unpacked, target)
    assert essences(target) == essences(source)
    unpacked.close()


def test_a_backup_overwrites_nothing_and_rubbish_is_no_backup(source: Store, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    file.write_text("rubbish")
    with pytest.raises(InputError, match="is there already"):
        write_backup(source, file)
    with pytest.raises(InputError, match="no backup that can be read"):
        unpack_backup(file, tmp_path)
    with pytest.raises(InputError, match="ends in one of"):
        write_backup(source, tmp_path / "backup.zip")


def damage_label(store: Store) -> None:
    store.database.labels.update_one({"state": "finished"}, {"$set": {"energy": "low"}})


def damage_structure(store: Store) -> None:
    store.database.configurations.update_one(
        {"formula": "Li3PS4"}, {"$set": {"structure.positions.0": [9.0, 9.0, 9.0]}}
    )


def damage_path(store: Store) -> None:
    store.database.trajectories.update_one({}, {"$set": {"artefact.path": "../../etc/passwd"}})


def damage_file(store: Store) -> None:
    store.artefacts.path(next(iter(store.trajectories.find())).artefact.path).write_bytes(b"framez")


def remove_label(store: Store) -> None:
    store.database.labels.delete_one({"_id": next(iter(store.data_sets.find())).labels[0]})


def orphan_job(store: Store) -> None:
    store.database.workflows.delete_one({})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_label, r"labels/.*wrong: energy"),
        (damage_structure, "content hash differs"),
        (damage_path, "leads out of the store's root"),
        (damage_file, "is damaged"),
        (remove_label, "1 label.s. are missing"),
        (orphan_job, "orphaned fireworks"),
    ],
)
def test_verify_finds(source: Store, damage, message: str) -> None:
    assert verify_store(source).problems == []
    damage(source)
    found = verify_store(source)
    assert not found.is_whole
    assert any(re.search(message, problem) for problem in found.problems), found.problems


# -- content ---------------------------------------------------------------------------------------------------------


def test_content_does_not_depend_on_order_or_time_zone() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6000)
    one = {"a": 1, "b": {"c": [1.5, None], "d": moment}}
    other = {"b": {"d": moment.replace(tzinfo=UTC), "c": [1.5, None]}, "a": 1}
    assert content_hash(one) == content_hash(other)
    assert content_hash(one) != content_hash({**one, "a": 2})
    assert collection_checksum([("x", "1"), ("y", "2")]) == collection_checksum([("y", "2"), ("x", "1")])


def test_files_are_found_wherever_a_document_names_them() -> None:
    file = {"path": "a", "size": 1, "sha256": "0"}
    assert len(list(artefacts_in({"files": [file, file], "values": {"plot": file, "other": {"path": "x"}}}))) == 3


def test_numbers_move_everywhere() -> None:
    workflow = {
        "nodes": [1, 2],
        "links": {"1": [2], "2": []},
        "fw_states": {"1": "READY"},
        "parent_links": {"2": [1]},
        "locked": True,
    }
    assert shifted("workflows", workflow, Shift(10, 5)) == {
        "nodes": [11, 12],
        "links": {"11": [12], "12": []},
        "fw_states": {"11": "READY"},
        "parent_links": {"12": [11]},
    }
    assert shifted("launches", {"launch_id": 1, "fw_id": 2}, Shift(10, 5)) == {"launch_id": 6, "fw_id": 12}
    assert shifted("labels", {"fw_id": 1}, Shift(10, 5)) == {"fw_id": 1}


# -- commands --------------------------------------------------------------------------------------------------------


def test_the_commands(source: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import typer
    from typer.testing import CliRunner

    from ionloop.cli import store as commands

    app = typer.Typer()
    commands.register(app)

    def run(*arguments: str):
        with restricted_tasks({}):  # the command admits ionloop's tasks to this process
            return CliRunner().invoke(app, ["store", *arguments])

    told = run("migrate", source.location, str(tmp_path / "b.db"), "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["documents_copied"] > 30
    told = run("backup", str(tmp_path / "b.db"), str(tmp_path / "b.tar"))
    assert told.exit_code == 0, told.output
    assert "all checksums agree" in told.stdout
    told = run("verify", str(tmp_path / "b.tar"))
    assert told.exit_code == 0, told.output
    assert "The store is whole." in told.stdout
    told = run("migrate", str(tmp_path / "b.tar"), str(tmp_path / "c.db"))
    assert told.exit_code == 0, told.output
    with_store = open_store(str(tmp_path / "c.db"))
    assert with_store.campaigns["small"].state is State.FINISHED
    damage_file(with_store)
    with_store.close()
    assert run("verify", str(tmp_path / "c.db")).exit_code == 1
    assert isinstance(run("verify", str(tmp_path / "missing.db")).exception, InputError)
