"""Print how long workers wait for work while four walkers learn on the fly, and how long if walkers waited for labels.

    python benchmarks/learning/idle_label_workers.py [--workers 4] [--label 600] [--labels 6]
    python benchmarks/learning/idle_label_workers.py --real [--workers 4] [--pause 30] [--rounds 8]

Without `--real` the jobs of a generation, as the loop describes them, pass through workers with given times, each
scattered by 30 %: labels and other jobs go to the same workers, the higher priority first. "Blocking" is the same where
the walkers of a round wait for the labels of the round before. Idle is the part of the workers' time, from the first
label until the last ones are taken, in which they have no job.

With `--real` a campaign (Cu ions among Au atoms) really runs, whose labels are EMT's with a pause: as long as labels
dominate as those of a density-functional code do, processors do not matter.
"""

from __future__ import annotations

import argparse
import heapq
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from ase.build import bulk
from ase.io import write

from ionloop.sampling.structures.crystals import build_crystal
from ionloop.store.connection import Store, open_store
from ionloop.store.records import as_utc
from ionloop.tasks.on_the_fly.rounds import RequestTask
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.graph.plan import Plan
from ionloop.workflows.loop.generation_loop import generation_graph

SLOW_EMT = """
import time
from ase.calculators.emt import EMT

class SlowEMT(EMT):
    def calculate(self, *arguments, **options):
        time.sleep({seconds})
        super().calculate(*arguments, **options)
"""
CAMPAIGN = """
name: idle
structure: structure.extxyz
mobile: Cu
reference:
  engine: command
  calculator: "slow_emt:SlowEMT"
  environment: {{PYTHONPATH: "{folder}"}}
models: [gap]
initial: [{{kind: rattled, count: 40}}]
gap:
  two_body: {{cutoff_A: 4.0, sparse_points: 6}}
  soap: {{cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 12}}
evaluate: {{cross_check: 0}}
explore:
  - kind: on-the-fly
    walkers: 4
    temperatures_K: [300, 500, 700, 900]
    timestep_fs: 2
    length_ps: {length_ps}
    leg_ps: 0.05
    audit_every_ps: {audit_every_ps}
    batch: {batch}
    max_labels: 1000
    force_tolerance_eV_per_A: 0.001
stop: {{max_generations: 1}}
"""
TIMES_S = {"learning-leg": 60.0, "learning-round": 5.0, "learning-request": 1.0, "learning-update": 10.0}
"""Of the jobs beside labels (s)."""


def spans(store: Store) -> list[tuple[str, float, float]]:
    """Return kind, start and end (s) of every job of the rounds."""
    jobs = {job["fw_id"]: job["spec"] for job in store.database.fireworks.find({"spec.generation": 1})}
    found = []
    for launch in store.database.launches.find({"fw_id": {"$in": sorted(jobs)}, "state": "COMPLETED"}):
        spec = jobs[launch["fw_id"]]
        history = {entry["state"]: as_utc(entry["created_on"]).timestamp() for entry in launch["state_history"]}
        found.append((spec["kind"], history["RUNNING"], history["COMPLETED"]))
    return found


def simulated(workers: int, label_s: float, labels: int, *, blocking: bool, rounds: int = 20) -> tuple[float, float]:
    """Return the part of the workers' time without a job, and that spent on labels."""
    random = Random(1)
    entry = {"kind": "on-the-fly", "walkers": 4, "length_ps": 0.5 * rounds, "leg_ps": 0.5}
    campaign = Campaign.model_validate({"name": "idle", "structure": "li7p3s11", "models": ["gap"], "explore": [entry]})
    graph = generation_graph(Plan.of_one(campaign, build_crystal("li7p3s11")), 1, "data-1")
    jobs = {job.key: job for job in graph.jobs if "/explore/" in job.key}
    kinds = {key: job.task.kind() for key, job in jobs.items()}
    parents = {key: {one for one in job.parents if one in jobs} for key, job in jobs.items()}
    priorities = {key: job.priority for key, job in jobs.items()}
    if blocking:
        for key in [key for key in jobs if "/leg/" in key and "/round-1/" not in key]:
            stage, rest = key.split("/round-")
            parents[key].add(f"{stage}/round-{int(rest.split('/')[0]) + 1}/model")
    asks = {key for key, job in jobs.items() if job.task is RequestTask}
    done: set[str] = set()
    started: set[str] = set()
    running: list[tuple[float, str]] = []
    spans: list[tuple[str, float, float]] = []
    now = 0.0
    while True:
        ready = [key for key in parents if key not in started and parents[key] <= done]
        for key in sorted(ready, key=lambda one: -priorities[one])[: workers - len(running)]:
            end = now + (TIMES_S | {"label": label_s})[kinds[key]] * random.uniform(0.7, 1.3)
            heapq.heappush(running, (end, key))
            started.add(key)
            spans.append((kinds[key], now, end))
        if not running:
            return _shares(spans, workers)
        now, ended = heapq.heappop(running)
        done.add(ended)
        if ended in asks:
            names = [f"{ended}/{number}" for number in range(labels)]
            for children in parents.values():
                if ended in children:
                    children.update(names)
            for name in names:
                parents[name], priorities[name], kinds[name] = set(), 40, "label"


def _shares(spans: list[tuple[str, float, float]], workers: int) -> tuple[float, float]:
    """Return the idle part and that of labels, from the first label until the last ones are taken."""
    starts = sorted(start for kind, start, _ in spans if kind == "label")
    first, last = starts[0], starts[-workers]
    total = workers * (last - first)

    def part(wanted: Callable[[str], bool]) -> float:
        within = (min(e, last) - max(s, first) for kind, s, e in spans if wanted(kind) and s < last and e > first)
        return sum(within) / total

    return 1.0 - part(lambda kind: True), part(lambda kind: kind == "label")


def main() -> None:
    """Print what workers wait for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--label", type=float, default=600.0, help="time of a label (s)")
    parser.add_argument("--labels", type=int, default=6, help="labels of a round")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--pause", type=float, default=30.0, help="pause of a label of the real campaign (s)")
    parser.add_argument("--rounds", type=int, default=8)
    asked = parser.parse_args()
    if asked.real:
        real(asked.workers, asked.pause, asked.rounds)
        return
    for blocking in (False, True):
        idle, labels = simulated(asked.workers, asked.label, asked.labels, blocking=blocking)
        print(f"{'blocking' if blocking else 'as it is':>10}: idle {idle:6.1%}, labels {labels:6.1%} of the time")


def real(workers: int, pause_s: float, rounds: int) -> None:
    """Run a campaign and print what its workers waited for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "structure.extxyz", bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2)))
        # Isolated atoms and the first labels wait too.
        (folder / "slow_emt.py").write_text(SLOW_EMT.format(seconds=pause_s))
        campaign = folder / "campaign.yaml"
        campaign.write_text(
            CAMPAIGN.format(folder=folder, length_ps=0.05 * rounds, audit_every_ps=0.2 / workers, batch=workers)
        )
        command = [sys.executable, "-m", "ionloop.cli", "run", str(campaign), "--workers", str(workers)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        store = open_store(str(folder / "ionloop.db"), read_only=True)
        found = spans(store)
        store.close()
    idle, labels = _shares(found, workers)
    print(f"labels {labels:.1%}, no job {idle:.1%} of the workers' time")


if __name__ == "__main__":
    main()
