"""How many labels it takes to know a barrier, with proposals of the analysis and without, on the same budget.

    python benchmarks/loop/proposals.py FOLDER [--seeds 3] [--generations 4] [--labels 6]

Li7P3S11 with GFN1-xTB, as the demonstration. The path leads from the crystal to a Frenkel pair that the reference
relaxed; its barrier is the highest of its images less the first, by the reference. The loop begins with frames of the
reference's dynamics; every generation fits a GAP, explores by dynamics with it and labels so many configurations: all
of them frames chosen by farthest points, or half of them what tells most of the model's own barrier (images of the path
to the pair that the model itself relaxes, and frames). The model's barrier on the reference's path is compared with the
reference's: it is known once error and half-width of the model's 95 % interval are both within 0.05 eV, and stay so.
Labels are kept in FOLDER: what was computed once is not computed again.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE

from ionloop.analysis.barriers.bands import continuous_end, interpolated_path
from ionloop.analysis.defects.defect_sites import sample_frenkel_pairs, with_defect
from ionloop.core.structures import structure_hash
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, isolated_atom
from ionloop.fitting.models import fit_model, load_model, load_posterior
from ionloop.fitting.posterior.base import NoPosterior
from ionloop.fitting.posterior.informative import choose_informative
from ionloop.fitting.settings import GapSettings
from ionloop.labelling.calculator import make_calculator
from ionloop.labelling.registry import default_settings
from ionloop.labelling.runner import isolated_atom_energy
from ionloop.sampling.guard import ContactGuard
from ionloop.sampling.seen_contacts import ExploringGuard, shortest_distances_A
from ionloop.sampling.selections.registry import SELECTIONS
from ionloop.sampling.selections.selecting import select
from ionloop.sampling.structures.crystals import build_crystal

TOLERANCE_eV = 0.05
IMAGES, FRAMES, FIRST = 7, 24, 12
TEMPERATURE_K = 800.0
REFERENCE_STEPS, REFERENCE_EVERY = 48, 3
MODEL_STEPS, MODEL_EVERY = 240, 8
RELAXATION_STEPS = 25
MOST_FORCE_eV_PER_A = 100.0
GAP = GapSettings.model_validate(
    {
        "two_body": {"cutoff_A": 5.0, "sparse_points": 12},
        "soap": {"cutoff_A": 4.5, "n_max": 5, "l_max": 3, "sparse_points": 100},
    }
)
"""As in the demonstration."""


class Reference:
    """GFN1-xTB whose answers are kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calculator: Calculator = make_calculator(default_settings())
        folder.mkdir(parents=True, exist_ok=True)

    def label(self, atoms: Atoms) -> LabelledConfiguration:
        name = structure_hash(atoms)
        file = self.folder / f"{name}.npz"
        if not file.exists():
            one = atoms.copy()
            one.calc = self.calculator
            np.savez(file, energy=one.get_potential_energy(), forces=one.get_forces(), stress=one.get_stress())
        with np.load(file) as kept:
            return LabelledConfiguration(atoms.copy(), float(kept["energy"]), kept["forces"], kept["stress"], name)

    def isolated(self, symbols: set[str]) -> tuple[object, ...]:
        found = {}
        for symbol in sorted(symbols):
            file = self.folder / f"{symbol}.npz"
            if not file.exists():
                outcome = isolated_atom_energy(symbol, default_settings(), self.folder / f"scratch-{symbol}")
                np.savez(file, energy=outcome.evaluation.energy)
            found[symbol] = float(np.load(file)["energy"])
        return tuple(isolated_atom(symbol, energy) for symbol, energy in found.items())


def dynamics(
    atoms: Atoms, calculator: Calculator, steps: int, every: int, seed: int, guard: ContactGuard | None = None
) -> list[Atoms]:
    """Return frames of a trajectory at constant temperature; it ends where atoms come closer than a guard allows."""
    random = np.random.default_rng(seed)
    moving = atoms.copy()
    moving.calc = calculator
    MaxwellBoltzmannDistribution(moving, temperature_K=TEMPERATURE_K, rng=random)
    langevin = Langevin(moving, 2.0 * units.fs, temperature_K=TEMPERATURE_K, friction=0.01 / units.fs, rng=random)
    frames: list[Atoms] = []
    for _ in range(steps // every):
        langevin.run(every)
        if guard is not None and (
            not np.isfinite(moving.positions).all()
            or guard.violation(moving) is not None
            or np.abs(moving.get_forces()).max() > MOST_FORCE_eV_PER_A
        ):
            break
        frame = moving.copy()
        frame.calc = None
        frames.append(Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True))
    return frames


def relaxed(atoms: Atoms, calculator: Calculator) -> Atoms:
    found = atoms.copy()
    found.calc = calculator
    FIRE(found, logfile=None, maxstep=0.1).run(fmax=0.05, steps=RELAXATION_STEPS)
    return Atoms(found.numbers, positions=found.positions, cell=found.cell, pbc=True)


