"""Time and memory of mean squared displacements over all time origins, and of the whole analysis of a conductivity.

``python benchmarks/mean_squared_displacement.py [--ions 1000] [--frames 100000]``

A random walk of all ions: displacements of each ion along each axis at lags in geometric progression up to half of the
trajectory, then tracer, collective and axes' diffusivity with their intervals, on one thread; memory is the largest of
the whole process, the positions (2.4 GB) included. The error is the largest relative difference to the direct sum, on a
few ions of the same walk.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from ionloop.analysis.conductivity.mean_squared_displacement import (
    direct_mean_squared_displacements,
    mean_squared_displacements,
    spread_lags,
)
from ionloop.analysis.conductivity.transport import Carrier, analyse_conductivity
from ionloop.analysis.trajectories.reading import Trajectory

CHECKED_IONS = 2
TRUE_DIFFUSIVITY = 5.0  # 1 Å per axis and frame of 0.1 ps


def walk(frames: int, ions: int) -> np.ndarray:
    """Fill in blocks of frames: random numbers and sums must not double the memory."""
    random = np.random.default_rng(1)
    positions = np.empty((frames, ions, 3))
    last = np.zeros((ions, 3))
    for start in range(0, frames, 1000):
        block = positions[start : start + 1000]
        random.standard_normal(out=block)
        block[0] += last
        np.cumsum(block, axis=0, out=block)
        last = block[-1]
    return positions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ions", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=100_000)
    arguments = parser.parse_args()
    positions = walk(arguments.frames, arguments.ions)
    lags = spread_lags(arguments.frames // 2)
    started, processor = time.perf_counter(), time.process_time()
    found = mean_squared_displacements(positions, lags)
    seconds, busy = time.perf_counter() - started, time.process_time() - processor
    memory_GB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    direct = direct_mean_squared_displacements(positions[:, :CHECKED_IONS], lags)
    error = float(np.abs(found[:, :CHECKED_IONS] / direct - 1.0).max())
    print(f"{arguments.ions:,} ions x {arguments.frames:,} frames, {len(lags)} lags:")
    print(f"{seconds:.1f} s ({busy:.1f} s of processor), {memory_GB:.2f} GB at most, relative error {error:.1e}")
    del found, direct
    started, processor = time.perf_counter(), time.process_time()
    walk_of_ions = Trajectory(("Li",) * arguments.ions, positions, 50.0 * np.eye(3), 100.0)
    estimate = analyse_conductivity([walk_of_ions], Carrier("Li", 800.0)).result.diffusivity_A2_per_ps
    seconds, busy = time.perf_counter() - started, time.process_time() - processor
    memory_GB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    held = "holds" if estimate.contains(TRUE_DIFFUSIVITY) else "misses"
    print(f"whole analysis: {seconds:.1f} s ({busy:.1f} s of processor), {memory_GB:.2f} GB at most;", end=" ")
    print(f"D {estimate.low:.4f} to {estimate.high:.4f} Å²/ps {held} {TRUE_DIFFUSIVITY:g}")


if __name__ == "__main__":
    main()
