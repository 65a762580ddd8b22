"""Programs that are started once per label: their command lines, their end, and the words in their output."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..ase_evaluation import exit_failure, one_line
from ..engine import EngineFailure
from ..process.temporary import temporary_folder
from .dft_settings import ExecutableSettings

_VERSION_LIMIT_S = 30.0


def command_line(settings: ExecutableSettings) -> str:
    """Return the command of the settings, else that of the cluster profile's variable, else the usual one."""
    kind = type(settings)
    return settings.command or os.environ.get(kind.COMMAND_VARIABLE) or kind.DEFAULT_COMMAND


def find_command(settings: ExecutableSettings) -> list[str]:
    """Return the words of the command with the full path of its first.

    Raises
    ------
    EngineFailure
        If it is no command line, or not found.
    """
    command = command_line(settings)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise EngineFailure(f"command {command!r} is no command line: {error}") from error
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise EngineFailure(
            f"command '{command}': '{words[0] if words else ''}' not found on PATH; load its module, or give `command` "
            f"or {type(settings).COMMAND_VARIABLE} with its full path"
        )
    return [found, *words[1:]]


def run_program(words: Sequence[str], folder: Path, output: str) -> EngineFailure | None:
    """Run a program in ``folder`` with its words in the file ``output``; return how it failed, if it did.

    An exit status other than 0 is returned and not raised: what the output says of the reason goes first.
    """
    with open(folder / output, "wb") as file:
        completed = subprocess.run(list(words), cwd=folder, stdin=subprocess.DEVNULL, stdout=file, check=False)
    return None if completed.returncode == 0 else exit_failure(completed.returncode, f"'{words[0]}'")


def run_and_say(words: Iterable[str]) -> str:
    """Return what a program prints when it is started only to say who it is; empty if it does not in time."""
    return _said(tuple(words))


@functools.lru_cache
def _said(words: tuple[str, ...]) -> str:
    with temporary_folder() as folder:
        try:
            completed = subprocess.run(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_VERSION_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
    return completed.stdout.decode(errors="replace")


def read_text(path: Path) -> str:
    """Return what a program wrote, whatever the bytes; empty if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def last_line(text: str) -> str:
    """Return the last line with anything in it, for a message."""
    lines = [line for line in text.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else "nothing"
