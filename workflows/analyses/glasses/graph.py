"""The graph of glasses: a job for each, side by side, and one for every potential that looks at all of them."""

from __future__ import annotations

from collections.abc import Iterable

from ase import Atoms

from ....analysis.glasses.settings import GlassSettings
from ....core.errors import InputError
from ....core.names import REFERENCE
from ....sampling.structures.packing import check_packing
from ....store.identifiers import derive_seed
from ...campaign.problems import Problem
from ...campaign.settings import Campaign
from ...graph.jobs import Job
from ..base import FRAME_BYTES_PER_ATOM, PRIORITY, AnalysisCost, AnalysisPlan, OfferedRun

_NAME = "glasses"
_STAGE = f"analysis/{_NAME}"


def glass_jobs(plan: AnalysisPlan, settings: GlassSettings) -> list[Job]:
    """Return the jobs of every potential."""
    return [job for kind in settings.models or plan.models for job in _jobs_of(plan, settings, kind)]


def _jobs_of(plan: AnalysisPlan, settings: GlassSettings, kind: str) -> list[Job]:
    from ....tasks.glasses.glass import GlassParameters, GlassTask
    from ....tasks.glasses.summary import GlassesParameters, GlassesTask

    glasses = [
        Job(
            key=f"{_STAGE}/{kind}/{one.text}",
            task=GlassTask,
            parameters=GlassParameters(
                **plan.place,
                potential=plan.potential(kind),
                settings=settings,
                size=one.size,
                quench_K_per_ps=one.quench_K_per_ps,
                number=one.number,
                seed=derive_seed(plan.campaign.seed, _NAME),
            ),
            parents=plan.parents(kind),
            priority=PRIORITY,
        )
        for one in settings.planned
    ]
    summary = Job(
        key=f"{_STAGE}/{kind}",
        task=GlassesTask,
        parameters=GlassesParameters(
            **plan.place,
            potential=plan.potential(kind),
            settings=settings,
            glasses=[job.parameters.identifier for job in glasses if isinstance(job.parameters, GlassParameters)],
        ),
        parents=tuple(job.key for job in glasses),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*glasses, summary]


def glass_runs(plan: AnalysisPlan, settings: GlassSettings) -> list[OfferedRun]:
    """Return what was held at the end of the best glasses: those of the slowest rate and the largest size."""

    from ....analysis.glasses.start import atoms_in
    from ....tasks.glasses.glass import GlassParameters

    rate = min(settings.quench_K_per_ps)
    size = max(settings.sizes, key=lambda one: atoms_in(plan.atoms, one))
    return [
        OfferedRun(
            trajectory=job.parameters.trajectory("glass"),
            job=job.key,
            model=job.parameters.potential.kind,
            temperature_K=settings.temperature_K,
            skipped_frames=settings.first_glass_frame,
        )
        for job in glass_jobs(plan, settings)
        if isinstance(job.parameters, GlassParameters)
        and (job.parameters.size, job.parameters.quench_K_per_ps) == (size, rate)
    ]


def glass_cost(campaign: Campaign, settings: GlassSettings, atoms: Atoms) -> AnalysisCost:
    """Return what all glasses ask for; evaluations are counted in those of the largest."""

    from ....analysis.glasses.start import atoms_in

    chosen = settings.models or tuple(campaign.models)
    sizes = [atoms_in(atoms, one.size) for one in settings.planned]
    largest = max(sizes)
    evaluations, disk_bytes = 0.0, 0.0
    for one, count in zip(settings.planned, sizes, strict=True):
        steps = settings.steps(one.quench_K_per_ps)
        strains = (steps - settings.melt.steps) // settings.barostat.every
        each = steps + strains + settings.start.relaxation_steps + settings.relaxation.steps
        evaluations += each * count / largest
        disk_bytes += steps / settings.write_every * count * FRAME_BYTES_PER_ATOM
    by_reference = sum(kind == REFERENCE for kind in chosen)
    by_models = len(chosen) - by_reference
    return AnalysisCost(
        reference_evaluations=round(by_reference * evaluations),
        reference_atoms=largest if by_reference else 0,
        model_evaluations=round(by_models * evaluations),
        model_atoms=largest if by_models else 0,
        disk_bytes=len(chosen) * disk_bytes,
    )


def glass_problems(campaign: Campaign, settings: GlassSettings, atoms: Atoms) -> Iterable[Problem]:
    """Yield what does not fit the campaign and its structure."""

    from ....analysis.glasses.start import glass_start, packing

    key = ("analyses", _NAME)
    missing = [kind for kind in settings.models if kind not in (*campaign.models, REFERENCE)]
    if missing:
        allowed = " | ".join((*campaign.models, REFERENCE))
        message = "names a model that the campaign does not fit"
        yield Problem((*key, "models"), message, value=missing, allowed=allowed, related=(("models",),))
    for size in settings.sizes:
        try:
            if settings.start.kind == "structure":
                glass_start(atoms, settings, size, 1)
            else:
                check_packing(packing(atoms, settings, size, 1))
        except (InputError, ValueError) as error:
            yield Problem((*key, "start"), f"does not go: {error}", value=str(size), related=(("structure",),))
