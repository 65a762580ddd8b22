"""The one boundary between the program and the user: a message for her, the traceback for the log."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ... import __version__
from ...core.errors import InputError, IonloopError, MachineAtFault
from .signals import AskedToEnd
from .terminal import IN_WORDS

LOG_NAME = "ionloop-error.log"
LOG_VARIABLE = "IONLOOP_LOG"

UNEXPECTED_STATUS = 1
"""What each status means is told in docs/cluster.md."""
INTERRUPTED_STATUS = 130


def run_guarded(command: Callable[[], object]) -> int:
    """Run ``command`` and return the exit status; no exception leaves, no traceback reaches the terminal."""
    tolerate_missing_characters()
    try:
        command()
        sys.stdout.flush()
        return 0
    except SystemExit as stop:
        return _status(stop)
    except IonloopError as error:
        _tell("[bold red]Error:[/] ", str(error))
        return error.exit_status
    except KeyboardInterrupt:
        _tell("", "Interrupted.")
        return INTERRUPTED_STATUS
    except AskedToEnd as asked:
        _tell("", str(asked))
        return asked.exit_status
    except BrokenPipeError:
        discard_output()
        return 0
    except OSError as error:
        known = _explained(error)
        if known is None:
            _tell_unexpected(error)
            return UNEXPECTED_STATUS
        _tell("[bold red]Error:[/] ", str(known))
        if isinstance(known, MachineAtFault):
            # What could not be written would be tried again when the interpreter ends.
            discard_output()
        return known.exit_status
    except Exception as error:  # the boundary: whatever comes here is a defect, and its traceback is worth keeping
        _tell_unexpected(error)
        return UNEXPECTED_STATUS


def tolerate_missing_characters() -> None:
    """Let nothing that cannot be shown end a command: Å in an ASCII locale, bytes of a file's name that are no text."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            knows_all = (stream.encoding or "").lower().startswith("utf")
            reconfigure(errors="backslashreplace" if knows_all else IN_WORDS)


def _explained(error: OSError) -> IonloopError | None:
    """Return what to tell of an error that is no defect: a full disk, a working directory that is gone."""
    from ...core.files import is_out_of_room

    if is_out_of_room(error):
        where = error.filename or "where the output goes"
        return MachineAtFault(f"{where}: no space left; free some and run the same command again, nothing is lost")
    try:
        Path.cwd()
    except FileNotFoundError:
        return InputError("the working directory is gone: change to one that is there")
    except OSError as at_fault:
        return InputError(f"the working directory cannot be used: {at_fault.strerror}; change to another")
    return None


def _status(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    return stop.code if isinstance(stop.code, int) else UNEXPECTED_STATUS


def _tell(label: str, message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        console.print(Text.from_markup(label) + Text(message))
    except OSError:
        # Nobody is listening on stderr; the exit status still tells.
        discard_output()


def _tell_unexpected(error: Exception) -> None:
    summary = " ".join(str(error).split())[:200]
    log = write_error_log(error)
    where = f"the traceback is in {log}" if log else "no folder could be written to, so the traceback is lost"
    _tell("[bold red]Unexpected error:[/] ", f"{type(error).__name__}: {summary}; {where}. Please report it.")


def write_error_log(error: BaseException) -> Path | None:
    """Append the traceback to the first log file that can be written; return its path, None if none can."""
    header = (
        f"{datetime.now(UTC).isoformat(timespec='seconds')} ionloop {__version__}, "
        f"Python {platform.python_version()}, {platform.platform()}\ncommand: {' '.join(sys.argv)}\n"
    )
    text = header + "".join(traceback.format_exception(error)) + "\n"
    chosen = os.environ.get(LOG_VARIABLE)
    folders = [Path.cwd, lambda: Path(tempfile.gettempdir())]
    candidates = [lambda: Path(chosen)] if chosen else []
    for candidate in [*candidates, *(lambda f=folder: f() / LOG_NAME for folder in folders)]:
        try:
            path = candidate()
            with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(text)
        except OSError:
            continue
        return path
    return None


def discard_output() -> None:
    """Point stdout and stderr nowhere: the interpreter flushes them once more when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)
        except (OSError, ValueError):
            continue
