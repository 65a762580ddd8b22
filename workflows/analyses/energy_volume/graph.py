"""The energy-volume curves of a campaign's final models and of its reference engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....analysis.energy_volume.settings import EnergyVolumeSettings
from ....core.names import REFERENCE
from ....tasks.values.energy_volume import VOLUME_CURVES
from ...graph.jobs import Job
from ..base import PRIORITY, AnalysisCost, AnalysisPlan

if TYPE_CHECKING:
    from ....tasks.energy_volume import EnergyVolumePointParameters


EVALUATIONS_PER_RELAXATION = 100
"""Evaluations that relaxing the ions of one cell takes, estimated."""
_STAGE = f"analysis/{VOLUME_CURVES.name}"


def energy_volume_jobs(plan: AnalysisPlan, settings: EnergyVolumeSettings) -> list[Job]:
    """Return one job per potential and cell, and one per potential that fits its equation of state.

    Where ions relax, the crystal is relaxed first and its strained copies start from there: started from the same
    unrelaxed ions they fall into different basins, and their energies lie on no curve.
    """
    jobs: list[Job] = []
    for kind in plan.models:
        jobs += _own_curve(plan, settings, kind)
    if settings.reference == "single-points" and settings.relax_ions:
        jobs += _borrowed_curve(plan, settings)
    elif settings.reference != "none":
        jobs += _own_curve(plan, settings, REFERENCE)
    return jobs


def _points(plan: AnalysisPlan, settings: EnergyVolumeSettings, kind: str) -> list[EnergyVolumePointParameters]:
    """Return the cells of a potential that relaxes its own ions (or leaves them), the crystal itself first."""

    from ....tasks.energy_volume import EnergyVolumePointParameters

    own = {**plan.place, "potential": plan.potential(kind)}
    relaxation = settings.relaxation if settings.relax_ions else None
    origin = EnergyVolumePointParameters(**own, strain=0.0, relaxation=relaxation)
    scaled_from = origin.identifier if settings.relax_ions else None
    return [origin] + [
        EnergyVolumePointParameters(**own, strain=strain, relaxation=relaxation, scaled_from=scaled_from)
        for strain in settings.strains
    ]


def _own_curve(plan: AnalysisPlan, settings: EnergyVolumeSettings, kind: str) -> list[Job]:
    from ....tasks.energy_volume import EnergyVolumePointTask

    origin, *points = _points(plan, settings, kind)
    if not settings.relax_ions:
        return _curve_jobs(plan, kind, points, [plan.parents(kind)] * len(points), None)
    first = Job(
        key=f"{_STAGE}/{kind}/origin",
        task=EnergyVolumePointTask,
        parameters=origin,
        parents=plan.parents(kind),
        priority=PRIORITY,
    )
    return [first, *_curve_jobs(plan, kind, points, [(first.key,)] * len(points), kind)]


def _borrowed_curve(plan: AnalysisPlan, settings: EnergyVolumeSettings) -> list[Job]:
    """Return the reference's single points on the cells that the driver relaxed."""

    from ....tasks.energy_volume import EnergyVolumePointParameters

    driver = plan.campaign.driver
    _, *of_driver = _points(plan, settings, driver)
    points = [
        EnergyVolumePointParameters(
            **plan.place,
            potential=plan.potential(REFERENCE),
            strain=point.strain,
            relaxation=None,
            ions_of=point.identifier,
        )
        for point in of_driver
    ]
    parents: list[tuple[str, ...]] = [(f"{_STAGE}/{driver}/{index}",) for index in range(len(points))]
    return _curve_jobs(plan, REFERENCE, points, parents, driver)


def _curve_jobs(
    plan: AnalysisPlan,
    kind: str,
    points: list[EnergyVolumePointParameters],
    parents: list[tuple[str, ...]],
    relaxed_with: str | None,
) -> list[Job]:
    from ....tasks.energy_volume import EnergyVolumeParameters, EnergyVolumePointTask, EnergyVolumeTask

    jobs = [
        Job(
            key=f"{_STAGE}/{kind}/{index}",
            task=EnergyVolumePointTask,
            parameters=point,
            parents=waits_for,
            priority=PRIORITY,
        )
        for index, (point, waits_for) in enumerate(zip(points, parents, strict=True))
    ]
    gather = Job(
        key=f"{_STAGE}/{kind}",
        task=EnergyVolumeTask,
        parameters=EnergyVolumeParameters(
            **plan.place,
            potential=plan.potential(kind),
            points=[point.identifier for point in points],
            ions_relaxed_with=relaxed_with,
        ),
        parents=tuple(job.key for job in jobs),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, gather]


def energy_volume_cost(settings: EnergyVolumeSettings, models: int, atoms: int) -> AnalysisCost:
    """Return what the curves ask for; relaxations count as `EVALUATIONS_PER_RELAXATION`."""
    relaxed = (settings.points + 1) * EVALUATIONS_PER_RELAXATION if settings.relax_ions else settings.points
    reference = {"none": 0, "single-points": settings.points, "relax": relaxed}[settings.reference]
    return AnalysisCost(
        reference_evaluations=reference,
        reference_atoms=atoms if reference else 0,
        model_evaluations=models * relaxed,
        model_atoms=atoms,
    )
