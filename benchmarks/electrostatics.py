"""Time and error of the electrostatic baseline: energy, forces and stress of rattled Li7P3S11 supercells.

``python benchmarks/electrostatics.py [--accuracy 1e-6] [--repeats 5] [--workers 1]``

The sum over reciprocal vectors and the mesh are timed in turn (processor time, on one thread), positions moved
between calls. The error is the largest difference of any force component to the sum at an accuracy of
1e-10 eV/Å, at every size.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from ase import Atoms
from rich.console import Console
from rich.table import Table

from ionloop.fitting.electrostatics.baseline import MESH_FROM_ATOMS, SLATER_EXPONENTS, SlaterEwald, default_charges
from ionloop.sampling.structures.crystals import build_crystal

SUPERCELLS = {42: (1, 1, 1), 84: (2, 1, 1), 336: (2, 2, 2), 2688: (4, 4, 4), 21504: (8, 8, 8)}
EXPONENT_SIZES = (2688, 21504)
DISPLACEMENT_A = 0.1
EXACT_ACCURACY_EV_A = 1e-10


def rattled(repeat: tuple[int, int, int]) -> Atoms:
    atoms = build_crystal("li7p3s11").repeat(repeat)
    atoms.rattle(DISPLACEMENT_A, seed=1)
    return atoms


def seconds_per_evaluation(atoms: Atoms, calculators: list[SlaterEwald], repeats: int, workers: int) -> list[float]:
    """Return the shortest time of each calculator; the first call, which plans and compiles, does not count.

    On one thread it is processor time, which other processes on the machine disturb least.
    """
    clock = time.process_time if workers == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in calculators]
    random = np.random.default_rng(0)
    for repeat in range(repeats + 1):
        moved = atoms.copy()
        moved.positions += random.normal(0, 1e-3, atoms.positions.shape)
        for calculator, kept in zip(calculators, times, strict=True):
            started = clock()
            calculator.calculate(moved)
            if repeat:
                kept.append(clock() - started)
    return [min(kept) for kept in times]


def largest_difference(atoms: Atoms, calculators: list[SlaterEwald], exact: SlaterEwald) -> list[float]:
    """Return each calculator's largest error of a force component (eV/Å)."""
    exact.calculate(atoms)
    reference = exact.results["forces"]
    differences = []
    for calculator in calculators:
        calculator.calculate(atoms)
        differences.append(float(np.abs(calculator.results["forces"] - reference).max()))
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracy", type=float, default=1e-6, help="largest force error asked for (eV/Å)")
    parser.add_argument("--repeats", type=int, default=5, help="timed evaluations of each size")
    parser.add_argument("--workers", type=int, default=1, help="threads of the Fourier transforms")
    arguments = parser.parse_args()
    charges = default_charges(SLATER_EXPONENTS)
    calculators = [
        SlaterEwald(charges, SLATER_EXPONENTS, arguments.accuracy, method=method, workers=arguments.workers)
        for method in ("ewald", "mesh")
    ]
    exact = SlaterEwald(charges, SLATER_EXPONENTS, EXACT_ACCURACY_EV_A, method="ewald")
    table = Table(
        "atoms",
        "sum (ms)",
        "mesh (ms)",
        "taken",
        "µs per atom",
        "sum: force error (eV/Å)",
        "mesh: force error (eV/Å)",
        title=f"Energy, forces and stress at an accuracy of {arguments.accuracy:g} eV/Å",
    )
    taken_times = {}
    for n_atoms, repeat in SUPERCELLS.items():
        atoms = rattled(repeat)
        times = seconds_per_evaluation(atoms, calculators, arguments.repeats, arguments.workers)
        errors = largest_difference(atoms, calculators, exact)
        taken = int(n_atoms >= MESH_FROM_ATOMS)
        taken_times[n_atoms] = times[taken]
        table.add_row(
            f"{n_atoms:,}",
            *(f"{1e3 * value:.2f}" for value in times),
            ("sum", "mesh")[taken],
            f"{1e6 * times[taken] / n_atoms:.1f}",
            *(f"{value:.1e}" for value in errors),
        )
    console = Console()
    console.print(table)
    small, large = EXPONENT_SIZES
    exponent = math.log(taken_times[large] / taken_times[small]) / math.log(large / small)
    console.print(f"Time grows as the power {exponent:.2f} of the number of atoms from {small:,} to {large:,} atoms.")


if __name__ == "__main__":
    main()
