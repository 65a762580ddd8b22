"""Sparse points that grow with the generations, and rows that are kept, against fits that start anew.

The file's configurations, in random order, come in three generations; the last ones are held back. Every generation is
fitted in four ways: keeping the points of the generation before and its rows on the disk; the same once more, as for
the other kind of model; the same points without rows on the disk; and points drawn anew, as many as the growing
ones are. Printed are force and energy errors on what is held back, processor times, and their ratios.

    python benchmarks/generations.py DATA.xyz [--sparse-points N] [--generations N N N] [--seeds N]

The data need REF_energy, REF_forces and REF_virial. They have no isolated atoms: energies count from the mean energy
per atom.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ionloop.analysis.errors.statistics import evaluate_errors
from ionloop.fitting.data_sets import DataSet, mean_energy_per_atom, read_extxyz
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.sparse_fit.fit import NativeFit, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.settings import GapSettings, SoapSettings

MEMORY_MB = 2000.0


@dataclass(frozen=True)
class Measured:
    """A fit with its processor time (s)."""

    fit: NativeFit
    time_s: float


def measure(inputs: FitInputs, cache_folder: Path | None = None) -> Measured:
    """Fit on one thread."""
    start = time.process_time()
    fit = run_fit(inputs, FitResources(1, MEMORY_MB, cache_folder))
    return Measured(fit, time.process_time() - start)


def held_back_errors(fit: NativeFit, test: DataSet) -> str:
    """Return the errors on configurations that were not fitted."""
    with tempfile.TemporaryDirectory() as folder:
        errors = evaluate_errors(NativeGapCalculator(fit.write(Path(folder))), test)
    return f"{errors.forces.rmse:.4f} eV/Å {1000 * errors.energy_eV_per_atom.rmse:.2f} meV/atom"


def points_per_element(fit: NativeFit) -> dict[int, int]:
    """Return the number of SOAP sparse points by atomic number."""
    return {key[0]: len(fit.sparse_points.of(key)) for key in fit.sparse_points.keys if len(key) == 1}


def compare(seed: int, training: list[DataSet], test: DataSet, settings: GapSettings) -> None:
    """Fit all generations, and print a line for each."""
    earlier: NativeFit | None = None
    with tempfile.TemporaryDirectory() as folder:
        for data_set in training:
            inputs = FitInputs(data_set, settings, seed, earlier=None if earlier is None else earlier.sparse_points)
            grown = measure(inputs, Path(folder))
            other_kind = measure(inputs, Path(folder))
            without = measure(inputs)
            points = points_per_element(grown.fit)
            soap = settings.soap.model_copy(update={"sparse_points": max(points.values())})
            fresh = measure(FitInputs(data_set, settings.model_copy(update={"soap": soap}), seed))
            print(
                f"seed {seed}, {len(data_set):3d} configurations, points {list(points.values())}: "
                f"grown {held_back_errors(grown.fit, test)}, fresh {held_back_errors(fresh.fit, test)}; "
                f"without rows on the disk {without.time_s:.1f} s, with them {grown.time_s:.1f} s "
                f"({without.time_s / grown.time_s:.1f} times), other kind {other_kind.time_s:.1f} s "
                f"({without.time_s / other_kind.time_s:.1f} times); rows computed "
                f"{grown.fit.rows_computed / without.fit.rows_computed:.0%}",
                flush=True,
            )
            earlier = grown.fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sparse-points", type=int, default=200)
    parser.add_argument("--generations", type=int, nargs="+", default=[15, 25, 35])
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    data = read_extxyz(arguments.data).configurations
    order = np.random.default_rng(0).permutation(len(data))
    shuffled = [data[index] for index in order]
    largest = max(arguments.generations)
    isolated = mean_energy_per_atom(shuffled[:largest])
    test = DataSet(tuple(shuffled[largest:]), isolated)
    training = [DataSet(tuple(shuffled[:count]), isolated) for count in sorted(arguments.generations)]
    settings = GapSettings(soap=SoapSettings(sparse_points=arguments.sparse_points))
    for seed in range(arguments.seeds):
        compare(seed, training, test, settings)


if __name__ == "__main__":
    main()
