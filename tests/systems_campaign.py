"""A real campaign of several systems that takes seconds: Cu-Au crystals and a packed glass, labelled by EMT."""

from __future__ import annotations

from pathlib import Path

from ase.build import bulk
from ase.io import write

SYSTEMS = """
name: small
systems:
  ordered: {structure: ordered.extxyz}
  gold:
    structure: gold.extxyz
    supercell: [2, 2, 2]
    initial: {molecular_dynamics: {count: 3, every: 3, timestep_fs: 2.0}, lithium_monte_carlo: {count: 0}}
GLASS_HERE
mobile: Cu
seed: 7
reference: {engine: command, calculator: "ase.calculators.emt:EMT"}
initial:
  molecular_dynamics: {count: 3, every: 3, timestep_fs: 2.0}
  lithium_monte_carlo: {count: 2, relaxation: {steps: 2}}
evaluate: {cross_check: 0}
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 6}
  soap: {cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 12}
sampling: {length_ps: 0.06, timestep_fs: 2.0, replicas: 1, write_every: 5, temperature_K: 400}
selection: {method: farthest-point, count: 5}
"""
GLASS = """\
  glass:
    structure: {composition: {Cu: 1, Au: 1}, atoms: 16, density_g_per_cm3: 11, covalent_fraction: 0.95}
    initial:
      molecular_dynamics: {count: 3, every: 3, timestep_fs: 1.0, temperature_K: 300}
      lithium_monte_carlo: {count: 0}"""
SILVER = """\
  silver:
    structure: silver.extxyz
    initial: {molecular_dynamics: {count: 3, every: 3, timestep_fs: 2.0}, lithium_monte_carlo: {count: 0}}"""


def prepare(folder: Path, rest: str, *systems: str) -> Path:
    """Write a campaign of an ordered crystal, gold, and further systems; return its file."""
    folder.mkdir(exist_ok=True)
    ordered = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    # Two vacancies, so that the Monte Carlo has sites to choose from.
    del ordered[[0, 6]]
    write(folder / "ordered.extxyz", ordered)
    write(folder / "gold.extxyz", bulk("Au", "fcc", a=4.08))
    write(folder / "silver.extxyz", bulk("AgAu", "cesiumchloride", a=3.25).repeat((2, 2, 2)))
    file = folder / "campaign.yaml"
    file.write_text(SYSTEMS.replace("GLASS_HERE", "\n".join(systems)) + rest)
    return file
