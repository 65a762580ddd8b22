"""The test whether experts are enough for a material, on its relaxed cell and on short dynamics with their model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ase import Atoms
from ase.calculators.calculator import Calculator

from ..fitting.experts.expert import Expert
from ..fitting.experts.sufficiency import (
    Outcome,
    Slopes,
    Verdict,
    frames_to_label,
    judge,
    kernel_of,
    mean_novelty,
)
from .molecular_dynamics import run_langevin
from .molecular_dynamics_settings import MolecularDynamicsSettings, steps_for
from .relaxation import RelaxationError, relax_and_rattle
from .relaxation_settings import RelaxationSettings
from .trajectory import read_frames

AS_GIVEN: Final = "as given"
RELAXED: Final = "relaxed cell"
DYNAMICS: Final = "dynamics"
_RELAXATION = RelaxationSettings(steps=200, rattle_A=0.0, force_tolerance_eV_per_A=0.05, maximum_displacement_A=2.0)


@dataclass(frozen=True)
class ShortDynamics:
    """What the second stage runs.

    Attributes
    ----------
    temperature_K
        Of the thermostat.
    length_ps, frames
        How long, and how many frames are looked at.
    seed
        Of the velocities.
    """

    temperature_K: float = 300.0
    length_ps: float = 2.0
    frames: int = 20
    seed: int = 1


@dataclass(frozen=True)
class Sufficiency:
    """What a test found.

    Attributes
    ----------
    verdict
        What is to be done, and every element in every stage.
    to_label
        Structures whose labels would make the material known, the first first; none where that is not asked.
    remarks
        What did not go as planned, for people.
    """

    verdict: Verdict
    to_label: tuple[Atoms, ...]
    remarks: tuple[str, ...]


def assess(
    atoms: Atoms,
    experts: Sequence[Expert],
    slopes: Slopes,
    tolerance_eV_per_A: float,
    calculator: Callable[[], Calculator],
    dynamics: ShortDynamics | None,
) -> Sufficiency:
    """Return what experts know of a material.

    Parameters
    ----------
    atoms
        Its cell.
    experts
        Those that are combined.
    slopes
        Errors over novelty.
    tolerance_eV_per_A
        Force error that is good enough.
    calculator
        Makes the combined model's; not called for elements that no expert knows.
    dynamics
        The second stage; None: the relaxed cell alone.
    """
    kernel = kernel_of(experts, atoms.get_chemical_symbols())
    known = sorted({symbol for expert in experts for symbol in expert.elements})
    if set(atoms.get_chemical_symbols()) - set(known):
        verdict = judge({AS_GIVEN: mean_novelty(kernel, [atoms])}, slopes, tolerance_eV_per_A, known)
        return Sufficiency(verdict, (), ("no model can move atoms that it does not know: only the cell as given",))
    remarks: list[str] = []
    stages: dict[str, list[Atoms]] = {}
    stages[RELAXED] = [_relaxed(atoms, calculator(), remarks)]
    if dynamics is not None:
        stages[DYNAMICS] = heated(stages[RELAXED][0], calculator(), dynamics, remarks)
    found = {stage: mean_novelty(kernel, frames) for stage, frames in stages.items() if frames}
    verdict = judge(found, slopes, tolerance_eV_per_A, known)
    frames = [frame for one in stages.values() for frame in one]
    chosen = frames_to_label(kernel, frames, slopes, tolerance_eV_per_A) if verdict.outcome is not Outcome.USE else ()
    return Sufficiency(verdict, tuple(frames[index] for index in chosen), tuple(remarks))


def _relaxed(atoms: Atoms, calculator: Calculator, remarks: list[str]) -> Atoms:
    try:
        return relax_and_rattle(atoms, calculator, settings=_RELAXATION, seed=0)
    except RelaxationError as error:
        remarks.append(f"{error}; the cell is looked at as given")
        return atoms.copy()


def heated(atoms: Atoms, calculator: Calculator, dynamics: ShortDynamics, remarks: list[str]) -> list[Atoms]:
    """Return frames of short dynamics at constant volume, those before its end where it was stopped."""
    every = max(1, round(dynamics.length_ps * 1000.0 / dynamics.frames))
    settings = MolecularDynamicsSettings(
        temperature_K=dynamics.temperature_K, steps=steps_for(dynamics.length_ps, 1.0, every), write_every=every
    )
    start = atoms.copy()
    start.set_constraint()
    with TemporaryDirectory() as folder:
        outcome = run_langevin(start, calculator, settings, Path(folder) / "frames.traj", seed=dynamics.seed)
        frames = list(read_frames(outcome.trajectory))[1:]
    if outcome.reason:
        remarks.append(
            f"the dynamics with this model stopped after {outcome.steps / 1000:.2f} ps ({outcome.reason}): what it "
            "left is looked at"
        )
    return frames
