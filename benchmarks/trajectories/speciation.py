"""Time of species along a long trajectory of a large glass.

``python benchmarks/trajectories/speciation.py [--atoms 2000] [--frames 10000] [--reactive 20]``

Li7P3S11, repeated until it has so many atoms, shaken anew in every frame, on one thread. In every n-th frame a bond is
made or broken, which is when species are told apart again.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from ionloop.analysis.speciation.frames import NetworkRun
from ionloop.analysis.speciation.settings import SpeciesSettings
from ionloop.analysis.speciation.speciation import analyse_speciation
from ionloop.analysis.trajectories.reading import Trajectory
from ionloop.sampling.structures.crystals import build_crystal

SHAKE_A = 0.08


def sample(atoms: int, frames: int, reactive: int) -> Trajectory:
    """Return the trajectory; a ligand that has left comes back with the next reaction."""
    random = np.random.default_rng(1)
    crystal = build_crystal("li7p3s11")
    times = round((atoms / len(crystal)) ** (1 / 3))
    cell = crystal.repeat((times, times, max(1, round(atoms / len(crystal) / times**2))))
    positions = cell.positions + random.normal(0.0, SHAKE_A, (frames, len(cell), 3)).astype(np.float32)
    ligand = int(np.flatnonzero(cell.numbers == 16)[0])
    away = (np.arange(frames) // reactive) % 2 == 1
    positions[away, ligand] += 1.5
    return Trajectory(tuple(cell.get_chemical_symbols()), positions, cell.cell.array, 50.0, name="the glass")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=2_000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--reactive", type=int, default=20)
    asked = parser.parse_args()
    trajectory = sample(asked.atoms, asked.frames, asked.reactive)
    begun = time.process_time()
    found = analyse_speciation([NetworkRun.of_trajectory(trajectory)], SpeciesSettings(patience_fs=100.0)).result
    used_s = time.process_time() - begun
    print(
        f"{found.frames} frames of {len(trajectory.symbols)} atoms, {found.made + found.broken} bonds made or broken: "
        f"{used_s:.1f} s of processor time, {1000 * used_s / found.frames:.2f} ms a frame"
    )


if __name__ == "__main__":
    main()
