"""Charges that follow the environment: what they bring on labelled frames, what their fit and their evaluation take.

The first frames of a file are fitted, the next ones predicted: by the GAP alone, by ES-GAP with fixed charges, by one
with charges of a kind that is fitted and by the short-ranged control's freedom. Then both ES-GAPs are timed in turn on
supercells::

    python benchmarks/charges_in_the_fit.py li7p3s11.xyz --fit 20 --test 15 --points 240 --set spread_e=0.1

Frames carry REF_energy and REF_forces, or what ASE reads as results. Times are of one core (processor time).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--fit", type=int, default=20)
    parser.add_argument("--test", type=int, default=15)
    parser.add_argument("--points", type=int, default=240)
    parser.add_argument("--zeta", type=int, default=4)
    parser.add_argument("--kind", default="local", help="of baseline")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=NUMBER", help="setting of the baseline")
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
    tell_errors("GAP", NativeGapCalculator(alone.model), test)
    kind = BASELINES.get(given.kind)
    assert isinstance(kind, FittedKind)
    numbers = {key: float(number) for key, number in (one.split("=") for one in given.set)}
    settings = kind.settings_type(
        charges=charges,
        exponents=exponents,
        widths_A=GAUSSIAN_WIDTHS_A if given.gaussian else {},
        short_range_control=given.control,
        **numbers,
    )
    start = time.process_time()
    fit, file = run_charged_fit(task, kind.fit_settings(settings), resources)
    print(f"with {kind.name} charges in {time.process_time() - start:.0f} s, {file.steps} steps")
    clouds = cloud_table(sorted(file.species), exponents, GAUSSIAN_WIDTHS_A if given.gaussian else {})
    local = ChargedGapCalculator(
        fit.model, file, kind.fit_settings(settings).model_of(sorted(file.species)), clouds, 1e-6
    )
    tell_errors(f"{kind.name} charges", local, test)
    tell_charges(file)
    bare = NativeGapCalculator(replace(fit.model, lacks_charges=False))
    fixed = EsGapCalculator(bare, SlaterEwald(charges, exponents))
    for repetitions in () if given.no_timing else SUPERCELLS:
        atoms = build_crystal("li7p3s11").repeat(repetitions)
        atoms.rattle(0.05, seed=1)
        times = [[measured_ms(one, atoms) for one in (fixed, local)] for _ in range(REPEATS + 1)][1:]
        of_fixed, of_local = np.min(times, axis=0)
        ratio = of_local / of_fixed
        print(f"{len(atoms)} atoms: fixed {of_fixed:.1f} ms, {kind.name} {of_local:.1f} ms, {ratio:.2f} times")


if __name__ == "__main__":
    main()
