"""Hops of a campaign's trajectories, and the barriers of some of them with every potential.

The graph is known from the start: every path has a slot, and a slot that finds no hop ends without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ....analysis.barriers.settings import BarrierSettings
from ....analysis.conductivity.settings import ConductivitySettings
from ....core.names import REFERENCE
from ...campaign.problems import Problem
from ...campaign.samplers import equilibrium_temperature_K
from ...campaign.settings import Campaign
from ...graph.exploring import trajectories_in_equilibrium
from ...graph.jobs import Job
from ..base import PRIORITY, AnalysisCost, AnalysisPlan
from ..conductivity.graph import conductivity_jobs
from ..conductivity.kind import CONDUCTIVITY

if TYPE_CHECKING:
    from ....tasks.barriers import PathParts


EVALUATIONS_PER_END = 150
"""Evaluations that relaxing one end of a path takes, estimated."""
STEPS_PER_BAND = 150
"""Steps that a band takes, estimated."""
_STAGE = "analysis/barriers"
CROSSING = ("crossing-1", "crossing-2")
"""Slots of the two hops that cross the cell together."""


def slots(settings: BarrierSettings) -> tuple[str, ...]:
    """Return the names of the paths that may be found."""
    crossing = CROSSING if settings.traverse else ()
    return (*crossing, *(f"hop-{number + 1}" for number in range(settings.hops)))


@dataclass(frozen=True)
class _Source:
    """Trajectories in which hops are looked for, and the jobs that run them."""

    trajectories: list[str]
    supercell: tuple[int, int, int] = (1, 1, 1)
    equilibration_frames: int = 0
    parents: tuple[str, ...] = ()


def _source(plan: AnalysisPlan, settings: BarrierSettings) -> _Source:
    from ....tasks.conductivity import ConductivityRunParameters

    campaign = plan.campaign
    conductivity = _conductivity_of(campaign, settings, plan.system.name)
    if conductivity is None:
        # Frames of the last generation are there before its models are final.
        return _Source(list(trajectories_in_equilibrium(plan.plan, plan.system, plan.generation)))
    wanted_K = equilibrium_temperature_K(campaign, plan.system.name)
    temperature = (
        conductivity.temperatures_K[0] if wanted_K is None else _nearest(conductivity.temperatures_K, wanted_K)
    )
    runs = {
        job.key: job.parameters
        for job in conductivity_jobs(plan, conductivity)
        if isinstance(job.parameters, ConductivityRunParameters)
        and job.parameters.potential.kind == campaign.driver
        and job.parameters.dynamics.temperature_K == temperature
    }
    return _Source(
        [run.trajectory for run in runs.values()],
        conductivity.supercell,
        conductivity.equilibration_frames,
        tuple(runs),
    )


def _conductivity(campaign: Campaign, settings: BarrierSettings) -> ConductivitySettings | None:
    """Return the settings of the conductivity whose trajectories are taken, None where the last generation's are."""
    found = CONDUCTIVITY.chosen_settings(campaign)
    if settings.trajectories == "sampling" or found is None or campaign.driver not in (found.models or campaign.models):
        return None
    # Hops are looked for in what the driver itself runs, and not in what models drawn from its posterior do.
    return found.model_copy(update={"models": (campaign.driver,), "model_samples": 0})


def _conductivity_of(campaign: Campaign, settings: BarrierSettings, system: str | None) -> ConductivitySettings | None:
    """Return the same of a system: the conductivity may be that of others."""
    named = CONDUCTIVITY.named_systems(campaign)
    is_made = system in named if named else campaign.all_systems[system].is_crystalline
    return _conductivity(campaign, settings) if is_made else None


def _nearest(values: tuple[float, ...], wanted: float) -> float:
    return min(values, key=lambda value: (abs(value - wanted), value))


def barrier_jobs(plan: AnalysisPlan, settings: BarrierSettings) -> list[Job]:
    """Return the jobs from trajectories to barriers."""

    from ....tasks.barriers import BarriersParameters, BarriersTask
    from ....tasks.hops import HopEndsParameters, HopEndsTask, HopsParameters, HopsTask

    campaign = plan.campaign
    source = _source(plan, settings)
    hops = HopsParameters(
        **plan.place,
        mobile=campaign.mobile,
        trajectories=source.trajectories,
        supercell=source.supercell,
        periods=tuple(np.multiply(campaign.all_systems[plan.system.name].supercell, source.supercell).tolist()),
        equilibration_frames=source.equilibration_frames,
        settings=settings,
    )
    ends = HopEndsParameters(
        **plan.place,
        hops=hops.identifier,
        mobile=campaign.mobile,
        potential=plan.potential(campaign.driver),
        settings=settings,
    )
    find = Job(
        key=f"{_STAGE}/hops",
        task=HopsTask,
        parameters=hops,
        parents=source.parents,
        priority=PRIORITY,
        runs_after_failures=True,
    )
    relax = Job(
        key=f"{_STAGE}/ends",
        task=HopEndsTask,
        parameters=ends,
        parents=(find.key, *plan.parents(campaign.driver)),
        priority=PRIORITY,
        # Whatever lacks its input fails at once and says so; then the barriers that there are get recorded.
        runs_after_failures=True,
    )
    jobs, paths = [find, relax], []
    for slot in slots(settings):
        for kind in plan.models:
            made, path = _path_jobs(plan, settings, ends.identifier, slot, kind)
            jobs += made
            paths.append(path)
    gather = Job(
        key=_STAGE,
        task=BarriersTask,
        parameters=BarriersParameters(**plan.place, ends=ends.identifier, paths=paths),
        parents=tuple(job.key for job in jobs),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, gather]


