import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ionloop.core.errors import InputError
from ionloop.workflows.queue.schedulers.base import QueueFacts, QueueState, SchedulerError, UnclearSubmission
from ionloop.workflows.queue.schedulers.commands import answer_of, job_in, run_command
from ionloop.workflows.queue.schedulers.lsf import Lsf, lsf_facts
from ionloop.workflows.queue.schedulers.pbs import Pbs, parse_qstat, pbs_facts
from ionloop.workflows.queue.schedulers.slurm import (
    Slurm,
    option_of,
    parse_sacct,
    parse_scontrol_exit,
    parse_scontrol_state,
    parse_squeue,
    slurm_facts,
    submission_environment,
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


@pytest.mark.parametrize("state", ["EXPEDITING", "POWER_UP_NODE", "RESV_DEL_HOLD", "REQUEUE_HOLD", "CONFIGURING"])
def test_a_job_that_slurm_holds_or_hastens_waits(state):
    assert slurm_facts(state).state is QueueState.PENDING


@pytest.mark.parametrize("state", ["BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL"])
def test_a_job_that_its_node_did_not_begin_did_not_fail_itself(state):
    assert slurm_facts(state).state is QueueState.NODE_FAILED


def test_a_state_that_slurm_adds_one_day_is_no_success():
    assert slurm_facts("MELTED").state is QueueState.FAILED
    assert slurm_facts("").state is QueueState.FAILED


def test_parts_of_a_job_count_as_the_job():
    squeue = """\
7_[3-5%2]|PENDING|JobArrayTaskLimit|(null)
7_1|RUNNING|None|node1
7_2|COMPLETED|None|node2
8+0|PENDING|Resources|N/A
8+1|PENDING|Resources|(null)
9_1|COMPLETED|None|node1
9_2|TIMEOUT|TimeLimit|node1
10_[1,3,...|PENDING|(null)|
"""
    found = parse_squeue(squeue)
    assert {job: facts.state for job, facts in found.items()} == {
        "7": QueueState.RUNNING,
        "8": QueueState.PENDING,
        "9": QueueState.TIMED_OUT,
        "10": QueueState.PENDING,
    }
    assert found["8"].reason == "slurm: PENDING, Resources"
    assert found["10"].reason == "slurm: PENDING"
    # Steps are no jobs: a batch step that ended says nothing of the job.
    accounted = parse_sacct("7.batch|FAILED|1:0\n8+0|COMPLETED|0:0\n8+1|NODE_FAIL|1:0\n9.extern|COMPLETED|0:0\n")
    assert {job: facts.state for job, facts in accounted.items()} == {"8": QueueState.NODE_FAILED}
    array = "JobId=8 ArrayTaskId=2-5 JobState=PENDING Reason=(null)\nJobId=7 ArrayTaskId=1 JobState=RUNNING Reason=None"
    assert parse_scontrol_state(array).state is QueueState.RUNNING


@pytest.mark.parametrize("nothing", ["", "(null)", "N/A", "Unknown", "None"])
def test_what_says_nothing_is_no_state(nothing):
    assert parse_squeue(f"7|{nothing}|None|node1\n8|RUNNING|{nothing}|{nothing}\n") == {
        "8": QueueFacts(QueueState.RUNNING, "slurm: RUNNING")
    }
    accounted = parse_sacct(f"7|{nothing}|0:0\n8|FAILED|{nothing}\n")
    assert accounted == {"8": QueueFacts(QueueState.FAILED, "slurm: FAILED")}
    assert parse_scontrol_state(f"JobId=7 JobState={nothing or '(null)'} Reason=None") is None


def test_a_part_is_found_by_the_job_s_name_and_names_that_are_not_told_by_none(commands):
    commands(squeue="echo '7+0|PENDING|None||ionloop-x'", sacct="exit 1")
    assert Slurm().find("ionloop-x") == "7"
    commands(squeue="echo '7|RUNNING|None|n1|(null)'")
    with pytest.raises(SchedulerError, match="names"):
        Slurm().find("ionloop-x")


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


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Stand-ins for a site's commands: told what to do in bash, they note what they were asked."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def add(**scripts: str) -> None:
        for name, body in scripts.items():
            path = tmp_path / name
            path.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/asked\n{body}\n')
            path.chmod(0o700)

    add.asked = lambda: (tmp_path / "asked").read_text().splitlines()
    return add


@pytest.mark.parametrize(
    ("answer", "job"),
    [
        ("1001\n", "1001"),
        ("1001;mycluster\n", "1001;mycluster"),
        ("--> Checking allocation...OK\n1001\n", "1001"),
        ("1001\nYour job will be charged to account abc\n", "1001"),
        ("2 of your 100 h are left\nSubmitted batch job 1001\n", "1001"),
        ("Submitted batch job 1001 on cluster other\n", "1001;other"),
        ("101.server\n", "101.server"),
        ("Welcome to v2.0\nqsub: job 101.pbs-1.cluster.local ready\n", "101.pbs-1.cluster.local"),
        ("Job <77> is submitted to queue <normal>.\n", "77"),
        ("maintenance until noon\n", ""),
        ("charged at 1.5 per hour in 2026\n", ""),
        ("", ""),
    ],
)
def test_a_job_s_number_is_found_wherever_an_answer_holds_it(answer, job):
    assert job_in(answer) == job


@pytest.mark.parametrize(
    ("sbatch", "kind", "job"),
    [
        ("echo maintenance until noon", UnclearSubmission, ""),
        ("echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1", UnclearSubmission, ""),
        ("kill -9 $$", UnclearSubmission, ""),
        ("echo 1001; echo 'the log of submissions is full' >&2; exit 3", UnclearSubmission, "1001"),
        ("echo 80; echo 1001", UnclearSubmission, "80"),
        ("echo 'error: Batch job submission failed: Invalid account' >&2; exit 1", SchedulerError, ""),
    ],
)
def test_what_may_have_arrived_is_told_from_what_was_refused(commands, tmp_path, sbatch, kind, job):
    commands(sbatch=sbatch)
    with pytest.raises(SchedulerError) as caught:
        Slurm().submit(tmp_path / "script")
    assert type(caught.value) is kind
    assert getattr(caught.value, "job", "") == job


def test_a_command_that_hangs_is_ended_with_all_that_it_started(commands, monkeypatch):
    monkeypatch.setattr("ionloop.workflows.queue.schedulers.commands.COMMAND_TIMEOUT_S", 0.5)
    commands(squeue="echo 'slurm: retrying' >&2; sleep 300; true", sbatch="echo 1001; sleep 300 & ")
    with pytest.raises(SchedulerError, match=r"did not answer within 0\.5 s: slurm: retrying"):
        run_command(["squeue"])
    answer = answer_of(["sbatch"])
    assert (answer.status, answer.output) == (0, "1001\n"), "what it left behind does not count"


def test_the_variables_of_a_site_change_nothing_of_what_is_read(commands, tmp_path, monkeypatch):
    theirs = {
        "SQUEUE_FORMAT": "%i",
        "SQUEUE_STATES": "RUNNING",
        "SQUEUE_USERS": "nobody",
        "SACCT_FORMAT": "user",
        "SLURM_TIME_FORMAT": "relative",
        "SCANCEL_INTERACTIVE": "1",
        "SBATCH_WAIT": "1",
        "SBATCH_ARRAY_INX": "1-10",
        "SBATCH_PARTITION": "long",
        "SBATCH_ACCOUNT": "mine",
        "SLURM_CONF": "/etc/slurm.conf",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    for name in ("USER", "LOGNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    # A machine that has the real one, without a database for it, would wait a minute for that.
    no_accounting = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
    commands(squeue=f"env > {tmp_path}/env.squeue", sbatch=f"env > {tmp_path}/env.sbatch; echo 7", sacct=no_accounting)
    script = tmp_path / "script"
    script.write_text("#!/bin/bash\n#SBATCH --partition=short\n")
    assert Slurm().submit(script) == "7"
    assert Slurm().find("name") is None

    def seen(name: str) -> set[str]:
        return {line.partition("=")[0] for line in (tmp_path / f"env.{name}").read_text().splitlines()} & theirs.keys()

    # What the script says itself is not overridden; where it says nothing, what the user chose holds.
    assert seen("sbatch") == {"SBATCH_ACCOUNT", "SLURM_CONF"}
    assert seen("squeue") == {"SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_WAIT", "SBATCH_ARRAY_INX", "SLURM_CONF"}
    assert "SBATCH_PARTITION" in submission_environment(["--time=1"], {"SBATCH_PARTITION": "long"})


@pytest.mark.parametrize("directive", ["--clusters=far", "--clusters far", "-M far", "-Mfar", "-M 'far'"])
def test_the_cluster_of_a_job_is_kept_and_asked(commands, tmp_path, directive):
    script = tmp_path / "script"
    script.write_text(f"#!/bin/bash\n#SBATCH {directive}\n")
    commands(
        sbatch="echo 1001",
        squeue="echo 'CLUSTER: far'; echo '1001|COMPLETED|None|n1|ionloop-x'",
        sacct="exit 1",
        scontrol="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        scancel="exit 0",
    )
    slurm = Slurm()
    assert slurm.clusters([directive]) == "far"
    assert slurm.submit(script) == "1001;far"
    assert slurm.ask(["1001;far"])["1001;far"].state is QueueState.FINISHED
    assert slurm.ask(["1002;far"]) == {}
    assert slurm.find("ionloop-x", "far") == "1001;far"
    slurm.cancel(["1001;far", "7"])
    asked = [line for line in commands.asked() if not line.startswith("sbatch")]
    assert [line for line in asked if " -M far " not in line] == ["scancel --quiet 7"]
    assert {line.split()[0] for line in asked} == {"squeue", "sacct", "scontrol", "scancel"}


def test_options_are_read_as_sbatch_reads_them():
    assert option_of(["--time=5 --partition=a", "-p b # -p c"], ("--partition", "-p")) == "b"
    assert option_of(["--comment='it is -p' --parse"], ("--partition", "-p")) is None


def test_an_empty_list_of_squeue_is_held_against_what_the_controller_says(commands):
    commands(squeue="exit 0", sacct="exit 1", scontrol="echo 'JobId=7 JobState=RUNNING Reason=None ExitCode=0:0'")
    assert Slurm().ask(["7"])["7"].state is QueueState.RUNNING
    commands(scontrol="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert Slurm().ask(["7"]) == {}
    commands(sacct="echo '7|RUNNING|0:0'")
    assert Slurm().ask(["7"]) == {}, "accounting missed its end"
    commands(scontrol="echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(SchedulerError, match="Unable to contact"):
        Slurm().ask(["7"])


def test_a_queue_that_tells_no_names_does_not_say_that_there_is_no_such_job(commands):
    commands(squeue="echo '7|RUNNING|None|n1'", sacct="exit 1")
    with pytest.raises(SchedulerError, match="names"):
        Slurm().find("ionloop-x")


# What PBS copied from an environment and a comment: escapes that are none, a tab, numbers that are none, bare words.
PBS_JSON = r"""Welcome to the cluster
{"timestamp":1795995706,"pbs_version":"19.1.3","Jobs":{
"101.pbs":{"Job_Name":007,"job_state":"R","Variable_List":{"PS1":"\[\e[1m\]\u","TAB":"a	b","X":1e5x}},
"102.pbs.cluster":{"job_state":"F","Exit_status":0271,"comment":"Job run \x"}}}"""
PBS_TEXT = "Job Id: 101.pbs\n    job_state = R\n    comment = a long\n\t one\n\nJob Id: 102.pbs\n    job_state = Q\n"


def test_json_that_is_none_is_mended(commands, tmp_path):
    (tmp_path / "answer").write_text(PBS_JSON)
    commands(qstat=f"cat {tmp_path}/answer; echo 'qstat: Unknown Job Id 103.pbs' >&2; exit 153")
    found = Pbs().ask(["101.pbs", "102.pbs", "103.pbs"])
    states = {job: facts.state for job, facts in found.items()}
    assert states == {"101.pbs": QueueState.RUNNING, "102.pbs": QueueState.CANCELLED}
    assert commands.asked()[-1].endswith("-F json 101.pbs 102.pbs 103.pbs"), "others' jobs are not asked for"


def test_where_json_cannot_be_mended_the_long_form_is_read_or_the_launcher_told(commands, tmp_path):
    (tmp_path / "text").write_text(PBS_TEXT)
    broken = r"""echo '{"Jobs":{"101.pbs":{"P":"C:\","Q":"x"}}'"""
    commands(qstat=f'case "$*" in *json*) {broken};; *) cat {tmp_path}/text;; esac')
    found = Pbs().ask(["101.pbs", "102.pbs"])
    assert {job: facts.reason for job, facts in found.items()} == {
        "101.pbs": "pbs: state R, a long one",
        "102.pbs": "pbs: state Q",
    }
    commands(qstat=broken)
    with pytest.raises(SchedulerError, match="cannot be read"):
        Pbs().ask(["101.pbs"])
    commands(qstat="exit 0")
    with pytest.raises(SchedulerError, match="answered nothing"):
        Pbs().ask(["101.pbs"])


# The first text that is drawn takes long on a machine that others use.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=12) | st.integers() | st.floats(allow_nan=False)))
def test_mending_changes_nothing_of_json_that_is_whole(environment):
    jobs = {"1.pbs": {"job_state": "R", "Variable_List": environment}}
    text = json.dumps({"Jobs": jobs}, ensure_ascii=False)
    assert parse_qstat(text) == jobs
    assert parse_qstat(f"welcome\n{text}\nyour share is used up") == jobs
    assert parse_qstat(text.replace('"job_state"', '"Priority":007,"job_state"'))["1.pbs"] | {"Priority": 0} == {
        **jobs["1.pbs"],
        "Priority": 0,
    }


def test_a_queue_of_lsf_without_jobs_is_an_answer(commands):
    commands(bjobs="echo 'No job found' >&2; exit 255")
    assert Lsf().ask(["7"]) == {}
    assert Lsf().find("x") is None
    commands(bjobs="echo 'LSF is down. Please wait ...' >&2; exit 255")
    with pytest.raises(SchedulerError, match="LSF is down"):
        Lsf().ask(["7"])


def test_jobs_that_have_ended_are_no_reason_not_to_cancel_the_others(commands):
    commands(
        scancel="exit 1",
        bkill="echo 'Job <8> is being terminated'; echo 'Job <7>: Job has already finished' >&2; exit 255",
    )
    Slurm().cancel(["7", "8"])
    Lsf().cancel(["7", "8"])
    commands(
        scancel="echo 'Access/permission denied' >&2; exit 1",
        bkill="echo 'Job <7>: User permission denied' >&2; exit 255",
    )
    for scheduler in (Slurm(), Lsf()):
        with pytest.raises(SchedulerError, match="permission denied"):
            scheduler.cancel(["7"])


def test_a_server_of_pbs_that_keeps_no_history_is_asked_without(commands):
    refused = "*-x*) echo 'PBS is not configured to maintain job history' >&2; exit 35;;"
    commands(
        qstat=f"""case "$*" in {refused} *) echo '{{"Jobs":{{"101.pbs":{{"job_state":"R"}}}}}}';; esac""",
        qselect=f'case "$*" in {refused} *) echo 102.pbs;; esac',
    )
    assert Pbs().ask(["101.pbs"])["101.pbs"].state is QueueState.RUNNING
    assert Pbs().find("ionloop-small-gpu-0123abcd") == "102.pbs"


def test_a_job_that_may_be_on_any_cluster_is_known_by_the_title_above_it(commands):
    commands(
        squeue="echo 'CLUSTER: near'; echo '7|RUNNING|None|n1|other'; echo 'CLUSTER: far'; echo '7|RUNNING|None|n1|x'"
    )
    assert Slurm().find("x", "all") == "7;far"
    commands(squeue="exit 0", sacct="echo '9|x'")
    assert Slurm().find("x") == "9"
    assert "--starttime=now-2days" in commands.asked()[-1], "else accounting begins at midnight"
