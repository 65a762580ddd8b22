"""What the outputs of different programs say alike: that memory ran out."""

from __future__ import annotations

import re
from pathlib import Path

from ...core.states import State
from ..ase_evaluation import one_line
from ..engine import EngineFailure
from .executable import read_text

LOG_FILE = "log"
# What Fortran's and C's run-time libraries, MPI launchers and queue systems print.
_OUT_OF_MEMORY = re.compile(
    r"^.*(insufficient virtual memory|out of memory|cannot allocate memory|oom[-_ ]?kill|std::bad_alloc|"
    r"allocation would exceed memory limit|error allocating \d+ bytes|memory allocation failed|"
    r"problem allocating memory|could not allocate).*$",
    re.IGNORECASE | re.MULTILINE,
)


def out_of_memory(*texts: str) -> EngineFailure | None:
    """Return the failure of a program that says that its memory ran out, or None."""
    for text in texts:
        said = _OUT_OF_MEMORY.search(text)
        if said is not None:
            return EngineFailure(f"memory ran out; the output says: {one_line(said.group(0))}", State.KILLED)
    return None


def printed_elsewhere(folder: Path) -> str:
    """Return what the program printed as errors: it has the labelling process's standard error."""
    return read_text(folder / LOG_FILE)
