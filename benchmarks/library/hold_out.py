"""Errors by anion on a composition that the potential was fitted to, and on one that it was not.

One GAP of all compositions in a folder, and one for each that is left out; a quarter of every composition is tested,
chosen by a seed. An atom belongs to the anion of its centre; Li is a class of its own. Written
for the labels of ``li7p3s11.xyz``, ``li3ps4.xyz``, ``li2p2s6.xyz`` and ``p2s5.xyz``::

    python benchmarks/library/hold_out.py FOLDER [--points 300]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from experts import MATERIALS, read

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.experts.joining import common_zero
from ionloop.fitting.models import fit_model, load_model
from ionloop.fitting.settings import GapSettings, Regularisation, SoapSettings, TwoBodySettings
from ionloop.sampling.networks.species import anions_of

TESTED = 4
"""Every fourth configuration is tested."""
BATCHES = 200
"""Of resampled configurations, for intervals."""


def settings(points: int) -> GapSettings:
    """Return those of the fit."""
    return GapSettings(
        two_body=TwoBodySettings(cutoff_A=5.0, sparse_method="evenly_spaced"),
        soap=SoapSettings(cutoff_A=5.0, sparse_points=points, zeta=2),
        regularisation=Regularisation(energy_eV_per_atom=0.002, force_eV_per_A=0.05),
    )


def squares(model: Path, tests: Sequence[LabelledConfiguration]) -> list[dict[str, np.ndarray]]:
    """Return squared errors of force components by class, for each configuration (eV²/Å²)."""
    calculator = load_model(model, verify=False)
    found = []
    for one in tests:
        errors = (calculator.get_property("forces", one.atoms) - np.asarray(one.forces)) ** 2
        names = anions_of(one.atoms)
        found.append({str(name): errors[names == name].ravel() for name in sorted(set(names))})
    return found


def rmse(parts: Sequence[dict[str, np.ndarray]], name: str) -> str:
    """Return the error of a class with its 95 % interval over resampled configurations (eV/Å)."""
    own = [part[name] for part in parts if name in part]
    random = np.random.default_rng(1)
    drawn = [
        np.sqrt(np.mean(np.concatenate([own[place] for place in random.integers(len(own), size=len(own))])))
        for _ in range(BATCHES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = np.sqrt(np.mean(np.concatenate(own)))
    return f"{value:.2f}" + (f" ({low:.2f} to {high:.2f})" if len(own) > 1 else "")


def energy(model: Path, tests: Sequence[LabelledConfiguration]) -> str:
    """Return the root-mean-square error of energies (meV/atom)."""
    calculator = load_model(model, verify=False)
    errors = [(calculator.get_property("energy", one.atoms) - one.energy) / one.n_atoms for one in tests]
    return f"{1000 * np.sqrt(np.mean(np.square(errors))):.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", type=int, default=300, help="sparse points of each element")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    training: dict[str, list[LabelledConfiguration]] = defaultdict(list)
    tests: dict[str, list[LabelledConfiguration]] = defaultdict(list)
    for name in MATERIALS:
        for place, one in enumerate(random.permutation(np.arange(len(read(options.folder, name)))).tolist()):
            (training if place % TESTED else tests)[name].append(read(options.folder, name)[one])
    zero = common_zero([one for name in MATERIALS for one in training[name]], {})
    with TemporaryDirectory() as work:
        models = {left: Path(work) / f"without-{left or 'nothing'}" for left in ("", *MATERIALS)}
        for left, folder in models.items():
            data = tuple(one for name in MATERIALS if name != left for one in training[name])
            fit_model("gap", DataSet(data, zero), settings(options.points), None, folder)
        print("| composition | anion | atoms | force rms | fitted | held out |\n|---|---|---|---|---|---|")
        for name in MATERIALS:
            fitted, held = squares(models[""], tests[name]), squares(models[name], tests[name])
            labels = defaultdict(list)
            for one in tests[name]:
                for atom, kind in zip(np.asarray(one.forces), anions_of(one.atoms), strict=True):
                    labels[str(kind)].append(atom)
            for kind, forces in sorted(labels.items()):
                size = np.sqrt(np.mean(np.square(forces)))
                row = (name, kind, str(len(forces)), f"{size:.2f}", rmse(fitted, kind), rmse(held, kind))
                print(f"| {' | '.join(row)} |")
            energies = energy(models[""], tests[name]), energy(models[name], tests[name])
            print(
                f"| {name} | energy, meV/atom | {len(tests[name])} cells | | {energies[0]} | {energies[1]} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
