"""SLURM's commands."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from ....core.errors import InputError, IonloopError
from .base import IN_QUEUE, QueueFacts, QueueState, Scheduler, SchedulerError
from .commands import answer_of, clean_environment, job_submitted, run_command

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
    "EXPEDITING": QueueState.PENDING,
    "POWER_UP_NODE": QueueState.PENDING,
    "RESV_DEL_HOLD": QueueState.PENDING,
    "COMPLETED": QueueState.FINISHED,
    "CANCELLED": QueueState.CANCELLED,
    "REVOKED": QueueState.CANCELLED,
    "PREEMPTED": QueueState.PREEMPTED,
    "NODE_FAIL": QueueState.NODE_FAILED,
    "BOOT_FAIL": QueueState.NODE_FAILED,
    "LAUNCH_FAILED": QueueState.NODE_FAILED,
    "RECONFIG_FAIL": QueueState.NODE_FAILED,
    "OUT_OF_MEMORY": QueueState.OUT_OF_MEMORY,
    "TIMEOUT": QueueState.TIMED_OUT,
    "DEADLINE": QueueState.TIMED_OUT,
    "FAILED": QueueState.FAILED,
}


_NOTHING = frozenset({"", "(null)", "null", "none", "n/a", "unknown", "0:0"})
"""What SLURM's commands, and wrappers around them, print where there is no value."""
_JOB = re.compile(r"(\d+)(?:_(?:\d+|\[[^\]]*\]?\S*)|\+\d+)?")
"""A job, an element or the rest of an array (``7_3``, ``7_[4-9%2]``), a part of a heterogeneous job (``7+1``)."""
_LIVELIEST = (QueueState.RUNNING, QueueState.PENDING)


def has_value(text: str) -> bool:
    """Return whether a cell of SLURM's commands says anything."""
    return text.strip().lower() not in _NOTHING


def job_number(text: str) -> str | None:
    """Return the number of the job that a cell names, or that it is a part of; None where it names none."""
    match = _JOB.fullmatch(text.strip())
    return match[1] if match else None


def all_parts(facts: Iterable[QueueFacts]) -> QueueFacts | None:
    """Return what is said of a job of which each part is said something: it runs, or waits, as long as one part does.

    A job that has ended is what its first part was that did not finish. None where nothing is said.
    """
    parts = list(facts)
    for state in _LIVELIEST:
        if found := [part for part in parts if part.state is state]:
            return found[0]
    return next((part for part in parts if part.state is not QueueState.FINISHED), parts[0] if parts else None)


def _by_job(lines: Iterable[tuple[str, QueueFacts]]) -> dict[str, QueueFacts]:
    parts: dict[str, list[QueueFacts]] = {}
    for job, facts in lines:
        parts.setdefault(job, []).append(facts)
    return {job: found for job, each in parts.items() if (found := all_parts(each)) is not None}


def slurm_facts(state: str, details: Iterable[str] = ()) -> QueueFacts:
    """Return what SLURM's long state name ("CANCELLED by 0" included) and its further words mean."""
    word = state.split()[0].rstrip("+") if state.split() else ""
    found = _SLURM_STATES.get(word, QueueState.FAILED)
    words = [text for text in details if has_value(text)]
    return QueueFacts(found, "slurm: " + ", ".join([state, *words]))


def parse_squeue(text: str) -> dict[str, QueueFacts]:
    """Read the lines of ``squeue`` in the format that `Slurm` asks for; others (wrappers', clusters' titles) go by."""
    lines = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|", 4)]
        job = job_number(cells[0])
        # Where no state is said, it is asked for elsewhere.
        if len(cells) >= 4 and job is not None and has_value(cells[1]):
            lines.append((job, slurm_facts(cells[1], (cells[2], f"on {cells[3]}" if has_value(cells[3]) else ""))))
    return _by_job(lines)


def job_of_name(text: str, name: str) -> str | None:
    """Return the job of that name, with the cluster under whose title it stands, from the lines of ``squeue``.

    None if there is none.

    Raises
    ------
    SchedulerError
        If the lines hold no names.
    """
    cluster, has_names = "", True
    for line in text.splitlines():
        if line.startswith("CLUSTER:"):
            cluster = line.partition(":")[2].strip()
        cells = [cell.strip() for cell in line.split("|", 4)]
        job = job_number(cells[0])
        if job is None:
            continue
        if cells[-1] == name:
            return _reference(job, cluster)
        has_names = has_names and len(cells) == 5 and cells[-1] not in ("", "(null)", "N/A")
    if not has_names:
        raise SchedulerError("squeue does not tell the names of jobs")
    return None


def parse_sacct(text: str) -> dict[str, QueueFacts]:
    """Read the lines of ``sacct --parsable2 --format=JobIDRaw,State,ExitCode``."""
    lines = []
    for line in text.splitlines():
        cells = line.split("|")
        # Steps (``7.batch``) are no jobs.
        job = job_number(cells[0])
        if len(cells) == 3 and job is not None and has_value(cells[1]):
            code = cells[2].strip()
            said = f"exit code {code}" if code == "0:0" or has_value(code) else ""
            lines.append((job, slurm_facts(cells[1], (said,))))
    return _by_job(lines)


