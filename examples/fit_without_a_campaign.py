"""Label, fit and test a GAP and an ES-GAP as plain functions, without a campaign or a store.

    python examples/fit_without_a_campaign.py

Rattled γ-Li3PS4 cells are labelled with GFN1-xTB; both models are fitted to ten of them and tested on four.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ionloop.analysis.errors.statistics import evaluate_errors
from ionloop.fitting import (
    BaselineSettings,
    DataSet,
    GapSettings,
    LabelledConfiguration,
    SoapSettings,
    fit_model,
    isolated_atom,
    load_model,
)
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, default_charges
from ionloop.labelling import Gfn1XtbSettings, isolated_atom_energy, label
from ionloop.sampling.structures.crystals import build_crystal

SPECIES = ("Li", "P", "S")
TRAINING, TEST = 10, 4
ENGINE = Gfn1XtbSettings()
SETTINGS = GapSettings(soap=SoapSettings(cutoff_A=4.5, n_max=4, l_max=3, sparse_points=40))
BASELINE = BaselineSettings(
    charges=default_charges(SPECIES), exponents={symbol: SLATER_EXPONENTS[symbol] for symbol in SPECIES}
)


def labelled_configurations(folder: Path) -> list[LabelledConfiguration]:
    """Return rattled crystals with their labels."""
    configurations = []
    for number in range(TRAINING + TEST):
        atoms = build_crystal("gamma-li3ps4")
        atoms.rattle(0.08, seed=number)
        outcome = label(atoms, ENGINE, folder / f"label-{number}")
        if outcome.energy is None or outcome.forces is None:
            raise SystemExit(f"label {number} is {outcome.state}: {outcome.reason}")
        configurations.append(
            LabelledConfiguration(atoms, outcome.energy, outcome.forces, outcome.stress, f"label-{number}")
        )
    return configurations


def main() -> None:
    """Fit both models and print their errors on configurations that they have not seen."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configurations = labelled_configurations(folder)
        energies = {
            symbol: isolated_atom_energy(symbol, ENGINE, folder / f"atom-{symbol}").energy or 0.0 for symbol in SPECIES
        }
        isolated = tuple(isolated_atom(symbol, energy) for symbol, energy in energies.items())
        training = DataSet(tuple(configurations[:TRAINING]), isolated_atoms=isolated)
        for kind, baseline in (("gap", None), ("es-gap", BASELINE)):
            fit_model(kind, training, SETTINGS, baseline, folder / kind, seed=1)
            errors = evaluate_errors(load_model(folder / kind), configurations[TRAINING:])
            print(
                f"{kind:>6}: forces {1000 * errors.forces.rmse:6.1f} meV/Å, "
                f"energies {1000 * errors.energy_eV_per_atom.rmse:6.2f} meV/atom"
            )


if __name__ == "__main__":
    main()
