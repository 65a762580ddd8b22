"""A whole locality test in one call, for notebooks and the command line; campaigns do it centre by centre."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ...core.arrays import FloatArray
from .curves import (
    Displacements,
    LocalityResult,
    LocalitySettings,
    choose_centres,
    forces_of,
    induced_response,
    locality_cell,
    locality_curves,
)
from .frozen_sphere import Sphere, deviations, run_frozen_sphere

Responses = list[tuple[str, FloatArray]]


def measure_locality(
    atoms: Atoms,
    calculator: Calculator,
    settings: LocalitySettings,
    *,
    seed: int = 0,
    baseline: Calculator | None = None,
    name: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LocalityResult:
    """Return the locality of a potential in a crystal, before and after the forces of a baseline are taken away.

    Parameters
    ----------
    atoms
        The crystal; it is repeated as ``settings.supercell`` says, or as often as the largest radius needs.
    baseline
        Any calculator, normally a `SlaterEwald`; the forces are compared on the same structures.
    name
        What the result calls the potential; ``settings.potential`` if not given.
    progress
        Called with the numbers of centres done and in all.

    Raises
    ------
    InputError
        If the cell is not periodic, or the supercell too small for the radii.
    """
    cell = locality_cell(atoms, settings.radii_A[-1], settings.supercell)
    centres = choose_centres(atoms, settings.centres, seed)
    potentials = [calculator, *([] if baseline is None else [baseline])]
    found: list[Responses] = [[] for _ in potentials]
    for done, centre in enumerate(centres, start=1):
        if settings.protocol == "displacement":
            draws = Displacements(settings.radii_A, settings.samples, settings.displacement_A, seed)
            answers = [induced_response(forces_of(one), cell, centre.index, draws) for one in potentials]
        else:
            answers = _frozen(cell, potentials, centre.index, settings, seed)
        for responses, answer in zip(found, answers, strict=True):
            responses.append((centre.symbol, answer))
        if progress is not None:
            progress(done, len(centres))
    counts = {symbol: int(np.sum(cell.symbols == symbol)) for symbol in sorted(set(cell.symbols))}

    def curves(responses: Responses) -> dict:
        return locality_curves(responses, counts, protocol=settings.protocol, seed=seed)

    rest = [
        (symbol, forces - of_baseline) for (symbol, forces), (_, of_baseline) in zip(found[0], found[-1], strict=True)
    ]
    return LocalityResult(
        protocol=settings.protocol,
        potential=name or settings.potential,
        radii_A=settings.radii_A,
        atoms=len(cell),
        before=curves(found[0]),
        after=None if baseline is None else curves(rest),
    )


def _frozen(
    cell: Atoms, potentials: list[Calculator], centre: int, settings: LocalitySettings, seed: int
) -> list[FloatArray]:
    """Return f - f̄ in the frames of the first potential's dynamics, for every potential, shape [n_radii, n, 3]."""
    runs = [
        run_frozen_sphere(cell, potentials[0], Sphere(centre, radius), settings.frozen_sphere, seed=seed)
        for radius in settings.radii_A
    ]
    answers = [deviations(np.stack([run.forces for run in runs]))]
    moved = Atoms(cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)
    for potential in potentials[1:]:
        forces = np.empty_like(answers[0])
        for index, run in enumerate(runs):
            for frame, positions in enumerate(run.positions):
                moved.positions[:] = positions
                forces[index, frame] = forces_of(potential)(moved)[centre]
        answers.append(deviations(forces))
    return answers
