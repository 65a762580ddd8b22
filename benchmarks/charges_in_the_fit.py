"""Charges that follow the environment: what they bring on labelled frames, what their fit and their evaluation take.

The first frames of a file are fitted, the next ones predicted: by the GAP alone, by ES-GAP with fixed charges, by one
with charges of kinds that are fitted and by the short-ranged control's freedom. Then all ES-GAPs are timed in turn on
supercells along a trajectory::

    python benchmarks/charges_in_the_fit.py li7p3s11.xyz --kind local --kind pair --set local.spread_e=0.1 --control

Frames carry REF_energy and REF_forces, or what ASE reads as results. Times are of one core (processor time).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read

from ionloop.fitting.calculators import EsGapCalculator
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.electrostatics.baseline import SLATER_EXPONENTS, SlaterEwald
from ionloop.fitting.electrostatics.charges_file import ChargesFile
from ionloop.fitting.electrostatics.coulomb.clouds import cloud_table
from ionloop.fitting.electrostatics.fitted_kind import FittedKind
from ionloop.fitting.electrostatics.joint.charged_calculator import ChargedGapCalculator
from ionloop.fitting.electrostatics.joint.charged_fit import run_charged_fit
from ionloop.fitting.electrostatics.registry import BASELINES
from ionloop.fitting.electrostatics.species import FORMAL_CHARGES
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.sparse_fit.fit import run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings
from ionloop.sampling.structures.crystals import build_crystal

SUPERCELLS = ((2, 1, 1), (2, 2, 2), (4, 4, 2))
REPEATS = 5
WARM_STEPS = 5
STEP_A = 0.005
MEMORY_MB = 3000.0
GAUSSIAN_WIDTHS_A = {"Li": 0.7, "P": 0.6, "S": 0.9}


def configurations(file: Path, count: int) -> list[LabelledConfiguration]:
    found = []
    for index, atoms in enumerate(read(file, f":{count}")):
        bare = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        energy = atoms.info.get("REF_energy")
        energy = atoms.get_potential_energy() if energy is None else float(energy)
        forces = atoms.arrays["REF_forces"] if "REF_forces" in atoms.arrays else atoms.get_forces()
        found.append(LabelledConfiguration(bare, energy, forces, None, str(index)))
    return found


def tell_errors(name: str, calculator: Calculator, test: list[LabelledConfiguration]) -> None:
    energies = [(calculator.get_property("energy", one.atoms) - one.energy) / one.n_atoms for one in test]
    errors = np.concatenate([calculator.get_property("forces", one.atoms) - one.forces for one in test])
    symbols = np.concatenate([np.array(one.atoms.get_chemical_symbols()) for one in test])
    parts = [f"{s} {np.sqrt(np.mean(errors[symbols == s] ** 2)):.3f}" for s in sorted(set(symbols.tolist()))]
    forces = float(np.sqrt(np.mean(errors**2)))
    per_atom = 1e3 * float(np.sqrt(np.mean(np.square(energies))))
    print(f"{name:16s} force {forces:.4f} eV/Å ({', '.join(parts)}), energy {per_atom:.2f} meV/atom")


def tell_charges(file: ChargesFile) -> None:
    for symbol, one in file.species.items():
        print(f"  {symbol}: mean {one.mean_e:+.3f} ± {one.uncertainty_e:.3f} e, spread {one.std_e:.3f} e")
    for name, one in (
        ("no charges", file.without_charges),
        (file.kind, file.fitted),
        ("control", file.short_range_control),
    ):
        if one is not None:
            print(f"  {name}: left-out force error {one.leave_out_errors.force_eV_per_A:.4f} eV/Å")


def measured_ms(calculator: Calculator, atoms: Atoms) -> float:
    start = time.process_time()
    calculator.calculate(atoms, ["energy", "forces", "stress"], list(all_changes))
    return 1e3 * (time.process_time() - start)


def tell_times(calculators: dict[str, Calculator], repetitions: tuple[int, int, int]) -> None:
    """Print the shortest times of evaluations in turn along a trajectory, over those of the first calculator."""
    atoms = build_crystal("li7p3s11").repeat(repetitions)
    atoms.rattle(0.05, seed=1)
    velocities = np.random.default_rng(2).normal(0, STEP_A, atoms.positions.shape)
    times = []
    for _ in range(REPEATS + WARM_STEPS):
        atoms.positions += velocities
        times.append([measured_ms(one, atoms) for one in calculators.values()])
    shortest = np.min(times[WARM_STEPS:], axis=0)
    told = [
        f"{name} {own:.1f} ms, {own / shortest[0]:.2f} times" for name, own in zip(calculators, shortest, strict=True)
    ]
    print(f"{len(atoms)} atoms: {'; '.join(told)}")


def kind_named(name: str) -> FittedKind:
    kind = BASELINES.get(name)
    assert isinstance(kind, FittedKind)
    return kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--fit", type=int, default=20)
    parser.add_argument("--test", type=int, default=15)
    parser.add_argument("--points", type=int, default=240)
    parser.add_argument("--zeta", type=int, default=4)
    parser.add_argument("--kind", action="append", help="of baseline; may be repeated (local)")
    parser.add_argument("--set", action="append", default=[], metavar="KIND.KEY=NUMBER", help="setting of a baseline")
    parser.add_argument("--no-timing", action="store_true", help="leave the supercells out")
    parser.add_argument("--fraction", type=float, default=0.3, help="part of the formal charges")
    parser.add_argument("--gaussian", action="store_true", help=f"Gaussian clouds of {GAUSSIAN_WIDTHS_A} Å")
    parser.add_argument("--control", action="store_true", help="fit the short-ranged control too")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    labelled = configurations(given.file, given.fit + given.test)
    train, test = labelled[: given.fit], labelled[given.fit :]
    symbols = sorted(set(train[0].atoms.get_chemical_symbols()))
    mean = float(np.mean([one.energy / one.n_atoms for one in train]))
    data = DataSet(tuple(train), dict.fromkeys(symbols, mean))
    soap = SoapSettings(
        cutoff_A=6.0, sparse_points=given.points, delta_eV=1.0, zeta=given.zeta, sparse_method="farthest_points"
    )
    pairs = TwoBodySettings(cutoff_A=6.0, sparse_method="evenly_spaced")
    task = FitInputs(data, GapSettings(two_body=pairs, soap=soap), given.seed)
    resources = FitResources(1, MEMORY_MB)
    charges = {symbol: given.fraction * FORMAL_CHARGES[symbol] for symbol in symbols}
    exponents = {symbol: SLATER_EXPONENTS[symbol] for symbol in symbols}
    start = time.process_time()
    alone = run_fit(task, resources)
    print(f"GAP fitted in {time.process_time() - start:.0f} s")
    gap = NativeGapCalculator(alone.model)
    tell_errors("GAP", gap, test)
    calculators: dict[str, Calculator] = {"fixed": EsGapCalculator(gap, SlaterEwald(charges, exponents))}
    widths = GAUSSIAN_WIDTHS_A if given.gaussian else {}
    for kind in map(kind_named, given.kind or ["local"]):
        numbers = [one.removeprefix(f"{kind.name}.").split("=") for one in given.set if one.startswith(f"{kind.name}.")]
        settings = kind.settings_type(
            charges=charges,
            exponents=exponents,
            widths_A=widths,
            short_range_control=given.control,
            **{key: float(number) for key, number in numbers},
        )
        start = time.process_time()
        fit, file = run_charged_fit(task, kind.fit_settings(settings), resources)
        print(f"with {kind.name} charges in {time.process_time() - start:.0f} s, {file.steps} steps")
        calculator = ChargedGapCalculator(
            fit.model,
            file,
            kind.fit_settings(settings).model_of(sorted(file.species)),
            cloud_table(sorted(file.species), exponents, widths),
            1e-6,
        )
        tell_errors(f"{kind.name} charges", calculator, test)
        tell_charges(file)
        calculators[kind.name] = calculator
    for repetitions in () if given.no_timing else SUPERCELLS:
        tell_times(calculators, repetitions)


if __name__ == "__main__":
    main()
