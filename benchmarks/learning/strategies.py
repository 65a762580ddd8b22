"""Generations, learning on the fly and random frames on one material: errors for the same number of labels.

42-atom Li7P3S11 at 800 K, labels by GFN1-xTB. Every strategy begins with the same labels of displaced crystals and ends
with a full fit to all of its labels, with the same sparse points. Errors are those of final models on frames that no
strategy has met: of trajectories of a model that was fitted to the labels of all of them. Curves: models of the
first labels of each, and the time that walkers had simulated by then.

    OMP_NUM_THREADS=1 python benchmarks/learning/strategies.py FOLDER [--labels 40] [--seeds 3] [--length-ps 2]

Labels are kept in FOLDER: what is stopped goes on where it was. 40 labels and three seeds take some 20 minutes on one
core, 16 labels and two seeds some 5.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ionloop.core.structures import structure_hash
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.native.calculator import NativeGapCalculator
from ionloop.fitting.native.sparse_fit.fit import NativeFit, run_fit
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs, FitResources
from ionloop.fitting.online.in_place import InPlaceModel
from ionloop.fitting.settings import GapSettings, SoapSettings
from ionloop.labelling.engines.gfn1_xtb import Gfn1XtbEngine, Gfn1XtbSettings
from ionloop.sampling.on_the_fly.errors import alarm_quality
from ionloop.sampling.on_the_fly.learn import learn
from ionloop.sampling.on_the_fly.leg import LegRequest, WalkerState, run_leg
from ionloop.sampling.on_the_fly.settings import OnTheFlySettings
from ionloop.sampling.selections.farthest_point import FarthestPointSelection
from ionloop.sampling.selections.selecting import select
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.sampling.trajectory import read_frames

TEMPERATURE_K = 800.0
WALKERS = 2
GENERATIONS = 3
MOST_GENERATIONS = 12
TIMESTEP_FS = 2.0
START_DISPLACEMENT_A = 0.1
TEST_FRAMES = 8
NO_ALARM = 1e9
TOLERANCE_EV_PER_A = 0.1


class Labels:
    """GFN1-xTB, each structure once; seconds that labels took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.isolated_eV: dict[str, float] = {}

    def __call__(self, atoms: Atoms, identifier: str) -> LabelledConfiguration:
        """Label a structure under a name."""
        bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        path = self.folder / f"{structure_hash(bare)[:24]}.npz"
        if not path.exists():
            with tempfile.TemporaryDirectory() as scratch:
                found = Gfn1XtbEngine().evaluate(bare, Gfn1XtbSettings(), Path(scratch))
            np.savez(path, energy=found.energy, forces=found.forces, stress=found.stress)
        with np.load(path) as kept:
            return LabelledConfiguration(bare, float(kept["energy"]), kept["forces"], kept["stress"], identifier)


@dataclass
class Ended:
    """A strategy's end."""

    labels: list[LabelledConfiguration]
    times_ps: list[float]
    """Simulated time of all walkers at which each label was asked for."""
    simulated_ps: float
    note: str


def gap_settings(points: int) -> GapSettings:
    """Return hyperparameters with so many sparse points per element."""
    return GapSettings(two_body=None, soap=SoapSettings(cutoff_A=5.0, n_max=6, l_max=4, sparse_points=points))


def full_fit(labels: Sequence[LabelledConfiguration], isolated_eV: dict[str, float], points: int) -> NativeFit:
    """Fit to all labels."""
    inputs = FitInputs(DataSet(tuple(labels), isolated_eV), gap_settings(points), seed=1, leave_out=False)
    return run_fit(inputs, FitResources(1, 4000.0))


def walked(
    fit: NativeFit, length_ps: float, seed: int, folder: Path, starts: Sequence[Atoms]
) -> tuple[list[Atoms], float]:
    """Return frames of walkers that a frozen model drives, and the time walked (ps)."""
    calculator = LearningFree(fit)
    settings = walking(length_ps, length_ps)
    frames: list[Atoms] = []
    steps = 0
    for walker in range(WALKERS):
        path = folder / f"{walker}.traj"
        outcome = run_leg(
            LegRequest(
                atoms=build_crystal("li7p3s11"),
                settings=settings,
                walker=walker,
                seed=1000 * seed + walker,
                calculator=lambda: calculator,
                thresholds=dict.fromkeys(("Li", "P", "S"), NO_ALARM),
                path=path,
                starts=starts,
            )
        )
        frames += read_frames(path)[1:]
        steps += outcome.steps
    return frames, steps * TIMESTEP_FS / 1000.0


