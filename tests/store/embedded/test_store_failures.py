import os
import resource
import signal
import sqlite3
import subprocess
import sys

import pytest

from ionloop.core.errors import InputError, IonloopError
from ionloop.store.embedded import EmbeddedClient, StoreBusy, StoreFull, database_file, location
from ionloop.store.embedded.failures import explain
from ionloop.store.embedded.location import NETWORK_FILE_SYSTEMS, check_location, file_system_of

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local xfs rw 0 0
lustre@tcp:/scratch /scratch\\040space lustre rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/store.db", "ext4"),
        ("/home/ada/store.db", "nfs4"),
        ("/home/local/store.db", "xfs"),
        ("/homeless/store.db", "ext4"),
        ("/scratch space/store.db", "lustre"),
    ],
)
def test_the_longest_mount_point_decides(path, kind):
    from pathlib import Path

    assert file_system_of(Path(path), MOUNTS) == kind


def test_network_file_systems_are_refused_unless_allowed(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(location, "_MOUNTS", mounts)
    with pytest.raises(InputError, match=r"network file system \(nfs4\)"):
        EmbeddedClient(tmp_path / "store.db")
    assert not (tmp_path / "store.db").exists()
    check_location(tmp_path / "store.db", allow_network_file_system=True)
    assert {"nfs", "cifs", "lustre", "beegfs"} <= NETWORK_FILE_SYSTEMS


def fill_up(client):
    """Let SQLite believe that the disk is full."""
    with client.file.read():
        (pages,) = client.file.execute("PRAGMA page_count").fetchone()
        client.file.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_a_clear_error_and_the_store_works_on(tmp_path):
    client = EmbeddedClient(tmp_path / "store.db")
    things = client.data.things
    things.insert_one({"_id": 1})
    fill_up(client)
    with pytest.raises(StoreFull, match="no space left") as caught:
        things.insert_one({"_id": 2, "blob": os.urandom(100_000)})
    assert isinstance(caught.value, IonloopError)
    assert list(things.find()) == [{"_id": 1}]
    things.update_one({"_id": 1}, {"$set": {"n": 1}})
    client.close()  # with the limit, which belongs to the connection
    things.insert_one({"_id": 2, "blob": os.urandom(100_000)})
    assert things.count_documents({}) == 2


def test_a_full_disk_undoes_the_whole_transaction_even_if_somebody_swallows_the_error(tmp_path):
    client = EmbeddedClient(tmp_path / "store.db")
    things = client.data.things
    things.insert_one({"_id": 1, "n": 0})
    fill_up(client)
    with pytest.raises(StoreFull), client.transaction():
        things.update_one({"_id": 1}, {"$set": {"n": 1}})
        with pytest.raises(StoreFull):
            things.insert_one({"_id": 2, "blob": os.urandom(100_000)})
        with pytest.raises(StoreFull):
            things.insert_one({"_id": 3})
    assert list(things.find()) == [{"_id": 1, "n": 0}]


def test_a_real_write_error_is_a_clear_error_and_loses_nothing(tmp_path):
    path = tmp_path / "store.db"
    things = EmbeddedClient(path).data.things
    things.insert_one({"_id": 1})

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    script = (
        "import os, sys\n"
        "from ionloop.core.errors import IonloopError\n"
        "from ionloop.store.embedded import EmbeddedClient\n"
        "things = EmbeddedClient(sys.argv[1]).data.things\n"
        "try:\n"
        "    for n in range(2, 100): things.insert_one({'_id': n, 'blob': os.urandom(20_000)})\n"
        "except IonloopError as error: print(n, error)\n"
        "print(things.count_documents({}))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(path)], preexec_fn=limited, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    message, count = finished.stdout.splitlines()
    failed_at = int(message.split()[0])
    assert "is the disk full" in message
    assert int(count) == failed_at - 1
    assert [one["_id"] for one in things.find()] == list(range(1, failed_at))


def test_a_store_that_another_process_never_lets_go_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(database_file, "_BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(database_file, "_BUSY_PATIENCE_S", 0.1)
    client = EmbeddedClient(tmp_path / "store.db")
    other = sqlite3.connect(client.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="held by another process"):
        client.data.things.insert_one({"_id": 1})
    assert client.data.things.count_documents({}) == 0
    other.execute("ROLLBACK")
    other.close()
    client.data.things.insert_one({"_id": 1})
    assert client.data.things.count_documents({}) == 1


def test_a_damaged_file_is_reported(tmp_path):
    client = EmbeddedClient(tmp_path / "store.db")
    client.data.things.insert_many([{"n": n, "text": "x" * 500} for n in range(200)])
    client.close()
    with open(client.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (client.path.stat().st_size - 4096))
    with pytest.raises(IonloopError, match="damaged"):
        client.data.things.count_documents({"n": 1})


def test_unknown_errors_of_sqlite_name_the_file(tmp_path):
    assert str(tmp_path) in str(explain(sqlite3.OperationalError("odd"), tmp_path))
