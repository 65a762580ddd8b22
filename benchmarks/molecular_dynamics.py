"""What the molecular dynamics driver adds to each force call, and how well it conserves energy.

``python benchmarks/molecular_dynamics.py [--model gap.xml] [--steps 1000] [--drift-ps 5] [--temperature-K 300]``

Li7P3S11, 84 atoms, 1 fs, a frame every ten steps. Without a model: a native GAP (n_max 8, l_max 4, cutoff 6 Å, 600
sparse points per element as far as there are atoms) fitted to rattled cells labelled with springs between
neighbours, whose minimum is the crystal. The time inside
the calculator is measured call by call, everything else is the driver's: integrator, guard, barostat, ASE and the
trajectory on disk. Drift is the slope of a line through the total energy of an NVE trajectory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_changes
from matscipy.neighbours import neighbour_list
from rich.console import Console
from rich.table import Table

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, mean_energy_per_atom
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import GapModel
from ionloop.fitting.native.sparse_fit.fit import fit_native
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings
from ionloop.sampling.guard import TrajectoryGuard
from ionloop.sampling.molecular_dynamics import TrajectoryEnd, run_langevin
from ionloop.sampling.molecular_dynamics_settings import MolecularDynamicsSettings, steps_for
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.trajectory import read_frames

ENSEMBLES: dict[str, dict[str, Any]] = {
    "NVE": {"friction_per_ps": 0.0},
    "NVT": {"friction_per_ps": 10.0},
    "NPT": {"friction_per_ps": 10.0, "pressure_GPa": 0.0},
}
LARGEST_DRIFT_MEV_PER_ATOM_PS = 0.1
DISPLACEMENTS_A = (0.05, 0.1, 0.15, 0.2)
SPRING_CUTOFF_A = 4.0
SPRING_EV_PER_A2 = 1.0
SETTLING = {"steps": 600, "friction_per_ps": 20.0}
# The fitted potential may heat up on its way to its minimum.
GUARD = TrajectoryGuard(maximum_temperature_factor=20.0)
SEED = 1


class Timed(NativeGapCalculator):
    """Counts its calls and the time inside them."""

    seconds = 0.0
    calls = 0

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        started = time.perf_counter()
        super().calculate(atoms, properties, system_changes)
        self.seconds += time.perf_counter() - started
        self.calls += 1


def spring_labels(crystal: Atoms, displaced: Atoms) -> dict[str, Any]:
    """Return energy (eV) and forces (eV/Å) of springs between the neighbours that atoms have in the crystal."""
    i, j, shifts, rest_A = neighbour_list("ijSd", crystal, SPRING_CUTOFF_A)
    vectors = displaced.positions[j] + shifts @ crystal.cell.array - displaced.positions[i]
    lengths_A = np.linalg.norm(vectors, axis=1)
    stretch_A = lengths_A - rest_A
    forces = np.zeros_like(displaced.positions)
    np.add.at(forces, i, (SPRING_EV_PER_A2 * stretch_A / lengths_A)[:, np.newaxis] * vectors)
    # Every pair is there twice.
    return {"energy": 0.25 * SPRING_EV_PER_A2 * float((stretch_A**2).sum()), "forces": forces, "stress": None}


def fitted(count: int) -> GapModel:
    """Return a potential of rattled 42-atom cells whose minimum is near the crystal."""
    crystal, cells = build_crystal("li7p3s11"), []
    for seed in range(count):
        atoms = crystal.copy()
        atoms.rattle(DISPLACEMENTS_A[seed % len(DISPLACEMENTS_A)], seed=seed)
        cells.append(LabelledConfiguration(atoms=atoms, identifier=f"cell-{seed}", **spring_labels(crystal, atoms)))
    settings = GapSettings(two_body=TwoBodySettings(cutoff_A=6.0), soap=SoapSettings(cutoff_A=6.0, sparse_points=600))
    return fit_native(DataSet(tuple(cells), mean_energy_per_atom(cells)), settings, seed=SEED).model


def run(atoms: Atoms, calculator: Timed, trajectory: Path, **changes: Any) -> float:
    """Return the wall time of a trajectory, s; the calculator's counters begin at zero."""
    calculator.seconds, calculator.calls = 0.0, 0
    started = time.perf_counter()
    outcome = run_langevin(atoms, calculator, MolecularDynamicsSettings(**changes), trajectory, seed=SEED)
    if outcome.end is not TrajectoryEnd.COMPLETED:
        raise SystemExit(f"the trajectory stopped: {outcome.reason}")
    return time.perf_counter() - started


def drift_meV_per_atom_ps(trajectory: Path) -> tuple[float, float]:
    """Return slope and scatter of the total energy, meV/atom per ps and meV/atom."""
    frames = read_frames(trajectory)
    times_ps = np.array([frame.info["time_fs"] for frame in frames]) / 1000.0
    energies = np.array([frame.get_total_energy() for frame in frames]) * 1000.0 / len(frames[0])
    slope, offset = np.polyfit(times_ps, energies, 1)
    return float(slope), float((energies - slope * times_ps - offset).std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GAP's XML file; without it one is fitted")
    parser.add_argument("--labels", type=int, default=24, help="cells labelled for the fit")
    parser.add_argument("--steps", type=int, default=1000, help="timed steps of each ensemble")
    parser.add_argument("--drift-ps", type=float, default=5.0, help="length of the NVE trajectory")
    parser.add_argument("--temperature-K", type=float, default=300.0)
    arguments = parser.parse_args()
    calculator = Timed(arguments.model or fitted(arguments.labels), threads=1)
    atoms = build_crystal("li7p3s11").repeat((2, 1, 1))
    console = Console()
    common = {"temperature_K": arguments.temperature_K, "timestep_fs": 1.0, "write_every": 10, "guard": GUARD}
    table = Table(
        "ensemble",
        "ms per step",
        "calls per step",
        "ms per call",
        "driver (ms/step)",
        "share of a call (at most 10 %)",
    )
    with tempfile.TemporaryDirectory() as folder:
        # Compiles, and lets the crystal find the potential's own minimum before NVE would turn that into heat.
        first = Path(folder) / "first.traj"
        run(atoms, calculator, first, **common, **SETTLING)
        atoms = read_frames(first)[-1]
        for name, ensemble in ENSEMBLES.items():
            wall_s = run(atoms, calculator, Path(folder) / f"{name}.traj", steps=arguments.steps, **common, **ensemble)
            call_s = calculator.seconds / calculator.calls
            driver_s = (wall_s - calculator.seconds) / arguments.steps
            table.add_row(
                name,
                f"{1e3 * wall_s / arguments.steps:.2f}",
                f"{calculator.calls / arguments.steps:.2f}",
                f"{1e3 * call_s:.2f}",
                f"{1e3 * driver_s:.3f}",
                f"{driver_s / call_s:.1%}",
            )
        console.print(table)
        steps = steps_for(arguments.drift_ps, 1.0, 10)
        run(atoms, calculator, Path(folder) / "drift.traj", steps=steps, **common, friction_per_ps=0.0)
        slope, scatter = drift_meV_per_atom_ps(Path(folder) / "drift.traj")
    console.print(
        f"NVE drift over {arguments.drift_ps:g} ps at 1 fs: {slope:+.4f} meV/atom per ps"
        f" (at most {LARGEST_DRIFT_MEV_PER_ATOM_PS}); scatter about the line {scatter:.4f} meV/atom"
    )


if __name__ == "__main__":
    main()
