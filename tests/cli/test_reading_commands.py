"""Commands that only look at records load no physics and no FireWorks: they answer at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ase.build import bulk

from ionloop.store.queries.rows import reference_hash

PHYSICS = {"numpy", "ase", "scipy", "numba", "quippy", "tblite", "matscipy", "spglib", "plotly", "matplotlib", "pandas"}
HEAVY = PHYSICS | {"fireworks", "psutil", "flask", "jinja2", "ruamel"}
SERVERS = {"pymongo", "mongomock"}
"""What only those need who write, or whose store is on a server."""
READING = (["status"], ["failures"], ["query", "labels"], ["query", "labels", "energy<0"], ["query", "models"])
DECIDING = (["pause"], ["resume"], ["priority", "small", "1"])
SCRIPT = f"""
import sys
from ionloop.cli import run_command_line
statuses = [run_command_line(words) for words in {READING!r}]
known = set(sys.modules)
statuses += [run_command_line(words) for words in {DECIDING!r}]
print(*statuses)
print(*known)
print(*sys.modules)
"""


def test_commands_that_read_load_no_physics(builder) -> None:
    builder.add_job("generation-0/label/a", "label", 0, "READY")
    # As a submission does.
    reference_hash(builder.store, builder.store.campaigns["small"])
    store = builder.store.location
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={**os.environ, "IONLOOP_STORE": store}
    )
    assert done.returncode == 0, done.stderr
    *_, statuses, modules_of_readers, modules = done.stdout.splitlines()
    assert set(statuses.split()) == {"0"}, done.stdout
    assert not SERVERS & {name.split(".")[0] for name in modules_of_readers.split()}
    assert not HEAVY & {name.split(".")[0] for name in modules.split()}


HELP = ([], ["analyse"], ["check"], ["run"], ["query"], ["store"])
CAMPAIGN = {
    "name": "all",
    "structure": "structure.extxyz",
    "reference": {"engine": "command", "calculator": "ase.calculators.emt:EMT"},
    "analyses": {name: {} for name in ("locality", "energy_volume", "conductivity", "barriers", "frenkel", "vacancy")},
}


def loaded(script: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"import sys\n{script}\nprint(*sys.modules)"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return set(done.stdout.decode().splitlines()[-1].split())


def test_help_loads_no_physics() -> None:
    asked = f"[run_command_line([*words, '--help']) for words in {HELP!r}]"
    modules = loaded(f"from ionloop.cli import run_command_line\n{asked}")
    assert not HEAVY & {name.split(".")[0] for name in modules}


def test_what_a_campaign_file_says_is_read_without_what_computes_it() -> None:
    reading = "from ionloop.workflows.campaign.validation import validate_campaign"
    modules = loaded(f"{reading}\nfound, problems = validate_campaign({CAMPAIGN!r})\nassert not problems, problems")
    # Engines read with ASE, whose readers load SciPy.
    computing = {
        "numba",
        "scipy.stats",
        "matscipy",
        "fireworks",
        "spglib",
        "quippy",
        "tblite",
        "ase.optimize",
        "ase.mep",
    }
    assert not computing & modules
    assert not {name for name in modules if name.startswith("ionloop.fitting.native")}


def test_a_check_loads_neither_what_fits_nor_what_runs_jobs(tmp_path) -> None:
    crystal = bulk("Al", cubic=True)
    crystal.symbols[0] = "Li"
    crystal.write(tmp_path / "structure.extxyz")
    (tmp_path / "campaign.json").write_text(json.dumps({**CAMPAIGN, "analyses": {"conductivity": {}, "frenkel": {}}}))
    modules = loaded(
        "from ionloop.cli import run_command_line\n"
        f"run_command_line(['check', {str(tmp_path / 'campaign.json')!r}])\n"
        "assert 'ionloop.workflows.submission.cost' in sys.modules, 'the file was refused'"
    )
    assert not {"numba", "fireworks", "pymongo", "jinja2", "plotly", "pandas", "ase.md", "ase.optimize"} & modules
    assert not {"ionloop.fitting.models", "ionloop.fitting.backends", "ionloop.tasks.base"} & modules


def test_a_launcher_and_a_worker_load_no_physics_before_there_is_a_job() -> None:
    profile = str(Path(__file__).parents[2] / "deploy" / "cluster" / "slurm.yaml")
    reading = f"from ionloop.workflows.queue.cluster_profile import read_profile\nread_profile({profile!r})"
    modules = loaded(f"{reading}\nimport ionloop.workflows.queue.launcher, ionloop.workflows.running.worker")
    # All tasks are imported, to know their kinds; what they compute with waits for a job.
    assert "ionloop.tasks.fit" in modules
    assert not {"numba", "scipy", "spglib", "quippy", "plotly", "ase.io", "ase.optimize"} & modules
