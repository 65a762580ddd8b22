"""Hops in a trajectory, and the barrier of one of them, with any ASE calculator and without a campaign.

    python examples/hops.py

Copper beside a vacancy hops among eight wells; the trajectory is made up, its hops are known, and the barrier is that
of ASE's EMT.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ionloop.analysis.barriers.bands import profile, relax_band
from ionloop.analysis.barriers.figures import PathEnergies, barrier_figure, jump_lengths
from ionloop.analysis.barriers.settings import BandSettings
from ionloop.analysis.fixed_cell_relaxation import relax_ions
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.analysis.hops.detection import detect_hops, summarise
from ionloop.analysis.hops.settings import HopSettings
from ionloop.analysis.hops.site_map import SiteMap

FRAME_PS = 0.05
THERMAL_A = 0.25
STAY_FRAMES = 60
HOPS = 30


def random_walk(crystal: Atoms) -> tuple[SiteMap, np.ndarray]:
    """Return the sites of a crystal and the positions (Å, [n_frames, 1, 3]) of an atom that walks among them."""
    sites = SiteMap(crystal.positions.copy(), crystal.cell.array, np.ones(len(crystal), dtype=bool))
    random = np.random.default_rng(7)
    neighbours = crystal.get_all_distances(mic=True)
    shortest = neighbours[neighbours > 0].min()
    place, here, walk = 0, crystal.positions[0].copy(), []
    for _ in range(HOPS + 1):
        walk.append(np.tile(here, (STAY_FRAMES, 1)))
        near = np.flatnonzero(np.abs(neighbours[place] - shortest) < 0.1)
        onward = int(random.choice(near))
        here = here + crystal.get_distance(place, onward, mic=True, vector=True)
        place = onward
    positions = np.concatenate(walk)[:, None]
    return sites, positions + random.normal(0, THERMAL_A, positions.shape)


def vacancy_ends(crystal: Atoms) -> tuple[Atoms, Atoms]:
    """Return the crystal with a vacancy before and after a neighbour has moved into it, relaxed."""
    before, after = crystal.copy(), crystal.copy()
    after.positions[1] = crystal.positions[0]
    for atoms in (before, after):
        del atoms[0]
    first, last = (relax_ions(atoms, EMT(), FixedCellRelaxation()).atoms for atoms in (before, after))
    return first, last


def main() -> None:
    """Print what the walk was found to be and how high the barrier is, and build the figures."""
    crystal = bulk("Cu", cubic=True).repeat((2, 2, 2))
    sites, positions = random_walk(crystal)
    found = detect_hops(positions, sites, FRAME_PS, HopSettings())
    summary = summarise([found])
    low, high = summary.rate_interval_per_ion_per_ps
    print(f"{summary.hops} of {HOPS} hops, {summary.mean_jump_A:.2f} Å each")
    print(f"{summary.rate_per_ion_per_ps:.2f} hops per ps, 95 % interval {low:.2f} to {high:.2f}")
    band = relax_band(*vacancy_ends(crystal), EMT(), BandSettings(images=5))
    heights = profile(band.positions, band.energies, band.forces)
    print(f"barrier {heights.forward_eV:.3f} eV, back {heights.reverse_eV:.3f} eV, in {band.steps} steps")
    path = PathEnergies(
        "EMT",
        True,
        heights.coordinate_A.tolist(),
        heights.energies_eV.tolist(),
        heights.curve_coordinate_A.tolist(),
        heights.curve_energies_eV.tolist(),
    )
    figures = [barrier_figure([path]), jump_lengths(found.hops.length_A)]
    print(f"{len(figures)} figures; figures[0].write_html('barrier.html') shows one")


if __name__ == "__main__":
    main()
