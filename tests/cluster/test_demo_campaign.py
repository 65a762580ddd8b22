"""The demo through SLURM and a database server, every fault on the way, ends with the records of the local run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cluster_run import (
    ClusterRun,
    HoldBySignal,
    check_every_job_ended_once,
    check_same_records,
    ionloop,
    small_scratch,
    submitted_run,
    undisturbed_run,
)
from ruamel.yaml import YAML

from ionloop.tasks.sample import SAMPLED

END_TIMEOUT_S = 1200
SMALLER: dict[str, Any] = {
    "initial": {
        "molecular_dynamics": {"count": 3, "every": 2},
        "lithium_monte_carlo": {"count": 2, "relaxation": {"steps": 1}},
    },
    "gap": {"soap": {"sparse_points": 40}},
    "sampling": {"length_ps": 0.2, "write_every": 5},
    "selection": {"count": 3},
    "stop": {"max_generations": 1},
    "evaluate": {"cross_check": 1},
    "analyses": {
        # Potentials of so few labels do not last long at 800 K.
        "conductivity": {
            "temperatures_K": [300],
            "length_ps": 0.4,
            "equilibration_ps": 0.1,
            "write_every": 2,
            "lengths": 2,
        },
        "barriers": {"images": 3},
        "frenkel": {"fields_V_per_A": [-0.1, 0.1], "axes": ["x"]},
    },
}
"""Of the demo's settings: all its kinds of job, fewer and shorter."""
ANALYSED = {"locality", "energy-volume", "conductivity", "barrier", "frenkel", "frenkel-field", "vacancy"}
FAULTS = ("kill_worker", "restart_node_daemon", "stop_database", "cancel_job", "exceed_wall_time", "fill_scratch")


def smaller(settings: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes in them, each of a key that is there."""
    assert changes.keys() <= settings.keys()
    return settings | {
        key: smaller(settings[key], value) if isinstance(value, Mapping) else value for key, value in changes.items()
    }


def prepared(folder: Path) -> Path:
    """Return the demo's campaign file with smaller numbers."""
    done = ionloop("init", str(folder), "--template", "demo", "--full")
    assert done.returncode == 0, done.stdout + done.stderr
    file = folder / "campaign.yaml"
    yaml = YAML(typ="safe")
    settings = smaller(yaml.load(file), SMALLER)
    # Potentials of so few labels may pull two atoms onto one place, on one processor and not on another.
    settings["gap"]["core"] = {"zbl": ["Li", "P", "S"]}
    yaml.dump(settings, file)
    return file


def check_labels(run: ClusterRun) -> None:
    """Check that each configuration has one label and no more."""
    labels = [(label.content_hash, label.settings_hash) for label in run.store.labels.find()]
    assert len(labels) == len(set(labels)) > 0
    labelled = {content for content, _ in labels}
    assert all(one.content_hash in labelled for one in run.store.configurations.find({"origin.sampler": SAMPLED}))


@pytest.mark.timeout(3600)
def test_the_demo_through_slurm_ends_like_the_local_run_whatever_happens(tmp_path, slurm, stoppable_server):
    local, cluster = prepared(tmp_path / "local"), prepared(tmp_path / "cluster")
    with (
        undisturbed_run(local) as reference_of,
        submitted_run(cluster, slurm, HoldBySignal(), "demo", stoppable_server) as run,
    ):
        with small_scratch(run.store.root):
            for name in FAULTS:
                run.with_a_label_held(getattr(run, name))
            run.feed(run.is_over, "the campaign ends", END_TIMEOUT_S)
        with closing(reference_of()) as reference:
            check_same_records(reference, run, tmp_path / "report.html")
        check_every_job_ended_once(run.store)
        check_labels(run)
        assert {one.kind for one in run.store.results.find()} >= ANALYSED
