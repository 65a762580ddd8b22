"""What tuned hyperparameters bring on frames that no fit has seen, and what the search costs.

    python benchmarks/tuning.py li7p3s11.xyz [more.xyz ...] --fit 20 --test 15 [--budget 20]

The first frames of every file are fitted, with the default settings and with those that the search chooses from them by
left-out errors alone; the next ones are predicted by both. Times are of one core (processor time).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from charges_in_the_fit import configurations  # the other script of this folder

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, mean_energy_per_atom
from ionloop.fitting.models import fit_model, load_model, tune_model
from ionloop.fitting.settings import GapSettings
from ionloop.fitting.tuning.gap import TuningRequest


def tell_errors(
    name: str, folder: Path, data: DataSet, settings: GapSettings, test: list[LabelledConfiguration]
) -> None:
    start = time.process_time()
    manifest = fit_model("gap", data, settings, None, folder, seed=1)
    fitted_s = time.process_time() - start
    calculator = load_model(folder)
    start = time.process_time()
    forces = np.concatenate([(calculator.get_property("forces", one.atoms) - one.forces).ravel() for one in test])
    evaluated_ms = 1e3 * (time.process_time() - start) / len(test)
    energies = [(calculator.get_property("energy", one.atoms) - one.energy) / one.n_atoms for one in test]
    left_out_meV = 1e3 * manifest.leave_out_errors.force_rmse_eV_per_A
    print(
        f"{name:8s} predicted {1e3 * np.sqrt(np.mean(forces**2)):.1f} meV/Å, "
        f"{1e3 * np.sqrt(np.mean(np.square(energies))):.2f} meV/atom; left out {left_out_meV:.1f} meV/Å; "
        f"fit {fitted_s:.0f} s, evaluation {evaluated_ms:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--fit", type=int, default=20, help="frames of each file that are fitted")
    parser.add_argument("--test", type=int, default=15, help="frames of each file that are predicted")
    parser.add_argument("--budget", type=float, default=20.0, help="fits with the default settings")
    given = parser.parse_args()
    train: list[LabelledConfiguration] = []
    test: list[LabelledConfiguration] = []
    for file in given.files:
        labelled = configurations(file, given.fit + given.test)
        found = [replace(one, identifier=f"{file.stem}-{one.identifier}") for one in labelled]
        train += found[: given.fit]
        test += found[given.fit :]
    data = DataSet(tuple(train), mean_energy_per_atom(train))
    settings = GapSettings()
    with tempfile.TemporaryDirectory() as name:
        tell_errors("default", Path(name) / "default", data, settings, test)
        start = time.process_time()
        request = TuningRequest(given.budget, tell=lambda trial: print(f"  {trial.line()}", flush=True))
        tuning = tune_model("gap", data, settings, None, request, seed=1)
        print("\n".join(tuning.lines()))
        print(f"search: {time.process_time() - start:.0f} s")
        tell_errors("tuned", Path(name) / "tuned", data, tuning.best.settings, test)


if __name__ == "__main__":
    main()
