"""A real survey that takes seconds: copper in gold, silver and platinum, EMT labels; two files without a candidate."""

from __future__ import annotations

from pathlib import Path

from ase.build import bulk
from ase.io import write

SURVEY = """
name: tiny
candidates: [{kind: files, paths: ["structures/*.cif"]}]
filters: {ordered_only: false}
cells: {smallest_A: 6, mobile_ions: 8, most_atoms: 32}
mobile: Cu
seed: 7
models: [gap]
reference: {engine: command, calculator: "ase.calculators.emt:EMT"}
initial: [{kind: molecular-dynamics, count: 6, write_every: 5, timestep_fs: 2.0}]
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 6}
  soap: {cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 12}
evaluate: {cross_check: 0}
sampling: {length_ps: 0.1, timestep_fs: 2.0, replicas: 1, write_every: 5}
selection: {method: farthest-point, count: 2}
stop: {max_generations: 1, energy_tolerance: 0, force_tolerance: 0}
analyses:
  screening:
    start_temperature_K: 300
    lowest_temperature_K: 300
    temperatures: 1
    most_runs: 1
    equilibration_ps: 0.2
    first_look_ps: 1
    length_ps: 1
    write_every: 5
    smallest_cell_A: 7
    mobile_ions: 8
    charge_e: 1
    relaxation_steps: 5
    host: {window_ps: 0.5}
"""
CRYSTALS = {"agcu": ("AgCu", 3.3), "aucu": ("AuCu", 3.2)}
"""Files of crystals that are kept: formula and lattice constant (Å)."""


def prepare(folder: Path, crystals: dict[str, tuple[str, float]] | None = None) -> Path:
    """Write a survey file with its crystals, one without copper and one that is none; return the file."""
    (folder / "structures").mkdir(parents=True, exist_ok=True)
    for name, (formula, lattice_A) in (CRYSTALS if crystals is None else crystals).items():
        add(folder, name, formula, lattice_A)
    write(folder / "structures" / "gold.cif", bulk("Au"))
    (folder / "structures" / "nonsense.cif").write_text("no crystal")
    file = folder / "survey.yaml"
    file.write_text(SURVEY)
    return file


def add(folder: Path, name: str, formula: str, lattice_A: float) -> None:
    """Add a crystal to the folder of a survey."""
    atoms = bulk(formula, "cesiumchloride", a=lattice_A).repeat((1, 1, 2))
    write(folder / "structures" / f"{name}.cif", atoms)
