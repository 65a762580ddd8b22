"""LSF's commands; never run against real ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .base import QueueFacts, QueueState, Scheduler, SchedulerError
from .commands import answer_of, job_submitted

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


_NO_COMPLAINT = re.compile(
    r"already finished|no matching job|is being terminated|being signaled|is not found", re.IGNORECASE
)


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


class Lsf(Scheduler):
    """LSF's commands; never run against real ones."""

    name = "lsf"
    rank = 30
    job_variable = "LSB_JOBID"

    def unfit(self, directive: str) -> str:
        """Return names (by which arrays are made too), jobs that are typed into, and what waits for the job's end."""
        found = re.search(r"(?:^|\s)(-J|-K|-Is|-Ip|-I)(?=$|\s)", directive)
        return found[1] if found else ""

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
        return job_submitted(answer_of(["bsub"], stdin=script))

    def find(self, name: str, clusters: str = "") -> str | None:
        """Ask ``bjobs`` for a job's name."""
        cells = self._listed(["-J", name, "-o", "jobid job_name delimiter='|'"], 2)
        return next((job for job, found in cells if found == name), None)

    def ask(self, jobs: Iterable[str]) -> dict[str, QueueFacts]:
        """Ask ``bjobs``."""
        wanted = set(jobs)
        if not wanted:
            return {}
        cells = self._listed(["-o", "jobid stat exit_reason delimiter='|'"], 3)
        return {job: lsf_facts(state, why) for job, state, why in cells if job in wanted}

    @staticmethod
    def _listed(options: Sequence[str], width: int) -> list[list[str]]:
        answer = answer_of(["bjobs", "-a", "-noheader", *options])
        if answer.complaint and not ("is not found" in answer.words or "ob found" in answer.words):
            raise SchedulerError(answer.complaint)
        cells = [[cell.strip() for cell in line.split("|", width - 1)] for line in answer.output.splitlines()]
        return [line for line in cells if len(line) == width]

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel by ``bkill``."""
        if jobs:
            answer = answer_of(["bkill", *jobs])
            # It fails if one of them has ended, and kills the others.
            complaints = [line for line in answer.words.splitlines() if line.strip() and not _NO_COMPLAINT.search(line)]
            if answer.status is None or (answer.status and (complaints or not answer.words)):
                raise SchedulerError(answer.complaint)


LSF = Lsf()
