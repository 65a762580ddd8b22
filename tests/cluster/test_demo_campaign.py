"""The demo through SLURM and a database server, every fault on the way, ends with the records of the local run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from cluster_run import (
    ClusterRun,
    HoldBySignal,
    check_every_job_ended_once,
    check_same_records,
    ionloop,
    small_scratch,
    submitted_run,
)

from ionloop.store.connection import open_store
from ionloop.tasks.sample import SAMPLED

END_TIMEOUT_S = 2400
SAMPLERS = 2
INITIAL_CELLS, FEWER_CELLS = "count: 12", "count: 4"
FAULTS = ("kill_worker", "restart_node_daemon", "stop_database", "cancel_job", "exceed_wall_time", "fill_scratch")


def prepared(folder: Path) -> Path:
    """Return the demo's campaign file, as `make demo` has it but for the number of cells that it starts from."""
    done = ionloop("init", str(folder), "--template", "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    file = folder / "campaign.yaml"
    text = file.read_text()
    assert text.count(INITIAL_CELLS) == SAMPLERS
    file.write_text(text.replace(INITIAL_CELLS, FEWER_CELLS))
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
    # The local run goes on beside the faults, which mostly wait for what SLURM does about them.
    with ThreadPoolExecutor() as beside:
        undisturbed = beside.submit(ionloop, "run", str(local), "--workers", "2")
        with submitted_run(cluster, slurm, HoldBySignal(), "demo", stoppable_server) as run:
            with small_scratch(run.store.root):
                for name in FAULTS:
                    run.with_a_label_held(getattr(run, name))
                run.feed(run.is_over, "the campaign ends", END_TIMEOUT_S)
            done = undisturbed.result()
            assert done.returncode == 0, done.stdout + done.stderr
            with closing(open_store(str(local.parent / "ionloop.db"), must_exist=True)) as reference:
                check_same_records(reference, run, tmp_path / "report.html")
            check_every_job_ended_once(run.store)
            check_labels(run)
