"""What expected force errors per element (``force_by_element_eV_per_A``) do to the errors of a GAP.

    python examples/per_element_regularisation.py [DATA.xyz]

Without a file, rattled γ-Li3PS4 cells are labelled with GFN1-xTB. A file needs REF_energy and REF_forces; every
fourth of its configurations is held back. The same GAP is fitted with different expected errors and measured on
configurations that it has not seen.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ionloop.analysis.errors.model_errors import ModelErrors
from ionloop.analysis.errors.statistics import evaluate_errors
from ionloop.fitting import DataSet, GapSettings, LabelledConfiguration, SoapSettings, fit_model, load_model
from ionloop.fitting.data_sets import mean_energy_per_atom, read_extxyz
from ionloop.fitting.settings import Regularisation
from ionloop.labelling import Gfn1XtbSettings, label
from ionloop.sampling.structures.crystals import build_crystal

CELLS, HOLD_BACK_EVERY = 12, 4
DISPLACEMENT_A = 0.1
SOAP = SoapSettings(cutoff_A=5.0, n_max=6, l_max=4, sparse_points=100)
EXPECTED_ERRORS = {
    "0.05 for all": Regularisation(),
    "0.01 for Li": Regularisation(force_by_element_eV_per_A={"Li": 0.01}),
    "0.01 for Li, 0.2 for P and S": Regularisation(force_by_element_eV_per_A={"Li": 0.01, "P": 0.2, "S": 0.2}),
    "0.01 for P and S, 0.2 for Li": Regularisation(force_by_element_eV_per_A={"Li": 0.2, "P": 0.01, "S": 0.01}),
}


def labelled_cells(folder: Path) -> list[LabelledConfiguration]:
    """Return rattled crystals with their labels."""
    cells = []
    for number in range(CELLS):
        atoms = build_crystal("gamma-li3ps4")
        atoms.rattle(DISPLACEMENT_A, seed=number)
        outcome = label(atoms, Gfn1XtbSettings(), folder / f"label-{number}")
        if outcome.energy is None or outcome.forces is None:
            raise SystemExit(f"label {number} is {outcome.state}: {outcome.reason}")
        cells.append(LabelledConfiguration(atoms, outcome.energy, outcome.forces, outcome.stress, f"cell-{number}"))
    return cells


def print_by_magnitude(errors: ModelErrors) -> None:
    """Print errors by element and magnitude of the reference force."""
    elements = list(errors.force_by_element_eV_per_A)
    print(f"{'|F| (eV/Å)':>12}" + "".join(f"{element:>10}" for element in elements))
    for one in errors.force_by_magnitude_eV_per_A:
        found = [one.by_element.get(element) for element in elements]
        print(f"{one.label:>12}" + "".join(f"{1000 * error.rmse:10.1f}" if error else " " * 10 for error in found))


def main() -> None:
    """Fit with each set of expected errors and print what comes out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        cells = labelled_cells(folder) if path is None else list(read_extxyz(path))
        test = cells[::HOLD_BACK_EVERY]
        training = [cell for number, cell in enumerate(cells) if number % HOLD_BACK_EVERY]
        data_set = DataSet(tuple(training), mean_energy_per_atom(training))
        print("Force RMSE on unseen configurations (meV/Å)")
        measured = {}
        for number, (title, regularisation) in enumerate(EXPECTED_ERRORS.items()):
            settings = GapSettings(soap=SOAP, regularisation=regularisation)
            fit_model("gap", data_set, settings, None, folder / f"model-{number}", seed=1)
            errors = measured[title] = evaluate_errors(load_model(folder / f"model-{number}"), test)
            by_element = ", ".join(
                f"{element} {1000 * error.rmse:.1f}" for element, error in errors.force_by_element_eV_per_A.items()
            )
            print(f"  {title:<30} all {1000 * errors.forces.rmse:.1f}: {by_element}")
        for title in list(EXPECTED_ERRORS)[:2]:
            print(f"\n{title}, by magnitude of the reference force")
            print_by_magnitude(measured[title])


if __name__ == "__main__":
    main()
