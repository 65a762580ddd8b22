"""Time, memory and predictions of the native fit beside gap_fit, on the same data.

``python benchmarks/native_fit.py [DATA.xyz] [--configurations 40] [--threads 1] [--without-gap-fit]``

Without data: rattled cells of Li7P3S11 with 84 atoms, labelled with an electrostatic model (the time does not
depend on the labels). Hyperparameters: n_max 8, l_max 4, cutoff 6 Å, 600 sparse points per element as far as there
are atoms. The whole fit is timed: selection, rows, solution, errors, files. Forces are compared for the same
sparse points, those of gap_fit. The first, small fit compiles or loads the kernels and does not count.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, mean_energy_per_atom, read_extxyz
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.gap_fit import POTENTIAL_FILE, FitLimits, fit_gap
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.sparse_fit.design import sparse_points_of
from ionloop.fitting.native.sparse_fit.fit import NativeFit, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.preflight import estimate_cost
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings
from ionloop.sampling.structures.crystals import build_crystal

SETTINGS = GapSettings(
    two_body=TwoBodySettings(cutoff_A=6.0),
    soap=SoapSettings(cutoff_A=6.0, n_max=8, l_max=4, sparse_points=600),
)
CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
DISPLACEMENT_A = 0.1
SEED = 1


def labelled_cells(count: int) -> list[LabelledConfiguration]:
    """Return rattled cells of 84 atoms, labelled with point charges."""
    calculator = SlaterEwald(charges=CHARGES)
    cells = []
    for number in range(count):
        atoms = build_crystal("li7p3s11").repeat((2, 1, 1))
        atoms.rattle(DISPLACEMENT_A, seed=number)
        labels = {name: calculator.get_property(name, atoms) for name in ("energy", "forces", "stress")}
        cells.append(LabelledConfiguration(atoms=atoms, identifier=f"cell-{number}", **labels))
    return cells


def load(path: Path | None, count: int) -> DataSet:
    configurations = labelled_cells(count) if path is None else list(read_extxyz(path).configurations[:count])
    return DataSet(tuple(configurations), mean_energy_per_atom(configurations))


def time_native(data_set: DataSet, folder: Path, threads: int) -> tuple[NativeFit, float]:
    """Return the fit and its whole wall time (s)."""
    resources = FitResources(threads=threads)
    run_fit(FitInputs(DataSet(data_set.configurations[:1], data_set.isolated_atom_energies), SETTINGS, SEED), resources)
    started = time.perf_counter()
    fit = run_fit(FitInputs(data_set, SETTINGS, SEED), resources)
    fit.write(folder)
    return fit, time.perf_counter() - started


def time_gap_fit(data_set: DataSet, folder: Path, threads: int) -> float:
    """Return the wall time of gap_fit (s); its files stay in the folder."""
    pairs = estimate_cost(data_set, SETTINGS).pairs
    started = time.perf_counter()
    fit_gap(folder, data_set, pairs, SETTINGS, seed=SEED, limits=FitLimits(threads=threads))
    return time.perf_counter() - started


def largest_force_difference(data_set: DataSet, folder: Path, threads: int) -> float:
    """Return the largest difference of a force component (eV/Å) to gap_fit's potential of the same sparse points."""
    theirs = NativeGapCalculator(folder / POTENTIAL_FILE)
    points = sparse_points_of(read_gap_xml(folder / POTENTIAL_FILE))
    inputs = FitInputs(data_set, SETTINGS, SEED, sparse_points=points, leave_out=False)
    ours = NativeGapCalculator(run_fit(inputs, FitResources(threads=threads)).model)
    differences = [
        theirs.get_property("forces", item.atoms) - ours.get_property("forces", item.atoms) for item in data_set
    ]
    return float(np.abs(differences).max())


def fit_table(data_set: DataSet, threads: int, *, with_gap_fit: bool) -> tuple[Table, str]:
    """Return the comparison, and one line about the native fit's stages and memory."""
    n_atoms = sum(item.n_atoms for item in data_set)
    table = Table(
        "fit", "threads", "time (s)", "times faster", "ΔF, same sparse points (eV/Å)",
        title=f"Whole fit of {len(data_set)} cells, {n_atoms:,} atoms",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        native, theirs = Path(name) / "native", Path(name) / "gap_fit"
        theirs.mkdir()
        fit, native_s = time_native(data_set, native, threads)
        peak_MB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        ratio = difference = ""
        if with_gap_fit:
            gap_fit_s = time_gap_fit(data_set, theirs, threads)
            table.add_row("gap_fit", str(threads), f"{gap_fit_s:.1f}", "1", "")
            ratio = f"{gap_fit_s / native_s:.1f}"
            difference = f"{largest_force_difference(data_set, theirs, threads):.0e}"
        table.add_row("native", str(threads), f"{native_s:.1f}", ratio, difference)
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in fit.timings.items())
    return table, f"native: {fit.sparse_points.n_points:,} sparse points; {stages}; peak memory {peak_MB:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--configurations", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without-gap-fit", action="store_true")
    arguments = parser.parse_args()
    data_set = load(arguments.data, arguments.configurations)
    table, line = fit_table(data_set, arguments.threads, with_gap_fit=not arguments.without_gap_fit)
    console = Console(width=160)
    console.print(table)
    console.print(line)


if __name__ == "__main__":
    main()
