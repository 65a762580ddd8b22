"""The graph of a screening: a chain of runs for every potential, each of which looks at those before it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms

from ....analysis.screening.settings import ScreeningSettings
from ....core.errors import InputError
from ....core.names import REFERENCE
from ....fitting.electrostatics.species import FORMAL_CHARGES
from ....store.identifiers import derive_seed
from ...campaign.problems import Problem
from ...campaign.settings import Campaign
from ...graph.jobs import Job
from ..base import FRAME_BYTES_PER_ATOM, PRIORITY, AnalysisCost, AnalysisPlan

_NAME = "screening"
_STAGE = f"analysis/{_NAME}"


def screening_jobs(plan: AnalysisPlan, settings: ScreeningSettings) -> list[Job]:
    """Return the jobs of every potential: its relaxed cell, as many runs as there may be, and the summary.

    The graph is the same whatever happens: runs that are not needed end at once.
    """
    return [job for kind in settings.models or plan.models for job in _jobs_of(plan, settings, kind)]


def _jobs_of(plan: AnalysisPlan, settings: ScreeningSettings, kind: str) -> list[Job]:
    from ....tasks.screening.cell import ScreeningCellParameters, ScreeningCellTask
    from ....tasks.screening.run import ScreeningRunParameters, ScreeningRunTask
    from ....tasks.screening.summary import ScreeningSummaryParameters, ScreeningTask

    same = {
        **plan.place,
        "potential": plan.potential(kind),
        "mobile": plan.campaign.mobile,
        "settings": settings,
        "seed": derive_seed(plan.campaign.seed, _NAME),
    }
    cell = ScreeningCellParameters(**same)
    jobs = [
        Job(
            key=f"{_STAGE}/{kind}/cell",
            task=ScreeningCellTask,
            parameters=cell,
            parents=plan.parents(kind),
            priority=PRIORITY,
        )
    ]
    for run in range(1, settings.most_runs + 1):
        jobs.append(
            Job(
                key=f"{_STAGE}/{kind}/run-{run}",
                task=ScreeningRunTask,
                parameters=ScreeningRunParameters(**same, cell=cell.identifier, run=run),
                parents=(jobs[-1].key,),
                # Of many crystals each is run once before any of them is run colder.
                priority=PRIORITY - (run - 1),
            )
        )
    summary = Job(
        key=f"{_STAGE}/{kind}",
        task=ScreeningTask,
        parameters=ScreeningSummaryParameters(**same, cell=cell.identifier),
        parents=tuple(job.key for job in jobs[1:]),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, summary]


def screening_cost(campaign: Campaign, settings: ScreeningSettings, atoms: Atoms) -> AnalysisCost:
    """Return what a screening asks for where every temperature is run to its end."""
    chosen = settings.models or tuple(campaign.models)
    steps = settings.temperatures * settings.looks[-1]
    each = settings.relaxation_steps + steps + steps // settings.barostat.every
    in_cell = len(atoms) * _times(atoms, campaign.mobile, settings)
    by_reference = sum(kind == REFERENCE for kind in chosen)
    by_models = len(chosen) - by_reference
    return AnalysisCost(
        reference_evaluations=by_reference * each,
        reference_atoms=in_cell if by_reference else 0,
        model_evaluations=by_models * each,
        model_atoms=in_cell if by_models else 0,
        disk_bytes=float(len(chosen) * (steps // settings.write_every) * in_cell * FRAME_BYTES_PER_ATOM),
    )


def _times(atoms: Atoms, mobile: str, settings: ScreeningSettings) -> int:
    from ....analysis.screening.cells import repetitions

    try:
        return int(np.prod(repetitions(atoms, mobile, settings.smallest_cell_A, settings.mobile_ions)))
    except InputError:
        return 1  # which is told where the settings are checked


def screening_problems(campaign: Campaign, settings: ScreeningSettings, atoms: Atoms) -> Iterable[Problem]:
    """Yield what does not fit the campaign and its structure."""

    from ....analysis.screening.cells import repetitions
    from ....analysis.screening.polyanions import find_host

    key = ("analyses", _NAME)
    missing = [kind for kind in settings.models if kind not in (*campaign.models, REFERENCE)]
    if missing:
        allowed = " | ".join((*campaign.models, REFERENCE))
        message = "names a model that the campaign does not fit"
        yield Problem((*key, "models"), message, value=missing, allowed=allowed, related=(("models",),))
    if settings.charge_e == 0 or (settings.charge_e is None and campaign.mobile not in FORMAL_CHARGES):
        message = f"must be given, and not be 0, for {campaign.mobile}"
        yield Problem((*key, "charge_e"), message, value=settings.charge_e, related=(("mobile",),))
    try:
        times = repetitions(atoms, campaign.mobile, settings.smallest_cell_A, settings.mobile_ions)
        find_host(atoms.repeat(times), campaign.mobile, settings.host.bond_factor)
    except InputError as error:
        yield Problem(key, f"cannot be made: {error}", value=_NAME, related=(("mobile",), ("structure",)))
