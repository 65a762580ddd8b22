"""Locality of a potential in Li7P3S11, and charges that take the long-ranged part of its forces away.

    python examples/locality.py

In place of a reference method stands a potential whose answer is known: Slater charges plus short-ranged pairs. The
induced force decays slowly with the radius; the fitted charges are the ones that were put in, and once their forces
are taken away nothing is left beyond the reach of the pairs.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator

from ionloop.analysis.locality.curves import (
    OVERALL,
    Displacements,
    LocalityCurve,
    choose_centres,
    forces_of,
    induced_response,
    locality_cell,
)
from ionloop.analysis.locality.settings import LocalitySettings
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, SlaterEwald
from ionloop.fitting.electrostatics.charges import CentreResponse, ChargeProblem, PairTensorEvaluator, fit_charges
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.tasks.values.locality import LOCALITIES
from ionloop.workflows.analyses.locality.kind import LOCALITY
from ionloop.workflows.analyses.runner import OwnCalculator, Question, ask

SPECIES = ("Li", "P", "S")
HIDDEN_CHARGES = {"Li": 0.45, "P": 1.6, "S": -(7 * 0.45 + 3 * 1.6) / 11}
RADIUS_A = 6.0
SAMPLES = 3
ACCURACY_EV_PER_A = 1e-4


def reference() -> SumCalculator:
    """Return the potential that plays the reference: charges, and pairs that end at 4.5 Å."""
    pairs = LennardJones(sigma=2.0, epsilon=0.02, rc=4.5, smooth=True)
    return SumCalculator([SlaterEwald(HIDDEN_CHARGES, SLATER_EXPONENTS, ACCURACY_EV_PER_A), pairs])


def fitted_charges(crystal: Atoms) -> dict[str, float]:
    """Return the charges whose forces answer to displacements beyond the radius as the reference's do (e)."""
    cell = locality_cell(crystal, RADIUS_A)
    displacements = Displacements((RADIUS_A,), SAMPLES, displacement_A=0.1, seed=1)
    tensors = PairTensorEvaluator(SPECIES, SLATER_EXPONENTS, ACCURACY_EV_PER_A)
    calculator = reference()
    responses = []
    for centre in choose_centres(crystal, per_species=2, seed=1):
        forces = induced_response(forces_of(calculator), cell, centre.index, displacements)
        of_charges = induced_response(lambda atoms: tensors(atoms).forces, cell, centre.index, displacements)
        responses.append(CentreResponse(centre.symbol, forces[0], of_charges[0]))
    counts = {symbol: int(np.sum(cell.symbols == symbol)) for symbol in SPECIES}
    return fit_charges(responses, ChargeProblem(SPECIES, counts, mobile="Li")).charges


def row(curve: LocalityCurve) -> str:
    """Return the mean induced forces with their errors."""
    pairs = zip(curve.value_eV_per_A, curve.error_eV_per_A, strict=True)
    return "  ".join(f"{value:.3f} ± {error:.3f}" for value, error in pairs)


def main() -> None:
    """Fit the charges, then print the locality before and after they are taken away."""
    crystal = build_crystal("li7p3s11")
    charges = fitted_charges(crystal)
    print("charges, e: " + ", ".join(f"{symbol} {charge:+.3f}" for symbol, charge in charges.items()))
    own = OwnCalculator(reference())
    settings = LocalitySettings(potential=own.name, radii_A=(4.0, 5.0, 6.0), samples=SAMPLES, centres=2)
    answer = ask(LOCALITY, Question(crystal, [own], settings, campaign={"baseline": {"charges": charges}}))
    result = LOCALITIES.read(answer.only(LOCALITIES.name))
    print(f"mean induced force beyond {', '.join(f'{radius:g}' for radius in result.radii_A)} Å, eV/Å")
    for symbol in (*SPECIES, OVERALL):
        print(f"{symbol:>4} {row(result.before[symbol])}   with the baseline {row((result.after or {})[symbol])}")


if __name__ == "__main__":
    main()