def barrier_property_jobs(plan: AnalysisPlan, settings: BarrierSettings) -> list[Job]:
    """Return the jobs from trajectories to barriers without the reference, those that run the trajectories included."""
    conductivity = _conductivity_of(plan.campaign, settings, plan.system.name)
    sources = set(_source(plan, settings).parents)
    runs = [] if conductivity is None else [job for job in conductivity_jobs(plan, conductivity) if job.key in sources]
    return [*runs, *barrier_jobs(plan, settings.model_copy(update={"reference": "none"}))]


def _path_jobs(
    plan: AnalysisPlan, settings: BarrierSettings, ends: str, slot: str, kind: str
) -> tuple[list[Job], PathParts]:
    """Return the jobs of one path of one model: its band, and single points of everything else."""

    from ....tasks.barriers import BandParameters, BandTask, PathParts, PointsParameters, PointsTask

    parameters = BandParameters(
        **plan.place,
        ends=ends,
        slot=slot,
        mobile=plan.campaign.mobile,
        potential=plan.potential(kind),
        settings=settings,
    )
    band = Job(
        key=f"{_STAGE}/{slot}/{kind}",
        task=BandTask,
        parameters=parameters,
        parents=(f"{_STAGE}/ends", *plan.parents(kind)),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    jobs, points = [band], {}
    for other in _others(plan, settings, kind):
        # An evaluation of the reference takes as long as all of a model's together: one job each.
        images = list(range(settings.images)) if other == REFERENCE else [None]
        wanted = [
            PointsParameters(**plan.place, band=parameters.identifier, potential=plan.potential(other), image=image)
            for image in images
        ]
        points[other] = [one.identifier for one in wanted]
        jobs += [
            Job(
                key=f"{band.key}/{other}" + ("" if one.image is None else f"/{one.image}"),
                task=PointsTask,
                parameters=one,
                parents=(band.key, *plan.parents(other)),
                priority=PRIORITY,
                runs_after_failures=True,
            )
            for one in wanted
        ]
    return jobs, PathParts(slot=slot, potential=plan.potential(kind), band=parameters.identifier, points=points)


def _others(plan: AnalysisPlan, settings: BarrierSettings, kind: str) -> list[str]:
    reference = [REFERENCE] if settings.reference == "single-points" else []
    return [other for other in plan.models if other != kind] + reference


def barrier_cost(settings: BarrierSettings, models: int, atoms: int) -> AnalysisCost:
    """Return what the paths ask for at most; relaxations and bands count as estimated above."""
    size = atoms * int(np.prod(settings.supercell))
    paths = len(slots(settings)) * models
    reference = paths * settings.images if settings.reference == "single-points" else 0
    band = 2 * EVALUATIONS_PER_END + STEPS_PER_BAND * (settings.images - 2) + settings.images * (models - 1)
    return AnalysisCost(
        reference_evaluations=reference,
        reference_atoms=size if reference else 0,
        model_evaluations=paths * band,
        model_atoms=size,
    )


def cells_of_trajectories(campaign: Campaign, settings: BarrierSettings) -> int:
    """Return how many of the campaign's cells a cell of the trajectories holds."""
    conductivity = _conductivity(campaign, settings)
    return 1 if conductivity is None else int(np.prod(conductivity.supercell))


def barrier_problems(
    campaign: Campaign, settings: BarrierSettings, atoms: Atoms, system: str | None = None
) -> Iterable[Problem]:
    """Yield what does not fit: a crystal without framework, trajectories that nobody makes."""
    conductivity = _conductivity_of(campaign, settings, system)
    if np.all(np.asarray(atoms.symbols == campaign.mobile)):
        yield Problem(
            ("analyses", "barriers"), f"the structure holds nothing but {campaign.mobile}: no framework, no hops"
        )
    if settings.trajectories == "conductivity" and conductivity is None:
        yield Problem(
            ("analyses", "barriers", "trajectories"),
            f"asks for trajectories of the conductivity with {campaign.driver}, which the campaign does not make",
            value="conductivity",
            allowed="auto | sampling, or analyses.conductivity",
            related=(("analyses", "conductivity"), ("sampling", "driver")),
        )
    elif conductivity is None and equilibrium_temperature_K(campaign, system) is None:
        yield Problem(
            ("analyses", "barriers"),
            "needs trajectories in which hops can be found: an nvt in explore, or analyses.conductivity",
            related=(("explore",), ("analyses", "conductivity")),
        )
