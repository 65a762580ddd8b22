"""Schedulers behind one interface: submit a script, ask what became of jobs, cancel them.

SLURM's is run against real daemons in tests/cluster. PBS and LSF follow their manuals and are tested on samples of
their output only. The ways FireWorks has of its own were not fit: its adapters log a refused submission and return
nothing, so that nobody learns of a misspelt partition; its rapid-fire waits five seconds after every submission; and
neither ever asks the queue what became of a job.
"""

from __future__ import annotations

import getpass
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from ..errors import InputError, IonloopError

COMMAND_TIMEOUT_S = 60.0


class QueueState(StrEnum):
    """What became of a queue job."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    PREEMPTED = "pre-empted"
    NODE_FAILED = "node failed"
    OUT_OF_MEMORY = "exceeded memory"
    TIMED_OUT = "exceeded wall time"
    SCRATCH_FULL = "scratch full"
    FAILED = "failed"
    VANISHED = "vanished"


IN_QUEUE = frozenset({QueueState.PENDING, QueueState.RUNNING})

TO_BLAME = frozenset({QueueState.OUT_OF_MEMORY, QueueState.TIMED_OUT})
"""Ends that the job which ran may have caused itself: it is tried again only so often."""


class SchedulerError(IonloopError):
    """The scheduler did not do what it was asked."""


@dataclass(frozen=True)
class QueueFacts:
    """What a scheduler says of one job: its state in our words, and its own words."""

    state: QueueState
    reason: str = ""


class Scheduler(Protocol):
    """What a scheduler must be able to do."""

    name: str

    def directives(self, wanted: Mapping[str, str], further: Sequence[str]) -> list[str]:
        """Return the script's lines that ask for resources."""

    def submit(self, script: Path) -> str:
        """Submit a script and return the job's identifier."""

    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Return what is known of these jobs; those that the scheduler has forgotten are left out."""

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel these jobs; those that have ended are no error."""


