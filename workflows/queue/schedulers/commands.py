"""Running a scheduler's commands, whatever a site wraps around them, and finding a job's number in their answers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ....core.errors import InputError
from .base import SchedulerError, UnclearSubmission

COMMAND_TIMEOUT_S = 60.0
_LAST_WORDS_S = 2.0

_CHANGES_ANSWERS = re.compile(
    r"(SQUEUE|SACCT|SCONTROL|SCANCEL|SINFO)_.*"
    r"|SLURM_(TIME_FORMAT|BITSTR_LEN|JSON|YAML|DEBUG|DEBUG_FLAGS)"
    r"|BSUB_(QUIET|QUIET2|BLOCK|STDERR)|LSB_(BJOBS_FORMAT|BJOBS_CONSISTENT_EXIT_CODE|DISPLAY_YEAR)|PBS_DPREFIX"
)
"""Variables by which people change what schedulers' commands write, for their own eyes (squeue(1), sacct(1),
scontrol(1), scancel(1), bjobs(1), qsub(1B)), or how long they wait."""

_MAY_HAVE_ARRIVED = re.compile(
    r"time[d -]*out|unable to contact|connect|communicat|socket|zero bytes|transport|try again|temporar"
    r"|unexpected message|no route|broken pipe|reset by peer|not respond|interrupted|protocol",
    re.IGNORECASE,
)
"""Words of an answer that got lost: the scheduler may have taken the job before."""

_SAID_IN_WORDS = (
    re.compile(r"Submitted batch job (?P<job>\d+)(?: on cluster (?P<cluster>[\w.-]+))?", re.IGNORECASE),
    re.compile(r"\bJob <(?P<job>\d+)> is submitted", re.IGNORECASE),
    re.compile(r"\bJob <(?P<job>\d+)>"),
)
_ALONE_ON_A_LINE = re.compile(r"^\s*(?P<job>\d+(?:\.[A-Za-z][\w.-]*)?)(?:;(?P<cluster>[\w.-]+))?\s*$", re.MULTILINE)
_PBS_IN_A_LINE = re.compile(r"(?<![\w./-])(?P<job>\d+\.[A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)*)(?![\w/-])")


@dataclass(frozen=True)
class Answer:
    """What a command wrote, and how it ended: ``status`` is None where it did not within the time."""

    command: str
    status: int | None
    output: str
    errors: str

    @property
    def words(self) -> str:
        """What it said, the more telling stream."""
        return self.errors.strip() or self.output.strip()

    @property
    def complaint(self) -> str:
        """What is wrong with it, for people; empty if it ended well."""
        if self.status is None:
            said = f": {self.words}" if self.words else ""
            return f"{self.command} did not answer within {COMMAND_TIMEOUT_S:g} s{said}"
        return f"{self.command} failed with status {self.status}: {self.words}" if self.status else ""


def clean_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment in which a scheduler's commands write what they are asked for, and nothing else.

    What chooses cluster, account and partition (``SLURM_CONF``, ``SLURM_CLUSTERS``, ``PBS_DEFAULT``, ``SBATCH_...``)
    stays.
    """
    return {name: value for name, value in environment.items() if not _CHANGES_ANSWERS.fullmatch(name)}


def answer_of(
    command: Sequence[str], *, stdin: Path | None = None, environment: Mapping[str, str] | None = None
) -> Answer:
    """Run a scheduler's command and return its answer, however it ended.

    Raises
    ------
    InputError
        If there is no such command on this machine.
    """
    if shutil.which(command[0]) is None:
        raise InputError(f"{command[0]} is not on this machine: launch where jobs are submitted, on a login node")
    with open(stdin or "/dev/null", "rb") as source:
        process = subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment() if environment is None else dict(environment),
            start_new_session=True,
        )
    status: int | None = None
    try:
        output, errors = process.communicate(timeout=COMMAND_TIMEOUT_S)
        status = process.returncode
    except subprocess.TimeoutExpired as silent:
        # Also what a wrapper started, which would keep its output open. A wrapper that itself has ended has answered.
        status = process.poll()
        output, errors = silent.output or b"", silent.stderr or b""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            output, errors = process.communicate(timeout=_LAST_WORDS_S)
    return Answer(command[0], status, output.decode(errors="replace"), errors.decode(errors="replace"))


def run_command(command: Sequence[str], *, stdin: Path | None = None) -> str:
    """Return what a scheduler's command writes to its output.

    Raises
    ------
    InputError
        If there is no such command on this machine.
    SchedulerError
        If it fails or does not answer in time, with its own words.
    """
    answer = answer_of(command, stdin=stdin)
    if answer.complaint:
        raise SchedulerError(answer.complaint)
    return answer.output


def job_in(text: str) -> str:
    """Return the job, with its cluster, that a submission's answer names among whatever else; empty if none.

    Words that say so count before a line that is nothing but a number, and that before a number within a line.
    """
    for pattern in (*_SAID_IN_WORDS, _ALONE_ON_A_LINE, _PBS_IN_A_LINE):
        if match := pattern.search(text):
            cluster = match.groupdict().get("cluster")
            return match["job"] + (f";{cluster}" if cluster else "")
    return ""


def job_submitted(answer: Answer) -> str:
    """Return the job that a submission led to.

    Raises
    ------
    UnclearSubmission
        If the scheduler may have taken it all the same.
    SchedulerError
        If it was refused.
    """
    job = job_in(answer.output)
    if answer.status == 0:
        if len({match.group() for match in _ALONE_ON_A_LINE.finditer(answer.output)}) > 1:
            raise UnclearSubmission(f"{answer.command} answered with several numbers: {answer.output.split()}", job)
        job = job or job_in(answer.errors)
        if job:
            return job
        said = "\n".join(filter(None, (answer.output.strip(), answer.errors.strip())))
        raise UnclearSubmission(f"{answer.command} answered {said!r}, which holds no job identifier")
    lost = answer.status is None or answer.status < 0 or _MAY_HAVE_ARRIVED.search(answer.errors + answer.output)
    if job or lost:
        raise UnclearSubmission(answer.complaint, job)
    raise SchedulerError(answer.complaint)