def parse_scontrol_state(text: str) -> QueueFacts | None:
    """Return what ``scontrol --oneliner show job`` says of a job, None if it holds no state."""
    parts = []
    for line in text.splitlines():
        match = re.search(r"\bJobState=(\S+)", line)
        if match is None or not has_value(match.group(1)):
            continue
        reason = re.search(r"\bReason=(\S+)", line)
        parts.append(slurm_facts(match.group(1), (reason.group(1) if reason else "", parse_scontrol_exit(line))))
    return all_parts(parts)


def parse_scontrol_exit(text: str) -> str:
    """Return exit code and signal of a job from ``scontrol --oneliner show job``; empty if it does not say."""
    match = re.search(r"\bExitCode=(\d+):(\d+)", text)
    if match is None or match.groups() == ("0", "0"):
        return ""
    code, signal = match.groups()
    return f"signal {signal}" if code == "0" else f"exit code {code}"


# What may choose for us where jobs go: sbatch(1) lets it override the script's own options, so that each counts only
# where the script says nothing. Anything else that is set for sbatch (an array, a wait for the end) is not for pilots.
_CHOICES = {
    "SBATCH_ACCOUNT": ("--account", "-A"),
    "SBATCH_CLUSTERS": ("--clusters", "-M"),
    "SLURM_CLUSTERS": ("--clusters", "-M"),
    "SBATCH_CONSTRAINT": ("--constraint", "-C"),
    "SBATCH_EXPORT": ("--export",),
    "SBATCH_PARTITION": ("--partition", "-p"),
    "SBATCH_QOS": ("--qos", "-q"),
    "SBATCH_RESERVATION": ("--reservation",),
    "SBATCH_WCKEY": ("--wckey",),
}


