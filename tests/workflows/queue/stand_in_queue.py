"""A queue of SLURM, PBS or LSF in a file, for machines without one: each command answers in the real one's words.

Called by the name of the command that it stands for; ``IONLOOP_TEST_QUEUE`` is the file.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

FILE = Path(os.environ["IONLOOP_TEST_QUEUE"])
NAME = re.compile(r"^#(?:SBATCH --job-name=|PBS -N |BSUB -J )(.+)$", re.MULTILINE)


def submit(text: str, answer: str) -> None:
    jobs = read()
    number = str(101 + len(jobs))
    jobs[number] = [NAME.search(text)[1], "running"]
    FILE.write_text(json.dumps(jobs))
    print(answer.format(number))


def read() -> dict[str, list[str]]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def cancel(words: list[str], unknown: str) -> int:
    jobs, status = read(), 0
    for number in (word.partition(".")[0] for word in words):
        if number not in jobs:
            print(unknown.format(number), file=sys.stderr)
            status = 1
        else:
            jobs[number][1] = "cancelled"
    FILE.write_text(json.dumps(jobs))
    return status


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words else ""


def slurm(command: str, words: list[str]) -> int:
    if command == "sbatch":
        if not Path(words[-1]).is_file():
            print(f"sbatch: error: Unable to open file {words[-1]}", file=sys.stderr)
            return 1
        submit(Path(words[-1]).read_text(), "{}")
    elif command == "squeue":
        wanted = next((word.partition("=")[2] for word in words if word.startswith("--name=")), None)
        for number, (name, state) in read().items():
            if wanted in (None, name):
                print(f"{number}|{state.upper()}|None|node1|{name}")
    elif command == "scontrol":
        job = read().get(words[-1])
        if job is None:
            print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
            return 1
        print(f"JobId={words[-1]} JobName={job[0]} JobState={job[1].upper()} Reason=None ExitCode=0:0")
    elif command == "sacct":
        print("Slurm accounting storage is disabled", file=sys.stderr)
        return 1
    elif command == "scancel":
        cancel([word for word in words if word.isdigit()], "scancel: error: Invalid job id {}")
    return 0


def pbs(command: str, words: list[str]) -> int:
    if command == "qsub":
        if not Path(words[-1]).is_file():
            print(f"qsub: script file {words[-1]} cannot be loaded - No such file or directory", file=sys.stderr)
            return 1
        submit(Path(words[-1]).read_text(), "{}.server")
    elif command == "qselect":
        for number, (name, _) in read().items():
            if name == after(words, "-N"):
                print(f"{number}.server")
    elif command == "qstat":
        asked = [word.partition(".")[0] for word in words if word[0].isdigit()]
        jobs = {number: read()[number] for number in asked if number in read()}
        letters = {"running": {"job_state": "R"}, "cancelled": {"job_state": "F", "Exit_status": 271}}
        listed = {f"{number}.server": {"Job_Name": job[0], **letters[job[1]]} for number, job in jobs.items()}
        unknown = [number for number in asked if number not in jobs]
        for number in unknown:
            print(f"qstat: Unknown Job Id {number}.server", file=sys.stderr)
        if listed:
            print(json.dumps({"pbs_version": "2022.1.1", "Jobs": listed}))
        return 153 if unknown else 0
    elif command == "qdel":
        return cancel(words, "qdel: Unknown Job Id {}.server")
    return 0


def lsf(command: str, words: list[str]) -> int:
    if command == "bsub":
        text = sys.stdin.read()
        if not text:
            print("Empty job. Job not submitted.", file=sys.stderr)
            return 255
        submit(text, "Job <{}> is submitted to queue <short>.")
    elif command == "bjobs":
        states = {"running": "RUN|-", "cancelled": "EXIT|TERM_OWNER: job killed by owner"}
        by_name = after(words, "-J")
        found = {number: job for number, job in read().items() if by_name in ("", job[0])}
        if not found:
            print("No job found", file=sys.stderr)
            return 255
        for number, (name, state) in found.items():
            print(f"{number}|{name}" if by_name else f"{number}|{states[state]}")
    elif command == "bkill":
        return cancel(words, "Job <{}>: No matching job found")
    return 0


if __name__ == "__main__":
    called = Path(sys.argv[0]).name
    answers = {"s": slurm, "q": pbs, "b": lsf}[called[0]] if called != "squeue" else slurm
    sys.exit(answers(called, sys.argv[1:]))
