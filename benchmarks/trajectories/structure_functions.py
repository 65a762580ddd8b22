"""Time and memory of structure functions of large cells: g(r), the direct sum of S(q), and the rest of the analysis.

``python benchmarks/trajectories/structure_functions.py [--atoms 20000] [--frames 100]``

Atoms of Li7P3S11's density and composition on a lattice that is shaken, on one thread, compiled before. The error is
the largest difference of a density mode to the sum over exp(iq·r) term by term, of some wave vectors.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from ionloop.analysis.structure_functions.curves import direct_structure_factors
from ionloop.analysis.structure_functions.density_modes import density_modes, highest_orders
from ionloop.analysis.structure_functions.frames import StructureFrames
from ionloop.analysis.structure_functions.settings import StructureSettings
from ionloop.analysis.structure_functions.structure import analyse_structure
from ionloop.analysis.structure_functions.sums import block_sums, grid_of, total_of

DENSITY_PER_A3 = 0.0479032
SHAKE_A = 0.6
CHECKED = 200


def sample(atoms: int, frames: int) -> StructureFrames:
    """Return a simple cubic lattice whose atoms are shaken, its elements at random."""
    random = np.random.default_rng(1)
    width = (atoms / DENSITY_PER_A3) ** (1 / 3)
    edge = int(np.ceil(atoms ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(edge)] * 3), axis=-1).reshape(-1, 3)[:atoms] * width / edge
    symbols = tuple(random.choice(["Li", "P", "S"], size=atoms, p=[7 / 21, 3 / 21, 11 / 21]).tolist())
    positions = lattice + random.normal(0.0, SHAKE_A, (frames, atoms, 3))
    return StructureFrames(symbols, positions, width * np.eye(3)[None])


def largest_error(frames: StructureFrames, q_max_per_A: float) -> float:
    """Return the largest error of a mode of the first species over the root of its number of atoms."""
    cell = frames.cells_A[0]
    chosen = frames.positions_A[0][frames.species_of_atoms == 0]
    modes = density_modes(chosen, cell, q_max_per_A)
    orders = highest_orders(cell, q_max_per_A)
    random = np.random.default_rng(2)
    worst = 0.0
    for _ in range(CHECKED):
        miller = random.integers(-orders, orders + 1)
        miller[2] = abs(miller[2])
        phases = chosen @ (2.0 * np.pi * np.linalg.inv(cell).T).T @ miller
        found = modes[miller[0] + orders[0], miller[1] + orders[1], miller[2]]
        worst = max(worst, abs(found - np.exp(1j * phases).sum()) / np.sqrt(len(chosen)))
    return float(worst)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=20_000)
    parser.add_argument("--frames", type=int, default=100)
    arguments = parser.parse_args()
    settings = StructureSettings()
    analyse_structure([sample(500, 2)], settings)
    frames = sample(arguments.atoms, arguments.frames)
    grid = grid_of(frames.half_width_A, settings)
    started, processor = time.perf_counter(), time.process_time()
    sums = total_of(block_sums([frames], grid))
    seconds, busy = time.perf_counter() - started, time.process_time() - processor
    shells = np.flatnonzero(sums.vectors)
    highest = float(direct_structure_factors(sums, frames.counts, shells).max())
    print(f"{arguments.frames} frames x {arguments.atoms:,} atoms, g(r) to {grid.r_max_A:g} Å, S(q) of", end=" ")
    print(
        f"{sums.vectors.sum() // arguments.frames:,} vectors to {grid.direct_q_max_per_A:g} 1/Å (highest {highest:.3g})"
    )
    print(f"sums: {seconds:.1f} s ({busy:.1f} s of processor), error of a mode {largest_error(frames, 3.0):.1e} of √N")
    started, processor = time.perf_counter(), time.process_time()
    found = analyse_structure([frames], settings)
    seconds, busy = time.perf_counter() - started, time.process_time() - processor
    memory_GB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"whole analysis: {seconds:.1f} s ({busy:.1f} s of processor), {memory_GB:.2f} GB at most;", end=" ")
    print(f"{len(found.result.shells)} pairs, interval of g(r): {found.result.pair_interval_reason or 'known'}")


if __name__ == "__main__":
    main()
