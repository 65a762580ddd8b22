"""Commands that only look at records load no physics and no FireWorks: they answer at once."""

from __future__ import annotations

import os
import subprocess
import sys

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