def option_of(directives: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the value of an option in the words of ``#SBATCH`` lines, None if it is not there; the last one counts."""
    found = None
    for directive in directives:
        try:
            words = shlex.split(directive, comments=True)
        except ValueError:
            words = directive.split()
        for word, following in zip(words, [*words[1:], ""], strict=True):
            for name in names:
                if word == name:
                    found = following
                elif name.startswith("--") and word.startswith(f"{name}="):
                    found = word[len(name) + 1 :]
                elif not name.startswith("--") and word.startswith(name) and not word.startswith("--"):
                    found = word[len(name) :].removeprefix("=")
    return found


def submission_environment(directives: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for ``sbatch``: what the site or the user chose there, but nothing else of it."""
    kept = {}
    for name, value in clean_environment(environment).items():
        if name in _CHOICES:
            if option_of(directives, _CHOICES[name]) is None:
                kept[name] = value
        elif not name.startswith("SBATCH_"):
            kept[name] = value
    return kept


def _reference(job: str, clusters: str) -> str:
    is_one = bool(clusters) and "," not in clusters and clusters != "all"
    return f"{job};{clusters}" if is_one else job


def parse_end_time(text: str) -> float | None:
    """Return the end of a job (s since the epoch) from ``scontrol show job``, None if it is not there."""
    match = re.search(r"\bEndTime=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    return datetime.fromisoformat(match.group(1)).timestamp() if match else None


_GONE = re.compile(r"invalid job id|already (completing|completed|done)", re.IGNORECASE)


class Slurm(Scheduler):
    """SLURM's commands."""

    name = "slurm"
    rank = 10
    job_variable = "SLURM_JOB_ID"
    _options: ClassVar[dict[str, str]] = {
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

    def unfit(self, directive: str) -> str:
        """Return arrays, parts of heterogeneous jobs, and what waits for the job's end or submits nothing."""
        if directive.split()[:1] in (["hetjob"], ["packjob"]):
            return directive.split()[0]
        names = (("--array", "-a"), ("--wait", "-W"), ("--test-only",))
        return next((name[0] for name in names if option_of([directive], name) is not None), "")

    def clusters(self, further: Sequence[str]) -> str:
        """Return what ``--clusters`` says, else the variables that do."""
        chosen = option_of(further, _CHOICES["SBATCH_CLUSTERS"])
        return chosen or os.environ.get("SBATCH_CLUSTERS") or os.environ.get("SLURM_CLUSTERS") or ""

    def cluster_here(self, environment: Mapping[str, str]) -> str:
        """Return what SLURM tells its jobs."""
        return environment.get("SLURM_CLUSTER_NAME", "")

    def ends_at(self, environment: Mapping[str, str]) -> float | None:
        """Return what the environment says, since SLURM 22.05, else what ``scontrol`` does."""
        moment, job = environment.get("SLURM_JOB_END_TIME", ""), environment.get(self.job_variable, "")
        if moment.isdigit():
            return float(moment)
        if not job.isdigit():
            return None
        try:
            return parse_end_time(run_command(["scontrol", "--oneliner", "show", "job", job]))
        except IonloopError:
            return None

    def submit(self, script: Path) -> str:
        """Submit by ``sbatch``."""
        lines = script.read_text(encoding="utf-8").splitlines() if script.is_file() else []
        directives = [line.removeprefix("#SBATCH") for line in lines if line.startswith("#SBATCH")]
        environment = submission_environment(directives)
        job = job_submitted(answer_of(["sbatch", "--parsable", str(script)], environment=environment))
        clusters = self.clusters(directives)
        return job if ";" in job else _reference(job, clusters)

    def find(self, name: str, clusters: str = "") -> str | None:
        """Ask ``squeue`` for a job's name, then ``sacct``, where accounting is kept."""
        for cluster in clusters.split(","):
            listed = run_command(["squeue", *self._listing(cluster), f"--name={name}"])
            job = job_of_name(listed, name) or self._find_in_accounting(name, cluster)
            if job:
                return job if ";" in job else _reference(job, cluster)
        return None

    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Ask ``squeue``, then ``sacct`` and ``scontrol`` for those that it does not list."""
        by_cluster: dict[str, set[str]] = {}
        for job in jobs:
            number, _, cluster = job.partition(";")
            by_cluster.setdefault(cluster, set()).add(number)
        found = {}
        for cluster, wanted in by_cluster.items():
            for number, facts in self._ask(wanted, cluster).items():
                found[_reference(number, cluster)] = facts
        return found

    def _ask(self, wanted: set[str], cluster: str) -> dict[str, QueueFacts]:
        listed = parse_squeue(run_command(["squeue", *self._listing(cluster)]))
        found = {job: facts for job, facts in listed.items() if job in wanted}
        for job, facts in found.items():
            if facts.state not in IN_QUEUE:
                found[job] = QueueFacts(facts.state, ", ".join(filter(None, (facts.reason, self._exit(job, cluster)))))
        accounted = self._ask_accounting(sorted(wanted - found.keys()), cluster)
        # Accounting may have missed an end, and squeue may answer with an empty list when it is overloaded.
        found |= {job: facts for job, facts in accounted.items() if facts.state not in IN_QUEUE}
        for job in sorted(wanted - found.keys()):
            facts_of_controller = self._ask_controller(job, cluster)
            if facts_of_controller is not None:
                found[job] = facts_of_controller
        return found

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel by ``scancel``."""
        by_cluster: dict[str, list[str]] = {}
        for job in jobs:
            number, _, cluster = job.partition(";")
            by_cluster.setdefault(cluster, []).append(number)
        for cluster, numbers in by_cluster.items():
            answer = answer_of(["scancel", "--quiet", *self._on(cluster), *numbers])
            # Of one that has ended, or is known no more, it says nothing and fails.
            if answer.status is None or (answer.status and answer.words and not _GONE.search(answer.words)):
                raise SchedulerError(answer.complaint)

    @staticmethod
    def _on(cluster: str) -> list[str]:
        return ["-M", cluster] if cluster else []

    def _listing(self, cluster: str) -> list[str]:
        # A number: who has no name in this container's list of users has a number all the same.
        options = ["--noheader", "--states=all", f"--user={os.getuid()}", "--format=%A|%T|%r|%N|%j"]
        return [*self._on(cluster), *options]

    def _show(self, job: str, cluster: str) -> list[str]:
        return ["scontrol", *self._on(cluster), "--oneliner", "show", "job", job]

    def _exit(self, job: str, cluster: str) -> str:
        try:
            return parse_scontrol_exit(run_command(self._show(job, cluster)))
        except (SchedulerError, InputError):
            # It was forgotten between the two questions.
            return ""

    def _ask_controller(self, job: str, cluster: str) -> QueueFacts | None:
        """Return what the controller knows of one job, None if it says that there is none.

        Raises
        ------
        SchedulerError
            If it says neither.
        """
        answer = answer_of(self._show(job, cluster))
        if answer.complaint and "invalid job id" not in answer.words.lower():
            raise SchedulerError(answer.complaint)
        return None if answer.complaint else parse_scontrol_state(answer.output)

    def _ask_accounting(self, jobs: Sequence[str], cluster: str) -> dict[str, QueueFacts]:
        if not jobs:
            return {}
        options = ["--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,State,ExitCode"]
        try:
            return parse_sacct(run_command(["sacct", *self._on(cluster), *options, f"--jobs={','.join(jobs)}"]))
        except (SchedulerError, InputError):
            # A cluster without accounting.
            return {}

    def _find_in_accounting(self, name: str, cluster: str) -> str | None:
        # Where no job is named it begins with today's midnight.
        since = "--starttime=now-2days"
        options = ["--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,JobName", f"--name={name}", since]
        try:
            lines = run_command(["sacct", *self._on(cluster), *options]).splitlines()
        except (SchedulerError, InputError):
            return None
        named = (line.partition("|") for line in lines)
        return next((job for cell, _, of in named if of == name and (job := job_number(cell)) is not None), None)


SLURM = Slurm()
