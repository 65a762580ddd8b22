"""Charges with which ES-GAP predicts best, by one fit, and the error against the scale of the formal charges.

    python examples/charges_by_error.py [DATA.xyz [FIGURE.html]]

Without data: rattled cells of Li3PS4, labelled with Slater charges of 0.4 times the formal ones plus short-ranged
pairs, so that the answer is known. Data need REF_energy, REF_forces and best REF_virial; all of one composition.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from ase.calculators.lj import LennardJones

from ionloop.analysis.locality.figures_charges import ChargeEstimate, charge_trade_off_figure
from ionloop.fitting import DataSet, GapSettings, LabelledConfiguration
from ionloop.fitting.data_sets import mean_energy_per_atom, read_extxyz
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, SlaterEwald
from ionloop.fitting.electrostatics.charge_errors import charge_error_curve, fit_charges_to_error, leave_out_tensors
from ionloop.fitting.electrostatics.charges import ChargeProblem
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.settings import SoapSettings
from ionloop.sampling.structures.crystals import build_crystal

FORMAL_CHARGES = {"Li": 1.0, "P": 5.0, "S": -2.0}
HIDDEN_SCALE = 0.4
SETTINGS = GapSettings(soap=SoapSettings(cutoff_A=5.0, n_max=6, l_max=3, sparse_points=60))


def labelled_cells(count: int) -> list[LabelledConfiguration]:
    """Return rattled cells with the labels of known charges and of pairs that end at 4 Å."""
    charges = SlaterEwald({s: HIDDEN_SCALE * charge for s, charge in FORMAL_CHARGES.items()}, SLATER_EXPONENTS)
    pairs = LennardJones(sigma=1.0, epsilon=0.1, rc=4.0, smooth=True)
    cells = []
    for seed in range(count):
        cell = build_crystal("gamma-li3ps4")
        cell.rattle(0.1, seed=seed)
        labels = {
            name: charges.get_property(name, cell) + pairs.get_property(name, cell)
            for name in ("energy", "forces", "stress")
        }
        cells.append(LabelledConfiguration(cell, identifier=f"cell-{seed}", **labels))
    return cells


def main() -> None:
    """Fit the charges and print the errors; write the figure if it has a name."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    cells = labelled_cells(10) if path is None else list(read_extxyz(path).configurations)
    # Apart from each other these ions have no energy; files rarely have isolated atoms.
    isolated = dict.fromkeys(FORMAL_CHARGES, 0.0) if path is None else mean_energy_per_atom(cells)
    data_set = DataSet(tuple(cells), isolated)
    composition = Counter(cells[0].atoms.get_chemical_symbols())
    problem = ChargeProblem(tuple(sorted(composition)), composition, mobile="Li")
    (tensors,) = leave_out_tensors(FitInputs(data_set, SETTINGS, seed=1), problem, [SLATER_EXPONENTS], FitResources())
    fitted = fit_charges_to_error([tensors], resamples=50)
    for symbol, charge in fitted.charges.items():
        print(f"{symbol:>2} {charge:+.3f} ± {fitted.uncertainties[symbol]:.3f} e")
    gap, es_gap = (1000 * errors.force_eV_per_A for errors in (fitted.without_baseline, fitted.with_baseline))
    print(f"leave-out force error: GAP {gap:.1f} meV/Å, ES-GAP {es_gap:.1f} meV/Å")
    curve = charge_error_curve(tensors, FORMAL_CHARGES, np.linspace(0.0, 0.6, 13).tolist())
    for scale, error in zip(curve.scales, curve.force_eV_per_A, strict=True):
        print(f"{scale:.2f} of the formal charges: {1000 * error:6.1f} meV/Å")
    if len(sys.argv) > 2:
        estimate = ChargeEstimate(fitted.charges, fitted.uncertainties, fitted.with_baseline.force_eV_per_A)
        charge_trade_off_figure(curve, None, "Li", by_error=estimate).write_html(sys.argv[2])


if __name__ == "__main__":
    main()
