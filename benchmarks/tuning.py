"""What tuned hyperparameters bring on frames that no fit has seen, what the search costs, and settings side by side.

    python benchmarks/tuning.py li7p3s11.xyz [more.xyz ...] --fit 20 --test 15 [--budget 20]
    python benchmarks/tuning.py li7p3s11.xyz --fit 34 --test 10 --shuffle --change soap.zeta=2 \\
        --change soap.zeta=2,soap.transition_width_A=2

The first frames of every file are fitted, with the default settings and with those that the search chooses from them by
left-out errors alone, or with changes of the defaults; the next ones are predicted. Configurations are left out one by
one, correlated ones together. Times are of one core (processor time).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from charges_in_the_fit import configurations  # the other script of this folder
from ruamel.yaml import YAML

from ionloop.fitting.correlation import correlated_groups
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, mean_energy_per_atom
from ionloop.fitting.models import load_model, tune_model
from ionloop.fitting.native.sparse_fit.fit import run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.settings import GapSettings
from ionloop.fitting.tuning.gap import TuningRequest

MOST_FRAMES = 10_000
SHUFFLING_SEED = 3
MILLI = 1e3


def tell_errors(name: str, data: DataSet, settings: GapSettings, test: list[LabelledConfiguration]) -> None:
    groups = correlated_groups([one.atoms for one in data.configurations])
    start = time.process_time()
    fit = run_fit(FitInputs(data, settings, 1, left_out_together=groups), FitResources())
    fitted_s = time.process_time() - start
    errors = fit.leave_out_errors.summary()
    left_out = f"{MILLI * errors.force_rmse_eV_per_A:.1f} meV/Å, {MILLI * errors.energy_eV_per_atom:.2f} meV/atom"
    with tempfile.TemporaryDirectory() as folder:
        calculator = load_model(fit.write(Path(folder)))
    calculator.get_property("forces", test[0].atoms)
    start = time.process_time()
    forces = np.concatenate([(calculator.get_property("forces", one.atoms) - one.forces).ravel() for one in test])
    evaluated_ms = MILLI * (time.process_time() - start) / len(test)
    energies = [(calculator.get_property("energy", one.atoms) - one.energy) / one.n_atoms for one in test]
    print(
        f"{name:8s} predicted {MILLI * np.sqrt(np.mean(forces**2)):.1f} meV/Å, "
        f"{MILLI * np.sqrt(np.mean(np.square(energies))):.2f} meV/atom; "
        f"left out {left_out}; fit {fitted_s:.0f} s, evaluation {evaluated_ms:.1f} ms",
        flush=True,
    )


def changed(text: str) -> GapSettings:
    """Return the defaults with changes such as ``soap.zeta=2,soap.cutoff_A=4.5``."""
    values: dict[str, Any] = GapSettings().model_dump(mode="json")
    for change in text.split(","):
        key, _, value = change.partition("=")
        *path, name = key.split(".")
        section: Any = values
        for part in path:
            section = section[part]
        section[name] = YAML(typ="safe").load(value)
    return GapSettings.model_validate(values)


def frames(file: Path, count: int, *, shuffle: bool) -> list[LabelledConfiguration]:
    found = [one for one in configurations(file, MOST_FRAMES if shuffle else count) if one.n_atoms > 1]
    if shuffle:
        found = [found[index] for index in np.random.default_rng(SHUFFLING_SEED).permutation(len(found))]
    if len(found) < count:
        raise SystemExit(f"{file} has {len(found)} frames, fewer than {count}")
    return [replace(one, identifier=f"{file.stem}-{one.identifier}") for one in found[:count]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--fit", type=int, default=20, help="frames of each file that are fitted")
    parser.add_argument("--test", type=int, default=15, help="frames of each file that are predicted")
    parser.add_argument("--budget", type=float, default=20.0, help="fits with the default settings")
    parser.add_argument("--shuffle", action="store_true", help="frames by chance, not in the order of the files")
    parser.add_argument("--change", action="append", default=[], help="do not tune: compare the defaults with this")
    given = parser.parse_args()
    train: list[LabelledConfiguration] = []
    test: list[LabelledConfiguration] = []
    for file in given.files:
        found = frames(file, given.fit + given.test, shuffle=given.shuffle)
        train += found[: given.fit]
        test += found[given.fit :]
    data = DataSet(tuple(train), mean_energy_per_atom(train))
    tell_errors("default", data, GapSettings(), test)
    for change in given.change:
        tell_errors(change, data, changed(change), test)
    if given.change:
        return
    start = time.process_time()
    request = TuningRequest(given.budget, tell=lambda trial: print(f"  {trial.line()}", flush=True))
    tuning = tune_model("gap", data, GapSettings(), None, request, seed=1)
    print("\n".join(tuning.lines()))
    print(f"search: {time.process_time() - start:.0f} s")
    tell_errors("tuned", data, tuning.best.settings, test)


if __name__ == "__main__":
    main()
