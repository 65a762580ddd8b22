"""Born charges of models that know dipoles only, against those of the reference: derivatives of GFN2-xTB's dipoles.

Charges at rest over bonds, and charges that bonds pass, are fitted to dipoles of molecules (`dipoles_of_molecules`), by
one linear least squares. Born charges of molecules that were held out are compared, and the charges themselves in their
place::

    python benchmarks/born_charges_of_molecules.py
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from dipoles_of_molecules import ELEMENTS, JITTER, labelled_molecules
from tblite.ase import TBLite

from ionloop.analysis.electric_field import born_charges
from ionloop.core.arrays import FloatArray
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.electrostatics.charges_file import ChargesFile, FitComparison, SpeciesCharges
from ionloop.fitting.electrostatics.coulomb.clouds import cloud_table
from ionloop.fitting.electrostatics.equilibrated.kind import EquilibratedSettings
from ionloop.fitting.electrostatics.equilibrated.literature import ELECTRONEGATIVITIES_EV
from ionloop.fitting.electrostatics.fitted_kind import FittedKind, FittedSettings
from ionloop.fitting.electrostatics.joint.charge_columns import ChargeColumns
from ionloop.fitting.electrostatics.joint.charged_calculator import ChargedGapCalculator
from ionloop.fitting.electrostatics.joint.joint_fit import charge_prior_factor
from ionloop.fitting.electrostatics.joint.label_rows import LabelSigmas, label_rows, solve_labels
from ionloop.fitting.electrostatics.pair import PairSettings
from ionloop.fitting.electrostatics.registry import kind_of_baseline
from ionloop.fitting.native.sparse_fit.candidates import choose_sparse_points
from ionloop.fitting.native.sparse_fit.design import Descriptors, RowBuilder
from ionloop.fitting.native.sparse_fit.fit_errors import ErrorSummary
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs
from ionloop.fitting.native.sparse_fit.row_store import RowStore
from ionloop.fitting.settings import GapSettings, SoapSettings
from ionloop.workflows.campaign.baseline_charges import slater_exponent

STEP_A = 0.005
MOST_ATOMS = 10
DIPOLE_SIGMA_EA = 0.02
CONSTANT_STD = 10.0
BONDS = {"bond_cutoff_A": 3.0, "bond_transition_A": 1.5}
ERRORS = ErrorSummary(0.0, 0.0, 0.0, {})
NOTHING = FitComparison(training_errors=ERRORS, leave_out_errors=ERRORS, objective=0.0)


def reference(atoms: Atoms) -> FloatArray:
    """Return GFN2-xTB's Born charges (e) by finite differences. Shape [n_atoms, 3, 3]."""
    found = np.zeros((len(atoms), 3, 3))
    for atom in range(len(atoms)):
        for axis in range(3):
            dipoles = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * STEP_A
                moved.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.1)
                dipoles.append(moved.get_dipole_moment())
            found[atom, :, axis] = (dipoles[0] - dipoles[1]) / (2 * STEP_A)
    return found


def fitted(
    settings: FittedSettings,
    trained: Sequence[LabelledConfiguration],
    start: Mapping[str, float],
    given: argparse.Namespace,
) -> ChargedGapCalculator:
    """Return a model of charges alone that is fitted to dipoles; constants are believed to be about ``start``."""
    soap = SoapSettings(cutoff_A=3.5, n_max=6, l_max=4, atom_sigma_A=0.4, zeta=2, sparse_points=given.points)
    gap, data = GapSettings(two_body=None, soap=soap), DataSet(tuple(trained), dict.fromkeys(ELEMENTS, 0.0))
    descriptors = Descriptors.of(ELEMENTS, gap)
    builder = RowBuilder(descriptors, choose_sparse_points(FitInputs(data, gap, given.seed), descriptors, map))
    symbols = [chemical_symbols[number] for number in descriptors.species]
    kind = kind_of_baseline(settings)
    assert isinstance(kind, FittedKind)
    model, clouds = kind.charge_model(settings, symbols), cloud_table(symbols, settings.exponents)
    with RowStore(1e9) as store:
        columns = ChargeColumns(builder, trained, model, clouds, 1e-6, None, store)
        for index in range(len(trained)):
            columns.keep(index, columns.precompute(index))
        rows, n_points = label_rows(columns, trained, LabelSigmas(dipole_eA=DIPOLE_SIGMA_EA)), columns.n_coefficients
        factor = np.eye(n_points + len(symbols)) / CONSTANT_STD
        factor[:n_points, :n_points] = charge_prior_factor(columns, kind.prior(settings).spread, JITTER)
        theta = solve_labels(rows, factor, np.array([*np.zeros(n_points), *(start[symbol] for symbol in symbols)]))
        species = {
            symbol: SpeciesCharges(
                constant=theta[n_points + place],
                coefficients=tuple(theta[columns.coefficients_of(number)].tolist()),
                mean_e=0.0,
                std_e=0.3,
                least_e=-1.0,
                most_e=1.0,
                uncertainty_e=0.0,
            )
            for place, (symbol, number) in enumerate(zip(symbols, descriptors.species, strict=True))
        }
    told = {"fitted": NOTHING, "without_charges": NOTHING}
    file = ChargesFile(kind=kind.name, species=species, steps=1, has_converged=True, **told)
    without = builder.model(np.zeros(builder.n_columns), dict.fromkeys(symbols, 0.0))
    # The calculator has the species sorted by symbol.
    ordered = sorted(symbols)
    return ChargedGapCalculator(
        without, file, kind.charge_model(settings, ordered), cloud_table(ordered, settings.exponents), 1e-6
    )


def rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=200, help="molecules that are fitted")
    parser.add_argument("--test", type=int, default=30, help="molecules of at most 10 atoms that are compared")
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    molecules = [own[0] for own in labelled_molecules(1, given.seed)]
    held, others = molecules[: len(molecules) // 4], molecules[len(molecules) // 4 :]
    tests = [one.atoms for one in held if one.n_atoms <= MOST_ATOMS][: given.test]
    expected = np.concatenate([reference(atoms) for atoms in tests])
    print(f"{len(tests)} molecules held out, components of their Born charges {rms(expected):.3f} e")
    shared = {
        "charges": dict.fromkeys(ELEMENTS, 0.0),
        "exponents": {symbol: slater_exponent(symbol) for symbol in ELEMENTS},
        **BONDS,
    }
    at_rest = EquilibratedSettings(**shared, spread_eV=2.0, bond_hardness_eV=2.0)
    passing = PairSettings(**shared, spread_e=3.0)
    for settings, start in ((at_rest, ELECTRONEGATIVITIES_EV), (passing, dict.fromkeys(ELEMENTS, 0.0))):
        model = fitted(settings, others[: given.fit], start, given)
        found = np.concatenate([born_charges(model, atoms) for atoms in tests])
        raw = np.concatenate([model.get_property("charges", atoms) for atoms in tests])[:, None, None] * np.eye(3)
        print(
            f"{settings.kind_name:12s} Born charges {rms(found - expected):.3f} e, "
            f"correlation {np.corrcoef(found.ravel(), expected.ravel())[0, 1]:.2f}; "
            f"charges in their place {rms(raw - expected):.3f} e"
        )


if __name__ == "__main__":
    main()
