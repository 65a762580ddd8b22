"""Commands that only look at records load no physics and no FireWorks: they answer at once."""

from __future__ import annotations

import os
import subprocess
import sys

from ionloop.store.queries.rows import reference_hash

PHYSICS = {"numpy", "ase", "scipy", "numba", "quippy", "tblite", "matscipy", "spglib", "plotly", "matplotlib", "pandas"}
HEAVY = PHYSICS | {"fireworks", "psutil", "flask", "jinja2", "ruamel"}
COMMANDS = (
    ["status"],
    ["failures"],
    ["query", "labels"],
    ["query", "models"],
    ["pause"],
    ["resume"],
    ["priority", "small", "1"],
)
SCRIPT = f"""
import sys
from ionloop.cli import run_command_line
statuses = [run_command_line(words) for words in {COMMANDS!r}]
print(*statuses)
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
    *_, statuses, modules = done.stdout.splitlines()
    assert set(statuses.split()) == {"0"}, done.stdout
    assert not HEAVY & {name.split(".")[0] for name in modules.split()}
