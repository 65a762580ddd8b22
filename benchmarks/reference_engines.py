"""What a label costs with each reference engine that is here, and how far its forces are from labels in a file.

    python benchmarks/reference_engines.py                                   # 42 atoms of Li7P3S11 at Γ
    python benchmarks/reference_engines.py --against data.xyz --take 0 7     # and forces against REF_forces

Wall time, CPU time and largest memory of one label, with one thread and with two; starting the engine's process is
not counted. Forces are compared at the k-points of the engine's defaults (``--gamma``: at Γ). A reference made with
the same functional and like settings shows what basis sets, pseudopotentials and k-points do; GFN1-xTB is another
method altogether.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from ase import Atoms
from ase.io import read
from rich.console import Console
from rich.table import Table

from ionloop.core.states import State
from ionloop.labelling import Gfn1XtbSettings, LabelOutcome, engine_of, label, stop_engine_process
from ionloop.labelling.common_settings import CommonSettings
from ionloop.labelling.engines.cp2k_settings import Cp2kSettings
from ionloop.labelling.engines.dft_settings import DftSettings, k_grid_shape
from ionloop.labelling.engines.gpaw_engine import GpawSettings
from ionloop.labelling.smoke import smoke_atoms
from ionloop.sampling.structures.crystals import build_crystal

SETTINGS: dict[str, CommonSettings] = {
    "GFN1-xTB": Gfn1XtbSettings(),
    "GPAW, 350 eV": GpawSettings(cutoff_eV=350),
    "GPAW, 400 eV": GpawSettings(),
    "CP2K, 300 Ry": Cp2kSettings(cutoff_Ry=300, relative_cutoff_Ry=40),
    "CP2K, 400 Ry": Cp2kSettings(),
}
POLL_S = 0.1


@dataclass
class Cost:
    wall_s: float
    cpu_s: float
    memory_MB: float
    load_before: float


class MemoryWatch(threading.Thread):
    """Notes the largest resident memory of this process's descendants."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest_MB = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(POLL_S):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.largest_MB = max(self.largest_MB, total / 2**20)

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.largest_MB


def cpu_of_descendants_s() -> float:
    """Return the CPU time of the engine's process and of what it has started and seen end."""
    return sum(sum(process.cpu_times()[:4]) for process in psutil.Process().children())


def measured_label(atoms: Atoms, settings: CommonSettings, threads: int) -> tuple[LabelOutcome, Cost]:
    """Return a label and what it cost a process that had computed two atoms before."""
    # Read by the engine's process when it starts, so the last one has to end.
    stop_engine_process()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as scratch:
        label(smoke_atoms(), settings, Path(scratch) / "two-atoms")
        watch, load, before_s = MemoryWatch(), os.getloadavg()[0], cpu_of_descendants_s()
        watch.start()
        outcome = label(atoms, settings, Path(scratch) / "label")
        cpu_s = cpu_of_descendants_s() - before_s
    return outcome, Cost(outcome.wall_time_s, cpu_s, watch.stop(), load)


def time_labels(names: list[str], threads: list[int], console: Console) -> None:
    columns = ("engine", "version", "threads", "state", "wall s", "CPU s", "memory MB", "load before")
    table = Table(*columns, title="42 atoms of Li7P3S11 at Γ")
    atoms = build_crystal("li7p3s11")
    for name in names:
        for number in threads:
            outcome, cost = measured_label(atoms, SETTINGS[name].at_gamma(), number)
            row = [name, outcome.engine_version, str(number), outcome.state.value]
            row += [f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.memory_MB:.0f}", f"{cost.load_before:.1f}"]
            table.add_row(*row)
            console.print(" | ".join(row))
    console.print(table)


def compare_forces(names: list[str], structures: list[Atoms], gamma: bool, threads: int, console: Console) -> None:
    table = Table("engine", "structure", "k-points", "state", "CPU s", "force RMSE eV/Å", "of rms eV/Å", "correlation")
    for atoms in structures:
        reference = atoms.arrays["REF_forces"]
        for name in names:
            settings = SETTINGS[name].at_gamma() if gamma else SETTINGS[name]
            outcome, cost = measured_label(Atoms(atoms), settings, threads)
            row = [name, str(atoms.symbols), k_points(atoms, settings), outcome.state.value, f"{cost.cpu_s:.0f}"]
            if outcome.state is State.FINISHED and outcome.forces is not None:
                rmse = np.sqrt(np.mean((outcome.forces - reference) ** 2))
                correlation = np.corrcoef(outcome.forces.ravel(), reference.ravel())[0, 1]
                row += [f"{rmse:.3f}", f"{np.sqrt(np.mean(reference**2)):.3f}", f"{correlation:.3f}"]
            else:
                row += [outcome.reason[:60], "", ""]
            table.add_row(*row)
            console.print(" | ".join(row))
    console.print(table)


def k_points(atoms: Atoms, settings: CommonSettings) -> str:
    shape = k_grid_shape(atoms, settings.k_grid) if isinstance(settings, DftSettings) else (1, 1, 1)
    return "x".join(str(count) for count in shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--against", type=Path, help="an extxyz file with REF_forces (eV/Å)")
    parser.add_argument("--take", nargs="+", type=int, default=[0], help="which configurations of the file")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="OMP_NUM_THREADS; forces: the first")
    parser.add_argument("--gamma", action="store_true", help="compare at Γ")
    arguments = parser.parse_args()
    console = Console(width=140)
    here = [name for name in arguments.engines if engine_of(SETTINGS[name]).probe(SETTINGS[name]).found]
    for name in sorted(set(arguments.engines) - set(here)):
        console.print(f"{name}: not here")
    if arguments.against is None:
        time_labels(here, arguments.threads, console)
        return
    images = read(arguments.against, ":")
    taken = [images[index] for index in arguments.take]
    compare_forces(here, taken, arguments.gamma, arguments.threads[0], console)


if __name__ == "__main__":
    main()
