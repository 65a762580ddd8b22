"""Combined models against experts: fusion, merging and product on four materials, and novelty against error on five.

Eight configurations of each material are fitted, four tested, chosen by a seed; without a pair term. Written for the
labels of Li-P-S electrolytes in ``li7p3s11.xyz``, ``li3ps4.xyz``, ``li2p2s6.xyz``, ``p2s5.xyz`` and ``li4p2s7.xyz``::

    python benchmarks/library/experts.py FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import spearmanr

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, read_extxyz
from ionloop.fitting.experts.combine import combine_models
from ionloop.fitting.experts.expert import read_expert
from ionloop.fitting.experts.joining import common_zero
from ionloop.fitting.experts.sufficiency import kernel_of, left_out_errors, mean_novelty, slopes_of
from ionloop.fitting.models import fit_model, load_model
from ionloop.fitting.native.sparse_fit.fit_inputs import FitResources
from ionloop.fitting.settings import GapSettings, Regularisation, SoapSettings

MATERIALS = ("li7p3s11", "li3ps4", "li2p2s6", "p2s5")
N_TRAINING, N_TEST = 8, 4
WAYS = {
    "foe": ("foe", 0.02),
    "moe 0.02": ("moe", 0.02),
    "moe 0.05": ("moe", 0.05),
    "poe": ("poe", 0.02),
}


def settings(sparse_points: int = 80) -> GapSettings:
    """Return those of the table."""
    return GapSettings(
        two_body=None,
        soap=SoapSettings(cutoff_A=6.0, sparse_points=sparse_points, sparse_method="farthest_points", delta_eV=1.0),
        regularisation=Regularisation(energy_eV_per_atom=0.002, force_eV_per_A=0.05),
        sparse_jitter=1e-6,
    )


def without_stress(one: LabelledConfiguration, name: str) -> LabelledConfiguration:
    """Return energies and forces alone."""
    return LabelledConfiguration(one.atoms, one.energy, one.forces, None, name)


def read(folder: Path, name: str) -> list[LabelledConfiguration]:
    """Return the labels of a material."""
    found = read_extxyz(folder / f"{name}.xyz").configurations
    return [without_stress(one, f"{name}-{index}") for index, one in enumerate(found)]


def scores(model: Path, tests: list[LabelledConfiguration]) -> tuple[float, float, float]:
    """Return R² and root-mean-square error (eV/Å) of forces, and of energies (meV/atom)."""
    calculator = load_model(model, verify=False)
    forces = np.concatenate([calculator.get_property("forces", one.atoms).ravel() for one in tests])
    labels = np.concatenate([np.asarray(one.forces).ravel() for one in tests])
    energies = [(calculator.get_property("energy", one.atoms) - one.energy) / one.n_atoms for one in tests]
    left = np.sum((forces - labels) ** 2)
    return (
        float(1.0 - left / np.sum((labels - labels.mean()) ** 2)),
        float(np.sqrt(np.mean((forces - labels) ** 2))),
        1000.0 * float(np.sqrt(np.mean(np.square(energies)))),
    )


def table(folder: Path, work: Path) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return scores by material and model."""
    random = np.random.default_rng(0)
    training, tests = {}, {}
    for name in MATERIALS:
        found = read(folder, name)
        found = [found[index] for index in random.permutation(len(found))]
        training[name], tests[name] = found[:N_TRAINING], found[N_TRAINING : N_TRAINING + N_TEST]
    zero = common_zero([one for name in MATERIALS for one in training[name]], {})
    for name in MATERIALS:
        known = {symbol: zero[symbol] for symbol in DataSet(tuple(training[name])).elements}
        fit_model("gap", DataSet(tuple(training[name]), known), settings(), None, work / name)
    folders = {name: work / name for name in MATERIALS}
    for way, (how, threshold) in WAYS.items():
        combine_models(list(folders.values()), work / way, how=how, threshold=threshold)
    found = {}
    for name in MATERIALS:
        others = work / f"without-{name}"
        combine_models([folders[other] for other in MATERIALS if other != name], others)
        found[name] = {"expert": scores(folders[name], tests[name])}
        found[name] |= {way: scores(work / way, tests[name]) for way in WAYS}
        found[name]["foe of others"] = scores(others, tests[name])
    return found


def novelty_table(folder: Path, work: Path) -> list[tuple[str, dict[str, float], float]]:
    """Return mean novelty by element and the force error (eV/Å) of five materials, to a model of one of them."""
    labels = read(folder, "li7p3s11")
    zero = common_zero(labels, {})
    fit_model("gap", DataSet(tuple(labels[:20]), zero), settings(200), None, work / "one")
    kernel = kernel_of([read_expert(work / "one")], ("Li", "P", "S"))
    found, single = [], []
    for name in ("li7p3s11", "li3ps4", "li4p2s7", "li2p2s6", "p2s5"):
        tests = labels[20:35] if name == "li7p3s11" else read(folder, name)[:12]
        found.append((name, mean_novelty(kernel, [one.atoms for one in tests]), scores(work / "one", tests)[1]))
        for one in tests:
            squares = np.mean(kernel.novelty(one.atoms) ** 2)
            single.append((float(np.sqrt(squares)), scores(work / "one", [one])[1]))
    print(f"Spearman of {len(single)} configurations {spearmanr(*zip(*single, strict=True)).statistic:.2f}")
    return found


def print_novelty(folder: Path, work: Path) -> None:
    """Print novelty beside error, and how well one orders the other."""
    found = novelty_table(folder, work)
    for name, novelty, rmse in found:
        print(name, " ".join(f"{symbol} {value:.3f}" for symbol, value in novelty.items()), f"{rmse:.3f} eV/Å")
    means = [float(np.mean(list(novelty.values()))) for _, novelty, _ in found]
    print(f"Spearman of compositions {spearmanr(means, [rmse for *_, rmse in found]).statistic:.2f}")


def print_slopes(work: Path) -> None:
    """Print what leaving out each material in its turn says of the slope of error over novelty."""
    errors = left_out_errors([read_expert(work / name) for name in MATERIALS], FitResources())
    for one in errors:
        print(f"without {one.material}: {one.element} {one.novelty:.3f}, {one.rmse_eV_per_A:.3f} eV/Å")
    slopes = slopes_of(errors)
    for symbol, slope in slopes.by_element.items():
        print(f"c({symbol}) = {slope:.2f} ({slopes.lowest[symbol]:.2f} to {slopes.highest[symbol]:.2f}) eV/Å")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with TemporaryDirectory() as work:
        print_novelty(folder, Path(work))
        found = table(folder, Path(work))
        print_slopes(Path(work))
    print("| | " + " | ".join(next(iter(found.values()))) + " |")
    for name, columns in found.items():
        print(f"| {name} | " + " | ".join("{:.3f}/{:.3f}/{:.1f}".format(*one) for one in columns.values()) + " |")


if __name__ == "__main__":
    main()
