import subprocess
from pathlib import Path

import pytest

from ionloop.core.errors import InputError
from ionloop.workflows.queue.cluster_profile import ClusterProfile, ProfileError, read_profile, task_kinds
from ionloop.workflows.queue.job_script import ScriptRequest, job_script, refuse_secrets
from ionloop.workflows.queue.launcher import jobs_per_allocation
from ionloop.workflows.queue.schedulers.registry import scheduler_of

EXAMPLES = Path(__file__).parents[3] / "deploy" / "cluster"
LOG = "/store/cluster/small-%j.log"


def written(folder: Path, text: str) -> Path:
    path = folder / "profile.yaml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ProfileError) as caught:
        read_profile(written(folder, text))
    return str(caught.value)


@pytest.mark.parametrize("name", ["slurm", "pbs", "lsf"])
def test_the_examples_are_valid_and_run_every_kind_of_task_once(name):
    profile = read_profile(EXAMPLES / f"{name}.yaml")
    assert profile.scheduler == name
    kinds = [kind for resources in profile.resources for kind in profile.kinds_of(resources)]
    assert sorted(kinds) == list(task_kinds())


def test_every_mistake_is_told_at_once_with_line_key_and_suggestion(tmp_path):
    text = """
scheduler: slrum
partitoin: short
account: "a; rm -rf /"
resources:
  labels: {kinds: [label], cores: two, wall_time_hours: 3}
"""
    message = refusal(tmp_path, text)
    assert "profile.yaml: 5 problems" in message
    for line, part in (
        (2, 'scheduler = "slrum": is not one of the choices; did you mean slurm?'),
        (3, "partitoin: unknown key; did you mean partition?"),
        (4, "account"),
        (6, "resources.labels.cores"),
        (6, "did you mean wall_time_h?"),
    ):
        assert any(f"line {line}" in one and part in one for one in message.splitlines()), part


@pytest.mark.parametrize(
    ("resources", "part"),
    [
        ("{a: {kinds: [labl, other]}}", "did you mean label?"),
        ("{a: {kinds: [label]}}", "no class runs"),
        ("{a: {kinds: [other]}, b: {kinds: [fit]}, c: {kinds: [fit]}}", "in class 'b' already"),
        ("{a: {kinds: [other], cores: 2, workers: 4}}", "more than the 2 cores"),
        ("{a: {kinds: [other], wall_time_h: 0.1, longest_min: 10}}", "no job would ever fit"),
        ("{a: {kinds: [other], wall_time_h: 0.05, longest_min: 1}}", "leaves nothing of the wall time"),
    ],
)
def test_values_that_do_not_fit_together_are_named(tmp_path, resources, part):
    assert part in refusal(tmp_path, f"scheduler: slurm\nresources: {resources}\n")


@pytest.mark.parametrize(
    ("scheduler", "directive", "option"),
    [
        ("slurm", "--array=1-5%2", "--array"),
        ("slurm", "-a 1-5", "--array"),
        ("slurm", "--qos=long --wait", "--wait"),
        ("slurm", "hetjob", "hetjob"),
        ("pbs", "-J 1-5", "-J"),
        ("pbs", "-q long -W block=true", "-W block=true"),
        ("lsf", '-J "name[1-5]"', "-J"),
        ("lsf", "-K", "-K"),
    ],
)
def test_one_submission_is_one_job_that_starts_by_itself(tmp_path, scheduler, directive, option):
    resources = f"{{a: {{kinds: [other], directives: ['{directive}']}}}}"
    message = refusal(tmp_path, f"scheduler: {scheduler}\nresources: {resources}\n")
    assert f"{option} is not for pilots" in message
    assert "resources.a.directives" in message


@pytest.mark.parametrize(
    ("scheduler", "directive"),
    [("slurm", "--comment=array --account=a-J"), ("pbs", "-l place=excl -W umask=022"), ("lsf", "-R 'span[hosts=1]'")],
)
def test_other_directives_are_the_site_s_own(tmp_path, scheduler, directive):
    resources = f'{{a: {{kinds: [other], directives: ["{directive}"]}}}}'
    assert read_profile(written(tmp_path, f"scheduler: {scheduler}\nresources: {resources}\n"))