class LearningFree(NativeGapCalculator):
    """A frozen model to which nothing is new."""

    implemented_properties = [*NativeGapCalculator.implemented_properties, "novelty"]  # noqa: RUF012

    def __init__(self, fit: NativeFit) -> None:
        super().__init__(fit.model)

    def calculate(self, *arguments: object, **options: object) -> None:
        """Evaluate."""
        super().calculate(*arguments, **options)  # type: ignore[arg-type]
        self.results["novelty"] = np.zeros(len(self.atoms))


def walking(leg_ps: float, length_ps: float) -> OnTheFlySettings:
    """Return the settings of all walkers."""
    return OnTheFlySettings(
        walkers=WALKERS,
        temperatures_K=TEMPERATURE_K,
        leg_ps=leg_ps,
        length_ps=length_ps,
        timestep_fs=TIMESTEP_FS,
        write_every=5,
        check_every_fs=10.0,
        audit_every_ps=0.4,
        force_tolerance_eV_per_A=TOLERANCE_EV_PER_A,
        batch=2,
    )


def by_generations(
    choose: Callable[[list[Atoms], list[Atoms], int, int], list[int]],
) -> Callable[[list[LabelledConfiguration], Labels, argparse.Namespace, int, Path], Ended]:
    """Return the strategy of full fits, trajectories of frozen models, and labels of frames that are chosen."""

    def run(
        start: list[LabelledConfiguration], reference: Labels, options: argparse.Namespace, seed: int, folder: Path
    ) -> Ended:
        labels, simulated_ps, stops = list(start), 0.0, 0
        times_ps = [0.0] * len(start)
        each = -(-(options.labels - len(start)) // GENERATIONS)
        for generation in range(MOST_GENERATIONS):
            if len(labels) >= options.labels:
                break
            fit = full_fit(labels, reference.isolated_eV, options.points)
            place = folder / str(generation)
            known = [one.atoms for one in labels]
            # As campaigns do: the crystal first, then configurations of the training set, with new velocities.
            frames, passed_ps = walked(fit, options.length_ps / GENERATIONS, 100 * seed + generation, place, known)
            simulated_ps += passed_ps
            stops += passed_ps < WALKERS * options.length_ps / GENERATIONS - TIMESTEP_FS / 1000.0
            count = min(each, options.labels - len(labels))
            for index in choose(frames, known, count, seed + generation):
                labels.append(reference(frames[index], f"g{generation}-{index}"))
                times_ps.append(simulated_ps)
        return Ended(
            labels, times_ps, simulated_ps, f"{generation} generations, {stops} with a walker that a guard stopped"
        )

    return run


def farthest(frames: list[Atoms], known: list[Atoms], count: int, seed: int) -> list[int]:
    """Choose by farthest-point sampling."""
    return list(select(frames, known, FarthestPointSelection(count=count), seed).indices)


def at_random(frames: list[Atoms], known: list[Atoms], count: int, seed: int) -> list[int]:
    """Choose at random."""
    return np.random.default_rng(seed).permutation(len(frames))[:count].tolist()


def on_the_fly(
    start: list[LabelledConfiguration], reference: Labels, options: argparse.Namespace, seed: int, folder: Path
) -> Ended:
    """Learn, with a full fit whenever labels have doubled."""
    labels, states, leg, errors, steps, audits = list(start), [], 0, [], 0, ""
    times_ps = [0.0] * len(start)
    while len(labels) < options.labels:
        fit = full_fit(labels, reference.isolated_eV, options.points)
        data = DataSet(tuple(labels), reference.isolated_eV)
        model = InPlaceModel.start(data, gap_settings(options.points), fit.sparse_points)
        found = learn(
            model,
            build_crystal("li7p3s11"),
            reference,
            walking(options.length_ps / 20, options.length_ps),
            folder,
            seed=seed,
            states=states,
            first_leg=leg,
            most_labels=options.labels - len(labels),
        )
        labels += [
            LabelledConfiguration(one.atoms, one.energy, one.forces, one.stress, f"leg-{leg}-{one.identifier}")
            for one in found.labels
        ]
        errors += found.errors
        passed = steps + np.cumsum(found.steps)
        times_ps += [float(passed[number]) * TIMESTEP_FS / 1000.0 for number in found.rounds]
        steps += sum(found.steps)
        leg += len(found.steps)
        states = [WalkerState(one.atoms, one.step, one.energy_eV) for one in found.states]
        forces = found.audited.forces
        audits = f"last audits {forces.rmse:.2f} ({forces.low:.2f} to {forces.high:.2f}, {forces.frames})"
        if not found.labels:
            break
    quality = alarm_quality(errors, TOLERANCE_EV_PER_A)
    note = f"{audits}; alarms {quality.alarms}, of them bad {quality.bad_alarms}; audits {quality.audits}"
    return Ended(
        labels, times_ps, steps * TIMESTEP_FS / 1000.0, f"{note}, bad {quality.bad_audits}, found {quality.found}"
    )


STRATEGIES = {"generations": by_generations(farthest), "random": by_generations(at_random), "on-the-fly": on_the_fly}


def started(reference: Labels, count: int, seed: int) -> list[LabelledConfiguration]:
    """Return labels of displaced crystals."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        atoms = build_crystal("li7p3s11")
        atoms.positions += random.normal(0.0, START_DISPLACEMENT_A, atoms.positions.shape)
        found.append(reference(atoms, f"start-{number}"))
    return found


def force_rmse(fit: NativeFit, test: Sequence[LabelledConfiguration]) -> float:
    """Return the error of forces (eV/Å)."""
    calculator = NativeGapCalculator(fit.model)
    squares = [(calculator.get_property("forces", one.atoms) - one.forces) ** 2 for one in test]
    return float(np.sqrt(np.mean(np.concatenate(squares))))


def main() -> None:
    """Run all strategies with all seeds, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--start", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--length-ps", type=float, default=2.0, help="of each walker, of all generations")
    parser.add_argument("--points", type=int, default=150, help="of each element, while exploring")
    parser.add_argument("--every", type=int, default=8, help="labels between two points of a curve")
    parser.add_argument("--final-points", type=int, default=300)
    options = parser.parse_args()
    reference = Labels(options.folder / "labels")
    ended: dict[tuple[str, int], Ended] = {}
    for seed in range(1, options.seeds + 1):
        start = started(reference, options.start, seed)
        if not reference.isolated_eV:
            # Energies count from the mean of the first labels, one number for all strategies.
            mean_eV = float(np.mean([one.energy / one.n_atoms for one in start]))
            reference.isolated_eV = dict.fromkeys(("Li", "P", "S"), mean_eV)
        for name, strategy in STRATEGIES.items():
            with tempfile.TemporaryDirectory() as scratch:
                one = strategy(start, reference, options, seed, Path(scratch))
            ended[name, seed] = one
            print(f"# {name} {seed}: {len(one.labels)} labels, {one.simulated_ps:.2f} ps, {one.note}", flush=True)
    everything = [
        LabelledConfiguration(one.atoms, one.energy, one.forces, one.stress, f"all-{number}")
        for number, one in enumerate(
            {structure_hash(one.atoms): one for one in itertools.chain(*(e.labels for e in ended.values()))}.values()
        )
    ]
    driver = full_fit(everything, reference.isolated_eV, options.final_points)
    with tempfile.TemporaryDirectory() as scratch:
        frames, _ = walked(driver, 1.0, 77, Path(scratch), [])
    chosen = np.linspace(len(frames) // 10, len(frames) - 1, TEST_FRAMES).astype(int).tolist()
    test = [reference(frames[index], f"test-{index}") for index in chosen]
    print(f"model of all {len(everything)} labels: {force_rmse(driver, test):.3f} eV/Å")
    print(f"{'strategy':14s} {'seed':>4s} {'labels':>6s} {'ps':>6s} {'rmse eV/Å':>10s}  note")
    for (name, seed), one in ended.items():
        for count in range(options.every, len(one.labels) + options.every, options.every):
            first = one.labels[:count]
            rmse = force_rmse(full_fit(first, reference.isolated_eV, options.final_points), test)
            is_last = len(first) == len(one.labels)
            passed_ps = one.simulated_ps if is_last else one.times_ps[count - 1]
            note = one.note if is_last else ""
            print(f"{name:14s} {seed:4d} {len(first):6d} {passed_ps:6.2f} {rmse:10.3f}  {note}", flush=True)


if __name__ == "__main__":
    main()