def run_command(command: Sequence[str], *, stdin: Path | None = None) -> str:
    """Return what a scheduler's command writes to its output.

    Raises
    ------
    InputError
        If there is no such command on this machine.
    SchedulerError
        If it fails or does not answer in time, with its own words.
    """
    if shutil.which(command[0]) is None:
        raise InputError(f"{command[0]} is not on this machine: launch where jobs are submitted, on a login node")
    try:
        with open(stdin or "/dev/null", "rb") as source:
            done = subprocess.run(command, stdin=source, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{command[0]} did not answer within {COMMAND_TIMEOUT_S:g} s") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
        raise SchedulerError(f"{command[0]} failed with status {done.returncode}: {words}")
    return done.stdout.decode(errors="replace")


# -- SLURM -----------------------------------------------------------------------------------------------------------

_SLURM_STATES = {
    "PENDING": QueueState.PENDING,
    "CONFIGURING": QueueState.PENDING,
    "REQUEUED": QueueState.PENDING,
    "REQUEUE_HOLD": QueueState.PENDING,
    "SPECIAL_EXIT": QueueState.PENDING,
    "RUNNING": QueueState.RUNNING,
    "COMPLETING": QueueState.RUNNING,
    "SUSPENDED": QueueState.RUNNING,
    "STOPPED": QueueState.RUNNING,
    "SIGNALING": QueueState.RUNNING,
    "STAGE_OUT": QueueState.RUNNING,
    "RESIZING": QueueState.RUNNING,
    "COMPLETED": QueueState.FINISHED,
    "CANCELLED": QueueState.CANCELLED,
    "REVOKED": QueueState.CANCELLED,
    "PREEMPTED": QueueState.PREEMPTED,
    "NODE_FAIL": QueueState.NODE_FAILED,
    "BOOT_FAIL": QueueState.NODE_FAILED,
    "OUT_OF_MEMORY": QueueState.OUT_OF_MEMORY,
    "TIMEOUT": QueueState.TIMED_OUT,
    "DEADLINE": QueueState.TIMED_OUT,
    "FAILED": QueueState.FAILED,
}


def slurm_facts(state: str, details: Iterable[str] = ()) -> QueueFacts:
    """Return what SLURM's long state name ("CANCELLED by 0" included) and its further words mean."""
    word = state.split()[0].rstrip("+") if state.split() else ""
    found = _SLURM_STATES.get(word, QueueState.FAILED)
    words = [text for text in details if text and text not in ("None", "(null)", "0:0")]
    return QueueFacts(found, "slurm: " + ", ".join([state, *words]))


def parse_squeue(text: str) -> dict[str, QueueFacts]:
    """Read the lines of ``squeue`` in the format that `Slurm.ask` asks for."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 4:
            found[cells[0]] = slurm_facts(cells[1], (cells[2], f"on {cells[3]}" if cells[3] else ""))
    return found


def parse_sacct(text: str) -> dict[str, QueueFacts]:
    """Read the lines of ``sacct --parsable2 --format=JobIDRaw,State,ExitCode``."""
    found = {}
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) == 3:
            found[cells[0]] = slurm_facts(cells[1], (f"exit code {cells[2]}",))
    return found


def parse_scontrol_exit(text: str) -> str:
    """Return exit code and signal of a job from ``scontrol --oneliner show job``; empty if it does not say."""
    match = re.search(r"\bExitCode=(\d+):(\d+)", text)
    if match is None or match.groups() == ("0", "0"):
        return ""
    code, signal = match.groups()
    return f"signal {signal}" if code == "0" else f"exit code {code}"


class Slurm:
    """SLURM's commands."""

    name = "slurm"
    _options = {  # noqa: RUF012  a constant
        "job_name": "--job-name={}",
        "partition": "--partition={}",
        "account": "--account={}",
        "cores": "--cpus-per-task={}",
        "memory_MB": "--mem={}M",
        "gpus": "--gres=gpu:{}",
        "wall_time_min": "--time={}",
        "log": "--output={}",
    }

    def directives(self, wanted: Mapping[str, str], further: Sequence[str]) -> list[str]:
        """Return the ``#SBATCH`` lines; a job that is pre-empted or loses its node ends, and we submit another."""
        fixed = ["--nodes=1", "--ntasks=1", "--no-requeue", "--open-mode=append"]
        asked = [option.format(wanted[key]) for key, option in self._options.items() if key in wanted]
        return [f"#SBATCH {option}" for option in (*asked, *fixed, *further)]

    def submit(self, script: Path) -> str:
        """Submit by ``sbatch``."""
        answer = run_command(["sbatch", "--parsable", str(script)]).strip()
        job = answer.splitlines()[-1].split(";")[0] if answer else ""
        if not job.isdigit():
            raise SchedulerError(f"sbatch answered {answer!r}, which is no job identifier")
        return job

    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Ask ``squeue``, then ``sacct`` for those that it has forgotten, where accounting is kept."""
        wanted = set(jobs)
        if not wanted:
            return {}
        options = ["--noheader", "--states=all", f"--user={getpass.getuser()}", "--format=%A|%T|%r|%N"]
        listed = parse_squeue(run_command(["squeue", *options]))
        found = {job: facts for job, facts in listed.items() if job in wanted}
        for job, facts in found.items():
            if facts.state not in IN_QUEUE:
                found[job] = QueueFacts(facts.state, ", ".join(filter(None, (facts.reason, self._exit(job)))))
        forgotten = sorted(wanted - found.keys())
        if forgotten:
            found |= self._ask_accounting(forgotten)
        return found

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel by ``scancel``."""
        if jobs:
            run_command(["scancel", "--quiet", *jobs])

    @staticmethod
    def _exit(job: str) -> str:
        try:
            return parse_scontrol_exit(run_command(["scontrol", "--oneliner", "show", "job", job]))
        except SchedulerError:
            # It was forgotten between the two questions.
            return ""

    @staticmethod
    def _ask_accounting(jobs: Sequence[str]) -> dict[str, QueueFacts]:
        options = ["--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,State,ExitCode"]
        try:
            return parse_sacct(run_command(["sacct", *options, f"--jobs={','.join(jobs)}"]))
        except (SchedulerError, InputError):
            # A cluster without accounting.
            return {}


# -- PBS -------------------------------------------------------------------------------------------------------------

_PBS_SIGNALS = {-29: QueueState.TIMED_OUT, -10: QueueState.FAILED, -11: QueueState.NODE_FAILED}


def pbs_facts(job: Mapping[str, Any]) -> QueueFacts:
    """Return what one job of ``qstat -f -x -F json`` means (PBS Professional 2022.1, reference guide, 8.1)."""
    letter, comment = str(job.get("job_state", "")), str(job.get("comment", ""))
    reason = f"pbs: state {letter}" + (f", {comment}" if comment else "")
    if letter in {"Q", "H", "W", "T", "M", "B"}:
        return QueueFacts(QueueState.PENDING, reason)
    if letter in {"R", "E", "S", "U"}:
        return QueueFacts(QueueState.RUNNING, reason)
    status = job.get("Exit_status")
    reason += "" if status is None else f", exit status {status}"
    lowered = comment.lower()
    if "walltime" in lowered:
        return QueueFacts(QueueState.TIMED_OUT, reason)
    if "mem" in lowered and "exceed" in lowered:
        return QueueFacts(QueueState.OUT_OF_MEMORY, reason)
    if "preempt" in lowered:
        return QueueFacts(QueueState.PREEMPTED, reason)
    if status is None or status == 271:  # 256 + SIGTERM: qdel
        return QueueFacts(QueueState.CANCELLED, reason)
    if status == 0:
        return QueueFacts(QueueState.FINISHED, reason)
    return QueueFacts(_PBS_SIGNALS.get(int(status), QueueState.FAILED), reason)


class Pbs:
    """The commands of PBS Professional and OpenPBS; never run against real ones."""

    name = "pbs"

    def directives(self, wanted: Mapping[str, str], further: Sequence[str]) -> list[str]:
        """Return the ``#PBS`` lines."""
        chunk = f"select=1:ncpus={wanted['cores']}"
        chunk += f":mem={wanted['memory_MB']}mb" if "memory_MB" in wanted else ""
        chunk += f":ngpus={wanted['gpus']}" if "gpus" in wanted else ""
        minutes = int(wanted["wall_time_min"])
        options = [
            f"-N {wanted['job_name'][:15]}",
            f"-l {chunk}",
            f"-l walltime={minutes // 60}:{minutes % 60:02d}:00",
            "-j oe",
            # Without a placeholder for the job's number PBS puts its own name for the file into the folder.
            f"-o {wanted['log'].rpartition('/')[0]}/",
            "-r n",
        ]
        options += [f"-q {wanted['partition']}"] if "partition" in wanted else []
        options += [f"-A {wanted['account']}"] if "account" in wanted else []
        return [f"#PBS {option}" for option in (*options, *further)]

    def submit(self, script: Path) -> str:
        """Submit by ``qsub``."""
        return run_command(["qsub", str(script)]).strip()

    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Ask ``qstat``, history included."""
        wanted = sorted(set(jobs))
        if not wanted:
            return {}
        answer = json.loads(run_command(["qstat", "-x", "-f", "-F", "json"]))
        listed = answer.get("Jobs", {})
        return {job: pbs_facts(listed[job]) for job in wanted if job in listed}

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel by ``qdel``."""
        if jobs:
            run_command(["qdel", *jobs])


# -- LSF -------------------------------------------------------------------------------------------------------------

_LSF_STATES = {
    "PEND": QueueState.PENDING,
    "PSUSP": QueueState.PENDING,
    "WAIT": QueueState.PENDING,
    "RUN": QueueState.RUNNING,
    "USUSP": QueueState.RUNNING,
    "SSUSP": QueueState.RUNNING,
    "PROV": QueueState.RUNNING,
    "DONE": QueueState.FINISHED,
    "ZOMBI": QueueState.NODE_FAILED,
}


def lsf_facts(state: str, exit_reason: str) -> QueueFacts:
    """Return what ``bjobs -o "stat exit_reason"`` means (LSF 10.1, command reference, bjobs and bhist)."""
    reason = f"lsf: {state}" + (f", {exit_reason}" if exit_reason not in ("", "-") else "")
    if state in _LSF_STATES:
        return QueueFacts(_LSF_STATES[state], reason)
    words = exit_reason.upper()
    for word, meaning in (
        ("RUNLIMIT", QueueState.TIMED_OUT),
        ("MEMLIMIT", QueueState.OUT_OF_MEMORY),
        ("PREEMPT", QueueState.PREEMPTED),
        ("OWNER", QueueState.CANCELLED),
        ("ADMIN", QueueState.CANCELLED),
        ("HOST", QueueState.NODE_FAILED),
    ):
        if word in words:
            return QueueFacts(meaning, reason)
    return QueueFacts(QueueState.FAILED, reason)


class Lsf:
    """LSF's commands; never run against real ones."""

    name = "lsf"

    def directives(self, wanted: Mapping[str, str], further: Sequence[str]) -> list[str]:
        """Return the ``#BSUB`` lines."""
        options = [
            f"-J {wanted['job_name']}",
            f"-n {wanted['cores']}",
            '-R "span[hosts=1]"',
            f"-W {wanted['wall_time_min']}",
            f"-o {wanted['log'].replace('%j', '%J')}",
            "-rn",
        ]
        options += [f"-M {wanted['memory_MB']}MB"] if "memory_MB" in wanted else []
        options += [f'-gpu "num={wanted["gpus"]}"'] if "gpus" in wanted else []
        options += [f"-q {wanted['partition']}"] if "partition" in wanted else []
        options += [f"-P {wanted['account']}"] if "account" in wanted else []
        return [f"#BSUB {option}" for option in (*options, *further)]

    def submit(self, script: Path) -> str:
        """Submit by ``bsub``, which reads the script from its input."""
        answer = run_command(["bsub"], stdin=script)
        match = re.search(r"Job <(\d+)>", answer)
        if match is None:
            raise SchedulerError(f"bsub answered {answer.strip()!r}, which holds no job identifier")
        return match.group(1)

    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Ask ``bjobs``."""
        wanted = set(jobs)
        if not wanted:
            return {}
        text = run_command(["bjobs", "-a", "-noheader", "-o", "jobid stat exit_reason delimiter='|'"])
        cells = [line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2]
        return {job: lsf_facts(state, why) for job, state, why in cells if job in wanted}

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel by ``bkill``."""
        if jobs:
            run_command(["bkill", *jobs])


def scheduler_of(name: str) -> Scheduler:
    """Return the scheduler that a profile names."""
    schedulers: tuple[Scheduler, ...] = (Slurm(), Pbs(), Lsf())
    return next(one for one in schedulers if one.name == name)
