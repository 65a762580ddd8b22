import pytest

from ionloop.errors import InputError
from ionloop.workflows.scheduler import (
    QueueState,
    SchedulerError,
    Slurm,
    lsf_facts,
    parse_sacct,
    parse_scontrol_exit,
    parse_squeue,
    pbs_facts,
    run_command,
    slurm_facts,
)

SQUEUE = """\
7|RUNNING|None|node1
8|PENDING|Resources|
9|NODE_FAIL|NodeDown|node1
10|TIMEOUT|TimeLimit|node1
11|PREEMPTED|None|node1
12|OUT_OF_MEMORY|OutOfMemory|node1
13|CANCELLED|None|
14|FAILED|NonZeroExitCode|node1
15|COMPLETED|None|node1
garbage
"""


def test_the_states_of_slurm_are_named_with_its_reason():
    found = parse_squeue(SQUEUE)
    assert {job: facts.state for job, facts in found.items()} == {
        "7": QueueState.RUNNING,
        "8": QueueState.PENDING,
        "9": QueueState.NODE_FAILED,
        "10": QueueState.TIMED_OUT,
        "11": QueueState.PREEMPTED,
        "12": QueueState.OUT_OF_MEMORY,
        "13": QueueState.CANCELLED,
        "14": QueueState.FAILED,
        "15": QueueState.FINISHED,
    }
    assert found["9"].reason == "slurm: NODE_FAIL, NodeDown, on node1"
    assert found["13"].reason == "slurm: CANCELLED"


def test_a_state_that_slurm_adds_one_day_is_no_success():
    assert slurm_facts("MELTED").state is QueueState.FAILED
    assert slurm_facts("").state is QueueState.FAILED


def test_accounting_and_exit_codes_are_read():
    found = parse_sacct("7|CANCELLED by 1000|0:15\n8|OUT_OF_MEMORY|0:125\n")
    assert found["7"].state is QueueState.CANCELLED
    assert "by 1000" in found["7"].reason
    assert found["8"].state is QueueState.OUT_OF_MEMORY
    assert parse_scontrol_exit("JobId=1 ExitCode=75:0 Requeue=0") == "exit code 75"
    assert parse_scontrol_exit("JobId=1 ExitCode=0:9 Requeue=0") == "signal 9"
    assert parse_scontrol_exit("JobId=1 ExitCode=0:0") == ""


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ({"job_state": "Q"}, QueueState.PENDING),
        ({"job_state": "R"}, QueueState.RUNNING),
        ({"job_state": "F", "Exit_status": 0}, QueueState.FINISHED),
        ({"job_state": "F", "Exit_status": 1}, QueueState.FAILED),
        ({"job_state": "F", "Exit_status": 271}, QueueState.CANCELLED),
        ({"job_state": "F", "Exit_status": -29, "comment": "x"}, QueueState.TIMED_OUT),
        ({"job_state": "F", "Exit_status": 271, "comment": "Job exceeded walltime"}, QueueState.TIMED_OUT),
        ({"job_state": "F", "Exit_status": 271, "comment": "mem 9gb exceeded limit 8gb"}, QueueState.OUT_OF_MEMORY),
    ],
)
def test_the_states_of_pbs(job, state):
    assert pbs_facts(job).state is state


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("PEND", "-", QueueState.PENDING),
        ("RUN", "-", QueueState.RUNNING),
        ("DONE", "-", QueueState.FINISHED),
        ("EXIT", "-", QueueState.FAILED),
        ("EXIT", "TERM_RUNLIMIT: job killed after reaching LSF run time limit", QueueState.TIMED_OUT),
        ("EXIT", "TERM_MEMLIMIT: job killed", QueueState.OUT_OF_MEMORY),
        ("EXIT", "TERM_OWNER: job killed by owner", QueueState.CANCELLED),
        ("EXIT", "TERM_PREEMPT: job killed", QueueState.PREEMPTED),
    ],
)
def test_the_states_of_lsf(state, reason, expected):
    facts = lsf_facts(state, reason)
    assert facts.state is expected
    assert reason == "-" or reason in facts.reason


def test_a_command_that_is_missing_or_fails_is_told_with_its_own_words():
    with pytest.raises(InputError, match="no-such-command is not on this machine"):
        run_command(["no-such-command"])
    with pytest.raises(SchedulerError, match="status 3: invalid partition"):
        run_command(["bash", "-c", "echo invalid partition >&2; exit 3"])


def test_an_answer_that_is_no_number_is_no_job(tmp_path, monkeypatch):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/bash\necho maintenance until noon\n")
    sbatch.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(SchedulerError, match="maintenance until noon"):
        Slurm().submit(tmp_path / "script")