def path_to(crystal: Atoms, pair: Atoms, calculator: Calculator) -> list[Atoms]:
    end = continuous_end(crystal, relaxed(pair, calculator))
    found = []
    for positions in interpolated_path(crystal, end, IMAGES):
        image = crystal.copy()
        image.positions = positions
        found.append(image)
    return found


def run(
    reference: Reference,
    path: list[Atoms],
    barrier_eV: float,
    top: int,
    initial: list[Atoms],
    pair: Atoms,
    seed: int,
    budget: tuple[int, int],
    proposes: bool,
) -> list[tuple[int, float, float]]:
    """Return labels, error and half-width of the barrier (eV), generation by generation."""
    crystal = path[0]
    random = np.random.default_rng(seed)
    labels = [reference.label(initial[place]) for place in sorted(random.permutation(len(initial))[:FIRST])]
    isolated = reference.isolated(set(crystal.get_chemical_symbols()))
    settings = SELECTIONS.get("farthest-point").settings_type()
    found = []
    asked = len(labels)
    generations, count = budget
    for generation in range(generations + 1):
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            fit_model("gap", DataSet(tuple(labels), isolated_atoms=isolated), GAP, None, model, seed=seed)
            calculator = load_model(model)
            try:
                posterior = load_posterior(model)
            except NoPosterior:
                posterior = None
            energies = [calculator.get_property("energy", image) for image in (path[0], path[top])]
            std = np.inf if posterior is None else posterior.difference_std_eV(path[0], path[top])
            width = np.inf if posterior is None else posterior.half_width(std)
            found.append((asked, energies[1] - energies[0] - barrier_eV, float(width)))
            if generation == generations:
                break
            # As in a campaign: no contact much closer than those that the model was shown.
            guard = ExploringGuard().bounded(shortest_distances_A([label.atoms for label in labels])).contacts
            frames = dynamics(crystal, calculator, MODEL_STEPS, MODEL_EVERY, 1000 * seed + generation, guard)
            chosen: list[Atoms] = []
            if proposes and posterior is not None:
                own = path_to(crystal, pair, calculator)
                heights = [calculator.get_property("energy", image) for image in own]
                first, highest = posterior.energy_vectors([own[0], own[int(np.argmax(heights[1:])) + 1]])
                spread = frames[:: max(1, len(frames) // FRAMES)]
                known = {label.identifier for label in labels}
                new = (one for one in (*own, *spread) if structure_hash(one) not in known)
                candidates = [one for one in new if guard.violation(one) is None]
                choices = choose_informative(posterior, (highest - first)[None, :], candidates, count // 2)
                chosen = [candidates[choice.candidate] for choice in choices]
            left = settings.model_copy(update={"count": count - len(chosen)})
            existing = [*(label.atoms for label in labels), *chosen]
            chosen += [frames[place] for place in select(frames, existing, left, seed).indices]
        answers = [reference.label(atoms) for atoms in chosen]
        asked += len(answers)
        # As in a campaign: such a label is computed, and rejected.
        labels += [one for one in answers if np.abs(one.forces).max() <= default_settings().maximum_force_eV_per_A]
    return found


def labels_needed(history: list[tuple[int, float, float]]) -> int | None:
    """Return the labels after which the barrier is known and stays so, None if it never is."""
    needed = None
    for labels, error, width in reversed(history):
        if abs(error) > TOLERANCE_eV or width > TOLERANCE_eV:
            break
        needed = labels
    return needed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--labels", type=int, default=6, help="per generation")
    given = parser.parse_args()
    reference = Reference(given.folder)
    crystal = build_crystal("li7p3s11")
    start = given.folder / "start.npz"
    (pair,) = sample_frenkel_pairs(crystal, "Li", 1, seed=3, minimum_separation_A=3.0)
    defect = with_defect(crystal, pair)
    if not start.exists():
        initial = dynamics(crystal, reference.calculator, REFERENCE_STEPS, REFERENCE_EVERY, 0)
        path = path_to(crystal, defect, reference.calculator)
        np.savez(start, initial=[one.positions for one in initial], path=[one.positions for one in path])
    with np.load(start) as kept:
        initial, path = (
            [Atoms(crystal.numbers, positions=one, cell=crystal.cell, pbc=True) for one in kept[name]]
            for name in ("initial", "path")
        )
    energies = [reference.label(image).energy for image in path]
    top = int(np.argmax(energies[1:])) + 1
    barrier_eV = energies[top] - energies[0]
    print(f"barrier of the reference: {barrier_eV:.3f} eV at image {top + 1} of {IMAGES}", flush=True)
    for seed in range(1, given.seeds + 1):
        for proposes in (False, True):
            budget = (given.generations, given.labels)
            history = run(reference, path, barrier_eV, top, initial, defect, seed, budget, proposes)
            told = ", ".join(f"{labels}: {error:+.3f} ± {width:.3f}" for labels, error, width in history)
            needed = labels_needed(history)
            name = "with proposals" if proposes else "without"
            print(f"seed {seed}, {name:14s}: known with {needed or 'more'} labels ({told} eV)", flush=True)


if __name__ == "__main__":
    main()
