"""Print how long workers wait for work while four walkers learn on the fly: labels that take long are never waited for.

    python benchmarks/idle_label_workers.py [--workers 4] [--seconds 3] [--rounds 8]

A real campaign (Cu ions among Au atoms) whose labels are EMT's with a pause, so that labels dominate as those of a
density-functional code do, and processors do not matter. The same workers walk, update and label. Told is the part of
their time, from the first label of the rounds until the last ones are taken, in which they label, do other jobs, and
have no job at all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from ase.build import bulk
from ase.io import write

from ionloop.store.connection import Store, open_store
from ionloop.store.records import as_utc

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


def spans(store: Store) -> list[tuple[str, float, float]]:
    """Return kind, start and end (s) of every job of the rounds."""
    jobs = {job["fw_id"]: job["spec"] for job in store.database.fireworks.find({"spec.generation": 1})}
    found = []
    for launch in store.database.launches.find({"fw_id": {"$in": sorted(jobs)}, "state": "COMPLETED"}):
        spec = jobs[launch["fw_id"]]
        history = {entry["state"]: as_utc(entry["created_on"]).timestamp() for entry in launch["state_history"]}
        found.append((spec["kind"], history["RUNNING"], history["COMPLETED"]))
    return found


def main() -> None:
    """Run the campaign and print what its workers waited for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0, help="pause of a label")
    parser.add_argument("--rounds", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "structure.extxyz", bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2)))
        # Isolated atoms and the first labels wait too: few seconds each.
        (folder / "slow_emt.py").write_text(SLOW_EMT.format(seconds=asked.seconds))
        campaign = folder / "campaign.yaml"
        campaign.write_text(
            CAMPAIGN.format(
                folder=folder, length_ps=0.05 * asked.rounds, audit_every_ps=0.2 / asked.workers, batch=asked.workers
            )
        )
        command = [sys.executable, "-m", "ionloop.cli", "run", str(campaign), "--workers", str(asked.workers)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        store = open_store(str(folder / "ionloop.db"), read_only=True)
        found = spans(store)
        store.close()
    labels = [(start, end) for kind, start, end in found if kind == "label"]
    first, last = min(start for start, _ in labels), max(end for _, end in labels)
    # The last labels have nothing after them that could fill the other workers.
    last = sorted(start for start, _ in labels)[-asked.workers]
    within = [(kind, max(start, first), min(end, last)) for kind, start, end in found if start < last and end > first]
    total = asked.workers * (last - first)
    busy = sum(end - start for _, start, end in within)
    of_labels = sum(end - start for kind, start, end in within if kind == "label")
    others = {kind: sum(e - s for k, s, e in within if k == kind) for kind in sorted({k for k, _, _ in within})}
    print(f"{len(labels)} labels of {asked.seconds:g} s in {last - first:.0f} s on {asked.workers} workers")
    print(f"labels {of_labels / total:.1%}, no job {1 - busy / total:.1%} of the workers' time")
    print("others: " + ", ".join(f"{kind} {t / total:.1%}" for kind, t in others.items() if kind != "label"))


if __name__ == "__main__":
    main()
