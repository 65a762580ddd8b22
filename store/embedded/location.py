"""May a store live here? Folders that cannot be written, foreign files and network file systems are refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...core.errors import InputError

APPLICATION_ID = 0x494F4E4C  # "IONL" in the file's header: tells our files from other SQLite files
SCHEMA_VERSION = 1

_SQLITE_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "coda", "cvfs", "davfs"}
    | {"davfs2", "dvs", "fhgfs", "gcsfuse", "gfs", "gfs2", "glusterfs", "gpfs", "juicefs"}
    | {"lizardfs", "lustre", "mfs", "mmfs", "moosefs", "ncp", "ncpfs", "nfs", "nfs3"}
    | {"nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "quobyte", "rclone", "s3fs", "smb"}
    | {"smb2", "smb3", "smbfs", "sshfs", "vboxsf", "vmhgfs", "wekafs"}
)
"""Types of file systems that several hosts may share; ``fuse.`` before a name and ``-fuse`` behind it do not count.

The only such list: the store, ``check`` and ``doctor`` ask `is_network_file_system`.
"""
_MOUNTS = Path("/proc/mounts")


def is_network_file_system(kind: str) -> bool:
    """Tell whether several hosts may share a file system of that type, as ``/proc/mounts`` calls it."""
    name = kind.lower().removeprefix("fuse.").removesuffix("-fuse")
    return name in NETWORK_FILE_SYSTEMS


def network_file_system(path: Path) -> str:
    """Return the type of the network file system that holds ``path``; empty where it is a local one."""
    if not _MOUNTS.exists():
        return ""
    kind = file_system_of(path, _MOUNTS.read_text(errors="replace"))
    return kind if is_network_file_system(kind) else ""


def file_system_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds ``path``, from the text of ``/proc/mounts``."""
    best_point, best_type = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        # Spaces in a mount point are written as \040 and the like.
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1])
        if path.is_relative_to(point) and len(point) >= len(best_point):
            best_point, best_type = point, fields[2]
    return best_type


def check_location(path: Path, *, allow_network_file_system: bool = False) -> None:
    """Refuse a place where the embedded store cannot be kept safely.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written, the file is something else, or lies on a file system that
        several hosts share.
    """
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"store: the folder {folder} does not exist: create it or choose another store")
    if path.is_dir():
        raise InputError(f"store: {path} is a folder: name a file in it, such as {path / 'store.db'}")
    # SQLite keeps its log beside the file, so that the folder itself must be writable.
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"store: the folder {folder} is not writable: change its permissions or choose another")
    if path.exists():
        if not os.access(path, os.R_OK | os.W_OK):
            raise InputError(f"store: {path} cannot be read and written: change its permissions")
        check_header(path)
    kind = "" if allow_network_file_system else network_file_system(path)
    if kind:
        raise InputError(
            f"store: {path} lies on a network file system ({kind}), where several hosts would damage it: "
            "choose a local folder, or MongoDB (mongodb://...) for several hosts"
        )


def check_readable(path: Path) -> None:
    """Refuse what cannot be read as a store.

    Raises
    ------
    InputError
        If it is no file, may not be read, is empty or something else.
    """
    if path.is_dir():
        raise InputError(f"store: {path} is a folder: name a file in it, such as {path / 'store.db'}")
    if not os.access(path, os.R_OK):
        raise InputError(f"store: {path} cannot be read: change its permissions")
    if not path.stat().st_size:
        raise InputError(
            f"store: {path} is an empty file (0 bytes), no store: restore it from a backup, or remove it to begin anew"
        )
    check_header(path)


def log_size(path: Path) -> int:
    """Return the size of the log that lies beside a store's file (bytes); 0 where there is none."""
    try:
        return Path(f"{path}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def check_header(path: Path) -> None:
    """Refuse a file that is no SQLite file, or only the beginning of one.

    To be asked only while this process does not have the file open: closing it drops the locks of SQLite.

    Raises
    ------
    InputError
        If the file is not one that SQLite could have written.
    """
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        return  # SQLite makes an empty file first, and so may another process just now
    if not header.startswith(_SQLITE_MAGIC[: len(header)]):
        raise InputError(f"store: {path} is not a store of ionloop: choose another file")
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    size = path.stat().st_size
    # What is still in the log may make the file longer. A page of 1 byte stands for 65536.
    if len(header) < _HEADER_BYTES or (not log_size(path) and size < pages * (65536 if page == 1 else page)):
        raise InputError(
            f"store: {path} is cut off ({size} bytes are left of it): restore it from a backup "
            "(`ionloop store migrate ARCHIVE NEW`)"
        )


def check_identity(path: Path, application: int, version: int, *, has_tables: bool) -> None:
    """Refuse a database of another program, or of a newer version.

    Raises
    ------
    InputError
        If the file is not ours to touch.
    """
    if application != APPLICATION_ID and (application != 0 or has_tables):
        raise InputError(f"store: {path} is an SQLite file of another program: choose another file")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"store: {path} was written by a newer version of ionloop (format {version}, this version knows up to "
            f"{SCHEMA_VERSION}): update ionloop"
        )
