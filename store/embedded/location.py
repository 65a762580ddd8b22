"""May a store live here? Folders that cannot be written, foreign files and network file systems are refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...errors import InputError

APPLICATION_ID = 0x494F4E4C  # "IONL" in the file's header: tells our files from other SQLite files
SCHEMA_VERSION = 1

_SQLITE_MAGIC = b"SQLite format 3\x00"

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "beegfs", "beegfs_nodev", "gpfs", "afs", "ceph", "pvfs2"}
    | {"panfs", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.beegfs", "davfs", "ncpfs"}
)

_MOUNTS = Path("/proc/mounts")


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
        If the folder does not exist or cannot be written, the file is something else, was written by a newer
        version, or lies on a file system that several hosts share.
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
        _check_header(path)
    if not allow_network_file_system and _MOUNTS.exists():
        kind = file_system_of(path, _MOUNTS.read_text(errors="replace"))
        if kind in NETWORK_FILE_SYSTEMS:
            raise InputError(
                f"store: {path} lies on a network file system ({kind}), where several hosts would damage it: "
                "choose a local folder, or MongoDB (mongodb://...) for several hosts"
            )


def _check_header(path: Path) -> None:
    with open(path, "rb") as file:
        header = file.read(100)
    if not header:
        return  # SQLite makes an empty file first, and so may another process just now
    if not header.startswith(_SQLITE_MAGIC):
        raise InputError(f"store: {path} is not a store of ionloop: choose another file")


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
            f"store: {path} has format {version}, this version of ionloop knows up to {SCHEMA_VERSION}: update ionloop"
        )
