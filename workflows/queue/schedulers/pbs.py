"""The commands of PBS Professional and OpenPBS; never run against real ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .base import QueueFacts, QueueState, Scheduler, SchedulerError
from .commands import Answer, answer_of, job_submitted

_PBS_SIGNALS = {-29: QueueState.TIMED_OUT, -10: QueueState.FAILED, -11: QueueState.NODE_FAILED}


def pbs_facts(job: Mapping[str, Any]) -> QueueFacts:
    """Return what one job of ``qstat -f -x -F json`` means (PBS Professional 2022.1, reference guide, 8.1)."""
    letter, comment = str(job.get("job_state", "")), str(job.get("comment", ""))
    reason = f"pbs: state {letter}" + (f", {comment}" if comment else "")
    if letter in {"Q", "H", "W", "T", "M", "B"}:
        return QueueFacts(QueueState.PENDING, reason)
    if letter in {"R", "E", "S", "U"}:
        return QueueFacts(QueueState.RUNNING, reason)
    said = str(job.get("Exit_status", "")).strip()
    # Mended answers hold numbers with leading zeros as text.
    status = int(said) if re.fullmatch(r"-?\d+", said) else None
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
    return QueueFacts(_PBS_SIGNALS.get(status, QueueState.FAILED), reason)


_TOKEN = re.compile(
    r'"(?P<text>(?:[^"\\]|\\.)*)"'
    r"|(?P<bare>[^\s\"{}\[\],:]+)",
    re.DOTALL,
)
_DECODER = json.JSONDecoder(strict=False)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')


def parse_qstat(text: str) -> dict[str, Any]:
    """Return the jobs in an answer of ``qstat -f -F json``, which often is no valid JSON.

    PBS copies what a job's environment and comments hold: backslashes that escape nothing, control characters,
    numbers with leading zeros and other words without quotes (openpbs issue 1255).

    Raises
    ------
    SchedulerError
        If it cannot be read even so.
    """
    text = text[max(0, text.find("{")) :]
    for attempt in (text, _TOKEN.sub(_mended, text)):
        try:
            # What a wrapper prints after it is none of PBS's.
            answer, _ = _DECODER.raw_decode(attempt)
        except ValueError:
            continue
        jobs = answer.get("Jobs", {}) if isinstance(answer, dict) else None
        if isinstance(jobs, dict):
            return {job: facts for job, facts in jobs.items() if isinstance(facts, dict)}
    raise SchedulerError("qstat's answer cannot be read: it is no JSON, and could not be mended")


def _mended(token: re.Match[str]) -> str:
    if token["bare"] is None:
        return '"' + _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", token["text"]) + '"'
    try:
        json.loads(token["bare"])
    except ValueError:
        return json.dumps(token["bare"])
    return token["bare"]


def parse_qstat_text(text: str) -> dict[str, dict[str, str]]:
    """Return the jobs in an answer of ``qstat -f``, whose long lines go on after a tab."""
    found: dict[str, dict[str, str]] = {}
    job: dict[str, str] = {}
    for line in text.replace("\n\t", "").splitlines():
        if line.startswith("Job Id:"):
            job = found.setdefault(line.partition(":")[2].strip(), {})
        elif match := re.match(r" +([\w.]+) = (.*)", line):
            job.setdefault(match[1], match[2])
    return found


def _short_name(name: str) -> str:
    """Return a name of at most 15 characters, what all versions take: its end tells jobs apart, so it goes first."""
    front, _, token = name.rpartition("-")
    return f"i{token}-{front.removeprefix('ionloop-')}"[:15]


def _number(job: str) -> str:
    return job.partition(".")[0]


def _with_history(command: str, *options: str) -> Answer:
    """Ask also for jobs that have ended, where the server keeps them (by default it does not)."""
    answer = answer_of([command, "-x", *options])
    return answer_of([command, *options]) if answer.complaint and "job history" in answer.words.lower() else answer


class Pbs(Scheduler):
    """The commands of PBS Professional and OpenPBS; never run against real ones."""

    name = "pbs"
    rank = 20
    job_variable = "PBS_JOBID"

    def unfit(self, directive: str) -> str:
        """Return arrays, jobs that are typed into, and what waits for the job's end."""
        found = re.search(r"(?:^|\s)(-J|-I|-W\s*block=true)(?=$|\s|\d)", directive)
        return found[1] if found else ""

    def directives(self, wanted: Mapping[str, str], further: Sequence[str]) -> list[str]:
        """Return the ``#PBS`` lines."""
        chunk = f"select=1:ncpus={wanted['cores']}"
        chunk += f":mem={wanted['memory_MB']}mb" if "memory_MB" in wanted else ""
        chunk += f":ngpus={wanted['gpus']}" if "gpus" in wanted else ""
        minutes = int(wanted["wall_time_min"])
        options = [
            f"-N {_short_name(wanted['job_name'])}",
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
        return job_submitted(answer_of(["qsub", str(script)]))

    def find(self, name: str, clusters: str = "") -> str | None:
        """Ask ``qselect`` for a job's name, finished ones included."""
        answer = _with_history("qselect", "-N", _short_name(name))
        if answer.complaint:
            raise SchedulerError(answer.complaint)
        return next((line.strip() for line in answer.output.splitlines() if line.strip()[:1].isdigit()), None)

    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Ask ``qstat`` for these jobs, history included."""
        wanted = sorted(set(jobs))
        if not wanted:
            return {}
        # Only our own: another's environment may make the whole answer unreadable. Servers write their own name in
        # more than one way.
        listed = {_number(job): facts for job, facts in self._listed(wanted).items()}
        return {job: pbs_facts(listed[_number(job)]) for job in wanted if _number(job) in listed}

    @staticmethod
    def _listed(jobs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        answer = _with_history("qstat", "-f", "-F", "json", *jobs)
        unknown = re.search(r"unknown job", answer.errors, re.IGNORECASE)
        # Of several jobs of which it knows some it tells those, and fails.
        if answer.complaint and not unknown:
            raise SchedulerError(answer.complaint)
        if not answer.output.strip():
            if unknown:
                return {}
            raise SchedulerError("qstat answered nothing")
        try:
            return parse_qstat(answer.output)
        except SchedulerError:
            listed = parse_qstat_text(_with_history("qstat", "-f", *jobs).output)
            if not listed:
                raise
            return listed

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel by ``qdel``."""
        if jobs:
            answer = answer_of(["qdel", *jobs])
            # Those that have ended are no error.
            if answer.complaint and not re.search(
                r"unknown job|has finished|invalid state", answer.words, re.IGNORECASE
            ):
                raise SchedulerError(answer.complaint)


PBS = Pbs()
