"""Names that tell processes apart on whatever machine and in whatever container, and what is known of their ends.

A process's number means something only to those who share its machine and its numbering: containers number their
processes anew, and two of them may have the same host name. A name therefore holds where its process is counted (a
digest of the machine's boot and of the namespaces of process numbers and of time) beside host, number and start.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ENDED = {"Z", "X", "x"}
"""States of a process that has ended and of which only its status is left (proc(5))."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MACHINE = Path("/etc/machine-id")
_NAMESPACES = (Path("/proc/self/ns/pid"), Path("/proc/self/ns/time"))
_OUTERMOST = "pid:[4026531836]"
"""The namespace of process numbers that is no container's (PROC_PID_INIT_INO of the kernel)."""


def host_name() -> str:
    """Return this machine's name, as people know it; it tells no two processes apart."""
    return platform.node()


def _said_by(path: Path) -> str:
    try:
        return str(path.readlink()) if path.is_symlink() else path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        # Another system, or an older kernel.
        return ""


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:10]


@functools.cache
def _place_of(pid: int) -> str:
    parts = [_said_by(path) for path in (_BOOT, *_NAMESPACES)]
    return _digest(*(parts if any(parts) else [host_name()]))


def process_place() -> str:
    """Return where this process's number means something: within one boot of one machine and one namespace."""
    # A forked process may have entered another namespace.
    return _place_of(os.getpid())


def _proc_folder(pid: int) -> Path:
    """Return the folder of a process in /proc, which may be that of an outer namespace.

    Raises
    ------
    ProcessLookupError
        If there is no such process.
    """
    if _said_by(Path("/proc/self")) == str(os.getpid()):
        return Path(f"/proc/{pid}")
    mine = _said_by(_NAMESPACES[0])
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            numbers = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("NSpid:"))
            if numbers.split()[-1] == str(pid) and _said_by(folder / "ns/pid") == mine:
                return folder
        except (OSError, StopIteration):
            continue
    raise ProcessLookupError(pid)


def _status(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` from the third on."""
    try:
        text = (_proc_folder(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    # The command's name stands in parentheses and may hold anything.
    return text.rpartition(")")[2].split()


def process_start(pid: int) -> str:
    """Return when a process started, exactly alike for whoever asks.

    psutil's time is the wall clock's, which moves when the clock is set; the kernel's ticks do not.

    Raises
    ------
    ProcessLookupError
        If there is no such process.
    """
    if sys.platform != "linux":
        import psutil

        try:
            return str(round(psutil.Process(pid).create_time()))
        except psutil.NoSuchProcess:
            raise ProcessLookupError(pid) from None
    return _status(pid)[19]


def process_name(pid: int) -> str:
    """Return a name that no other process, living or dead, here or elsewhere, has: HOST-PLACE-PID-START.

    Raises
    ------
    ProcessLookupError
        If there is no such process.
    """
    return f"{host_name()}-{process_place()}-{pid}-{process_start(pid)}"


def process_document(pid: int) -> dict[str, Any]:
    """Return what a document in a store says of a process, beside its name: host, number, and what tells reboots.

    A machine is known by its identifier and its name, but not from within a container, which may have both from its
    image.
    """
    machine = _said_by(_MACHINE) if _said_by(_NAMESPACES[0]) == _OUTERMOST else ""
    return {
        "host": host_name(),
        "pid": pid,
        "machine": _digest(machine, host_name()) if machine else "",
        "boot": _digest(_said_by(_BOOT)),
    }


def has_rebooted(document: Mapping[str, Any]) -> bool:
    """Return whether the machine of a process's document is this one, and was started anew since."""
    here = process_document(0)
    return bool(here["machine"]) and document.get("machine") == here["machine"] and document["boot"] != here["boot"]


def has_ended(name: str) -> bool | None:
    """Return whether the process of that name has ended; None if that cannot be told from here.

    A host that was renamed meanwhile is still the same place; a container with the same host name is another one.
    """
    parts = name.rsplit("-", 3)
    if len(parts) == 4 and parts[1] == process_place():
        return _is_gone(parts[2], parts[3])
    # Names of earlier releases held no place.
    parts = name.rsplit("-", 2)
    if len(parts) == 3 and parts[0] == host_name():
        return _is_gone(parts[1], parts[2])
    return None


def _is_gone(pid: str, start: str) -> bool | None:
    if not pid.isdecimal():
        return None
    try:
        if process_start(int(pid)) != start:
            return True
        # One that nobody has waited for yet (a container's first process may never do so) does nothing any more.
        return sys.platform == "linux" and _status(int(pid))[0] in _ENDED
    except ProcessLookupError:
        return True
