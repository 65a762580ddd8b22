"""A real campaign that takes seconds: Cu ions among Au atoms, EMT labels, real fits and dynamics."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from ase.build import bulk
from ase.io import write

RUN_TIMEOUT_S = 240
CAMPAIGN = """
name: small
structure: structure.extxyz
mobile: Cu
seed: 7
reference: {engine: command, calculator: "ase.calculators.emt:EMT"}
initial:
  molecular_dynamics: {count: 4, every: 5, timestep_fs: 2.0}
  lithium_monte_carlo: {count: 4, relaxation: {steps: 3}}
baseline: {charges: {Cu: 0.4, Au: -0.3}}
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 6}
  soap: {cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 12}
sampling: {length_ps: 0.1, timestep_fs: 2.0, replicas: 2, write_every: 5}
selection: {method: farthest-point, count: 4}
stop: {max_generations: 2, energy_tolerance: 0, force_tolerance: 0}
"""


def prepare(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    # Two vacancies, so that the Monte Carlo has sites to choose from.
    del atoms[[0, 6]]
    write(folder / "structure.extxyz", atoms)
    file = folder / "campaign.yaml"
    file.write_text(CAMPAIGN)
    return file


def start(file: Path, output: BinaryIO | None = None, *options: str) -> subprocess.Popen[bytes]:
    """Start the campaign in a process group of its own, so that all of it can be killed at once."""
    with (file.parent / "run.log").open("ab") if output is None else nullcontext(output) as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ionloop.cli", "run", str(file), "--workers", "2", *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def finish(file: Path) -> None:
    status = start(file).wait(RUN_TIMEOUT_S)
    assert status == 0, (file.parent / "run.log").read_text()
