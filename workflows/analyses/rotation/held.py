"""The graph of trajectories with held polyanions, what they cost, and what in their settings does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ....analysis.rotation.settings import RotationSettings
from ....core.errors import InputError
from ....core.names import REFERENCE
from ...campaign.problems import Problem
from ...campaign.settings import Campaign
from ...graph.jobs import Job
from ..base import FRAME_BYTES_PER_ATOM, PRIORITY, AnalysisCost, AnalysisPlan, OfferedRun
from ..of_trajectories import grouped, source_of

if TYPE_CHECKING:
    from ....tasks.conductivity import ConductivityRunParameters

_STAGE = "analysis/rotation"


def held_jobs(plan: AnalysisPlan, settings: RotationSettings, runs: Sequence[OfferedRun]) -> list[Job]:
    """Return a job for every trajectory that is run again, and one for every potential and temperature."""
    again = [run for run in runs if run.dynamics is not None]
    return [
        job
        for (model, temperature_K), chosen in grouped(again).items()
        for job in _jobs_of(plan, settings, f"{_STAGE}/{model}/{temperature_K:g}K/held", chosen)
    ]


def _jobs_of(plan: AnalysisPlan, settings: RotationSettings, key: str, runs: Sequence[OfferedRun]) -> list[Job]:
    from ....tasks.rotation.held import HeldParameters, HeldRunParameters, HeldRunTask, HeldTask

    told = {
        f"{key}/{run.dynamics.replica}": HeldRunParameters(
            **dict(run.dynamics), anion=settings.anion, held=settings.held
        )
        for run in runs
        if run.dynamics is not None
    }
    jobs = [
        Job(
            key=name,
            task=HeldRunTask,
            parameters=parameters,
            parents=plan.parents(parameters.potential.kind),
            priority=PRIORITY,
        )
        for name, parameters in told.items()
    ]
    held = tuple(parameters.trajectory for parameters in told.values())
    first = next(iter(told.values()))
    compare = Job(
        key=key,
        task=HeldTask,
        parameters=HeldParameters(
            **plan.place,
            potential=first.potential,
            temperature_K=first.dynamics.temperature_K,
            trajectories=(*(run.trajectory for run in runs), *held),
            held_trajectories=held,
            skipped_frames=runs[0].skipped_frames,
            mobile=plan.campaign.mobile,
            settings=settings,
        ),
        parents=(*(run.job for run in runs), *told),
        priority=PRIORITY,
        # Trajectories that failed are left out and counted.
        runs_after_failures=True,
    )
    return [*jobs, compare]


def held_cost(campaign: Campaign, settings: RotationSettings, atoms: Atoms) -> AnalysisCost:
    """Return what the trajectories with held polyanions ask for."""
    runs = _described(campaign, settings, atoms)
    counts = {True: 0, False: 0}
    largest = {True: 0, False: 0}
    disk_bytes = 0.0
    for run in runs:
        in_cell, steps = len(atoms) * int(np.prod(run.supercell)), run.dynamics.steps
        by_reference = run.potential.kind == REFERENCE
        counts[by_reference] += steps
        largest[by_reference] = max(largest[by_reference], in_cell)
        disk_bytes += steps // run.dynamics.write_every * in_cell * FRAME_BYTES_PER_ATOM
    return AnalysisCost(
        reference_evaluations=counts[True],
        reference_atoms=largest[True],
        model_evaluations=counts[False],
        model_atoms=largest[False],
        disk_bytes=disk_bytes,
    )


def held_problems(campaign: Campaign, settings: RotationSettings, atoms: Atoms) -> Iterator[Problem]:
    """Yield trajectories that cannot be run again, and structures without a whole polyanion."""
    from ....analysis.rotation.walls import polyanions_in

    key, source = ("analyses", "rotation", "held"), source_of(campaign, settings)
    if source is None or not source.runs_again:
        message = "runs trajectories of analyses.conductivity again: add it, and let analyses.rotation.of name it"
        yield Problem(key, message, related=(("analyses",),))
        return
    for run in _described(campaign, settings, atoms)[:1]:
        try:
            polyanions_in(atoms.repeat(run.supercell), settings.anion)
        except InputError as error:
            yield Problem(key, f"cannot be: {error}", related=(("analyses", "rotation", "anion"), ("structure",)))


def _described(campaign: Campaign, settings: RotationSettings, atoms: Atoms) -> list[ConductivityRunParameters]:
    """Return what would be run again, of models that are not there yet."""
    from ...graph.plan import Plan, planned_systems

    source = source_of(campaign, settings)
    if source is None or not source.runs_again:
        return []
    # What is run again is the same for every system: any of them with these atoms stands for the one that is meant.
    systems = planned_systems(campaign, dict.fromkeys(campaign.all_systems, atoms))
    plan = AnalysisPlan(Plan(campaign, systems), 0, {str(name): "" for name in campaign.models}, {})
    runs = [run for run in source.runs(plan) if not settings.models or run.model in settings.models]
    return [run.dynamics for run in runs if run.dynamics is not None]