@pytest.mark.parametrize(
    "environment", ["{MONGO_PASSWORD: hunter2}", '{STORE: "mongodb://me:secret@host"}', '{"A=B; rm": x}']
)
def test_credentials_and_broken_names_have_no_place_in_an_environment(tmp_path, environment):
    text = f"scheduler: slurm\nenvironment: {environment}\nresources: {{a: {{kinds: [other]}}}}\n"
    assert "environment" in refusal(tmp_path, text)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "scheduler: &a slurm\nresources: *a\n", "a: !!python/object:x {}"])
def test_what_is_no_profile_is_refused(tmp_path, text):
    assert "profile.yaml" in refusal(tmp_path, text)


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path):
    written(tmp_path, "")
    with pytest.raises(ProfileError, match=r"did you mean profile.yaml"):
        read_profile(tmp_path / "profle.yaml")


# -- the script ------------------------------------------------------------------------------------------------------


def profile(scheduler: str = "slurm", **changes) -> ClusterProfile:
    labels = {"kinds": ["other"], "cores": 8, "workers": 4, "memory_GB": 16.0, "wall_time_h": 2.0, "gpus": 1}
    settings = {"scheduler": scheduler, "partition": "short", "account": "me", "resources": {"labels": labels}}
    return ClusterProfile.model_validate({**settings, **changes})


def script(wanted: ClusterProfile, log: str = LOG) -> str:
    request = ScriptRequest("small", "labels", log)
    return job_script(wanted, scheduler_of(wanted.scheduler), request, Path("/store/cluster/settings.json"))


@pytest.mark.parametrize(
    ("scheduler", "lines"),
    [
        (
            "slurm",
            [
                "#SBATCH --cpus-per-task=8",
                "#SBATCH --mem=16000M",
                "#SBATCH --time=120",
                "#SBATCH --partition=short",
                "#SBATCH --account=me",
                "#SBATCH --gres=gpu:1",
                "#SBATCH --no-requeue",
            ],
        ),
        ("pbs", ["#PBS -l select=1:ncpus=8:mem=16000mb:ngpus=1", "#PBS -l walltime=2:00:00", "#PBS -q short"]),
        ("lsf", ["#BSUB -n 8", "#BSUB -W 120", "#BSUB -M 16000MB", "#BSUB -q short", "#BSUB -P me"]),
    ],
)
def test_a_script_asks_for_what_the_profile_says(scheduler, lines):
    text = script(profile(scheduler))
    assert set(lines) <= set(text.splitlines())
    assert text.splitlines()[0] == "#!/bin/bash"
    assert "pilot" in text.splitlines()[-1]


def test_whatever_stands_in_the_environment_reaches_the_worker_and_no_shell(tmp_path):
    hostile = "a'b\"c $(touch marker) `touch marker`; touch marker # \\"
    python = tmp_path / "my python"
    python.write_text('#!/bin/bash\nprintf "%s" "$X" > "$0.seen"\n')
    python.chmod(0o700)
    text = script(profile(environment={"X": hostile}, python=str(python)))
    subprocess.run(["bash"], input=text, text=True, cwd=tmp_path, check=True)
    assert not (tmp_path / "marker").exists()
    assert Path(f"{python}.seen").read_text() == hostile


def test_a_password_is_never_submitted():
    refuse_secrets({"IONLOOP_STORE_CREDENTIALS": "/home/me/credentials"})
    with pytest.raises(InputError, match=r"IONLOOP_STORE_PASSWORD.*mode 0600"):
        refuse_secrets({"IONLOOP_STORE_PASSWORD": "secret"})


@pytest.mark.parametrize("folder", ["/a folder", "/a\n#SBATCH --wrap=x", "/a'b"])
def test_a_folder_that_schedulers_would_misread_is_refused(folder):
    with pytest.raises(InputError, match="choose another folder"):
        script(profile(), f"{folder}/%j.log")


def test_many_short_jobs_share_an_allocation_and_a_long_one_has_its_own():
    short = profile(resources={"labels": {"kinds": ["other"], "cores": 8, "workers": 8, "wall_time_h": 10.0}})
    assert jobs_per_allocation(short, "labels") == 8 * 19
    long = profile(resources={"labels": {"kinds": ["other"], "wall_time_h": 10.0, "longest_min": 600.0}})
    assert jobs_per_allocation(long, "labels") == 1
