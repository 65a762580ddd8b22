"""Our GAP against gap_fit called by hand, and ES-GAP against GAP, on real PBE data.

Every third configuration of the file is held back. Three potentials are fitted to the others with the default
hyperparameters: ours, one by a command line written out below that shares no code with ours, and our ES-GAP
with the default charges. The measure: our GAP's force error is no worse than that of the hand-made one, and
ES-GAP's is within 10 % of GAP's.

    python benchmarks/pbe_gap_against_gap_fit.py DATA.xyz WORK_FOLDER [--threads N]

The data need REF_energy, REF_forces and REF_virial. They have no isolated atoms: both sides count energies
from the mean energy per atom of the training set. Fits that are already in WORK_FOLDER are used again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator
from quippy.potential import Potential

from ionloop.analysis.errors.model_errors import ModelErrors
from ionloop.analysis.errors.statistics import evaluate_errors
from ionloop.fitting.data_sets import DataSet, mean_energy_per_atom, read_extxyz
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, default_charges
from ionloop.fitting.gap_fit import FitLimits, find_executable
from ionloop.fitting.models import fit_model, load_model
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.gap_xml import read_gap_xml
from ionloop.fitting.native.sparse_fit.design import sparse_points_of
from ionloop.fitting.native.sparse_fit.fit import FitInputs, FitResources, run_fit
from ionloop.fitting.preflight import estimate_cost
from ionloop.fitting.settings import BaselineSettings, GapSettings

HOLD_BACK_EVERY = 3
ES_GAP_MARGIN = 1.10
FORCE_ERROR_TOLERANCE = 1e-3
"""Relative difference below which two force errors count as equal: rounding in the linear system does as much."""
SEED = 0
MEMORY_MB = 2000.0

HAND_WRITTEN_GAP = (
    "{distance_2b cutoff=6.0 cutoff_transition_width=1.0 covariance_type=ard_se delta=1.0 theta_uniform=1.0 "
    "n_sparse=15 sparse_method=uniform add_species=T : "
    "soap n_max=8 l_max=4 atom_sigma=0.5 cutoff=5.0 cutoff_transition_width=1.0 zeta=4 covariance_type=dot_product "
    "delta=0.5 n_sparse=500 sparse_method=cur_points add_species=T}"
)


def split(path: Path) -> tuple[DataSet, DataSet, list[str]]:
    """Return training set, test set and the training frames exactly as the file has them."""
    data_set = read_extxyz(path)
    lines = path.read_text().splitlines(keepends=True)
    frames, start = [], 0
    while start < len(lines):
        end = start + int(lines[start]) + 2
        frames.append("".join(lines[start:end]))
        start = end
    held_back = [index % HOLD_BACK_EVERY == HOLD_BACK_EVERY - 1 for index in range(len(frames))]
    training = [item for item, held in zip(data_set, held_back, strict=True) if not held]
    test = [item for item, held in zip(data_set, held_back, strict=True) if held]
    raw = [frame for frame, held in zip(frames, held_back, strict=True) if not held]
    return DataSet(tuple(training), mean_energy_per_atom(training)), DataSet(tuple(test)), raw


def fit_by_hand(raw_frames: list[str], isolated: dict[str, float], folder: Path, threads: int) -> Calculator:
    """Call gap_fit as a user would, on the file's own text."""
    potential = folder / "gap.xml"
    if not potential.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.xyz").write_text("".join(raw_frames))
        energies = ":".join(f"{element}:{energy!r}" for element, energy in isolated.items())
        with open(folder / "log.txt", "w") as log:
            subprocess.run(
                [
                    str(find_executable()),
                    "at_file=train.xyz",
                    f"gap={HAND_WRITTEN_GAP}",
                    f"e0={{{energies}}}",
                    "default_sigma={0.001 0.05 0.02 0.0}",
                    "energy_parameter_name=REF_energy",
                    "force_parameter_name=REF_forces",
                    "virial_parameter_name=REF_virial",
                    "sparse_jitter=1e-8",
                    "rnd_seed=1",
                    "gp_file=gap.xml",
                    "do_copy_at_file=F",
                ],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
    return Potential(param_filename=str(potential))


def report(name: str, errors: ModelErrors, wall_time_s: float) -> None:
    by_element = "  ".join(
        f"{element} {statistics.rmse:.4f}" for element, statistics in errors.force_by_element_eV_per_A.items()
    )
    print(
        f"{name:20s} force RMSE {errors.forces.rmse:.5f} eV/Å ({by_element})   "
        f"energy RMSE {1000 * errors.energy_eV_per_atom.rmse:.3f} meV/atom   fitted in {wall_time_s:.0f} s",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work_folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    training, test, raw_frames = split(arguments.data)
    settings, limits = GapSettings(), FitLimits(threads=arguments.threads)
    cost = estimate_cost(training, settings)
    print(
        f"{len(training)} configurations to fit, {len(test)} to test; estimated per fit: "
        f"{cost.memory_bytes / 1e9:.1f} GB, {cost.time_s / arguments.threads:.0f} s",
        flush=True,
    )
    charges = default_charges(training.elements)
    baseline = BaselineSettings(charges=charges, exponents={e: SLATER_EXPONENTS[e] for e in charges})

    ours = fit_model("gap", training, settings, None, arguments.work_folder / "gap", seed=SEED, limits=limits)
    gap = evaluate_errors(load_model(arguments.work_folder / "gap"), test)
    report("GAP", gap, ours.wall_time_s)
    ours = fit_model("es-gap", training, settings, baseline, arguments.work_folder / "es-gap", seed=SEED, limits=limits)
    es_gap = evaluate_errors(load_model(arguments.work_folder / "es-gap"), test)
    report("ES-GAP", es_gap, ours.wall_time_s)
    start = time.monotonic()
    hand_made = fit_by_hand(
        raw_frames, dict(training.isolated_atom_energies), arguments.work_folder / "by_hand", arguments.threads
    )
    wall_time_s = time.monotonic() - start
    by_hand = evaluate_errors(hand_made, test)
    report("gap_fit by hand", by_hand, wall_time_s)
    # Which sparse points are drawn moves the error by about a percent, up or down; with the same ones it must not.
    points = sparse_points_of(read_gap_xml(arguments.work_folder / "by_hand" / "gap.xml"))
    start = time.monotonic()
    inputs = FitInputs(training, settings, SEED, sparse_points=points, leave_out=False)
    refitted = run_fit(inputs, FitResources(arguments.threads, MEMORY_MB, None), None)
    same_points = evaluate_errors(NativeGapCalculator(refitted.model), test)
    report("GAP, its points", same_points, time.monotonic() - start)

    no_worse = same_points.forces.rmse <= by_hand.forces.rmse * (1 + FORCE_ERROR_TOLERANCE)
    within = es_gap.forces.rmse <= ES_GAP_MARGIN * gap.forces.rmse
    print(f"GAP no worse than gap_fit by hand: {no_worse} ({_ratio(same_points, by_hand):+.4%} with its sparse points,")
    print(f"  {_ratio(gap, by_hand):+.2%} with points of our own choice)")
    print(f"ES-GAP within {ES_GAP_MARGIN - 1:.0%} of GAP: {within} ({_ratio(es_gap, gap):+.2%})")
    return 0 if no_worse and within else 1


def _ratio(errors: ModelErrors, reference: ModelErrors) -> float:
    return float(np.divide(errors.forces.rmse, reference.forces.rmse)) - 1.0


if __name__ == "__main__":
    sys.exit(main())
