"""The conductivities of a campaign's final models: long trajectories side by side, then one analysis per potential."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ....analysis.conductivity.settings import ConductivitySettings
from ....core.names import REFERENCE
from ....fitting.electrostatics.species import FORMAL_CHARGES
from ....store.identifiers import derive_seed
from ....tasks.values.conductivity import CONDUCTIVITIES
from ...campaign.problems import Problem
from ...campaign.settings import Campaign
from ...graph.jobs import Job
from ..base import FRAME_BYTES_PER_ATOM, PRIORITY, AnalysisCost, AnalysisPlan, OfferedRun

if TYPE_CHECKING:
    from ....tasks.conductivity import ConductivityRunParameters, TemperatureRuns


_STAGE = f"analysis/{CONDUCTIVITIES.name}"


def conductivity_jobs(plan: AnalysisPlan, settings: ConductivitySettings) -> list[Job]:
    """Return one job per potential, temperature and replica, and one per potential that analyses its trajectories."""
    kinds: tuple[str, ...] = settings.models or tuple(plan.models)
    return [job for kind in kinds for job in _jobs_of(plan, settings, kind)]


def _jobs_of(plan: AnalysisPlan, settings: ConductivitySettings, kind: str) -> list[Job]:
    from ....tasks.conductivity import (
        ConductivityParameters,
        ConductivityRunParameters,
        ConductivityRunTask,
        ConductivityTask,
    )

    runs = {
        f"{_STAGE}/{kind}/{temperature:g}K/{replica}": ConductivityRunParameters(
            **plan.place,
            potential=plan.potential(kind),
            supercell=settings.supercell,
            replica=replica,
            dynamics=settings.dynamics(temperature),
            # The same velocities for every potential: what differs is the potential.
            seed=derive_seed(plan.campaign.seed, CONDUCTIVITIES.name, f"{temperature:g}", replica),
        )
        for temperature in settings.temperatures_K
        for replica in range(settings.replicas)
    }
    sampled = _sampled_runs(plan, settings, kind)
    jobs = [
        Job(
            key=key,
            task=ConductivityRunTask,
            parameters=parameters,
            parents=plan.parents(kind),
            priority=PRIORITY,
        )
        for key, parameters in {**runs, **sampled}.items()
    ]
    gather = Job(
        key=f"{_STAGE}/{kind}",
        task=ConductivityTask,
        parameters=ConductivityParameters(
            **plan.place,
            potential=plan.potential(kind),
            species=plan.campaign.mobile,
            charge_e=settings.charge_e,
            framework=settings.framework,
            runs=_by_temperature(settings, runs),
            sampled_runs=_by_temperature(settings, sampled) if sampled else [],
            equilibration_frames=settings.equilibration_frames,
            frames=settings.frames,
            lengths=settings.lengths,
            transport=settings.transport,
        ),
        parents=(*runs, *sampled),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, gather]


def conductivity_runs(plan: AnalysisPlan, settings: ConductivitySettings) -> list[OfferedRun]:
    """Return the trajectories that others may look at: those of the potentials themselves, no model that is drawn."""

    from ....tasks.conductivity import ConductivityRunParameters

    runs = [
        (job.key, job.parameters)
        for job in conductivity_jobs(plan, settings.model_copy(update={"model_samples": 0}))
        if isinstance(job.parameters, ConductivityRunParameters)
    ]
    return [
        OfferedRun(
            trajectory=run.trajectory,
            job=key,
            model=run.potential.kind,
            temperature_K=run.dynamics.temperature_K,
            skipped_frames=settings.equilibration_frames,
            dynamics=run,
        )
        for key, run in runs
    ]


def _sampled_runs(
    plan: AnalysisPlan, settings: ConductivitySettings, kind: str
) -> dict[str, ConductivityRunParameters]:
    """Return one trajectory of every model drawn from the posterior, at every temperature, by the jobs' keys."""

    from ....tasks.conductivity import ConductivityRunParameters

    if not _has_posterior(plan.campaign, kind):
        return {}
    return {
        f"{_STAGE}/{kind}/{temperature:g}K/sample-{sample}": ConductivityRunParameters(
            **plan.place,
            potential=plan.potential(kind),
            supercell=settings.supercell,
            replica=0,
            model_sample=sample,
            dynamics=settings.dynamics(temperature),
            # The same velocities for every sample: what differs is the model.
            seed=derive_seed(plan.campaign.seed, CONDUCTIVITIES.name, f"{temperature:g}", 0),
        )
        for temperature in settings.temperatures_K
        for sample in range(1, settings.model_samples + 1)
    }


def _has_posterior(campaign: Campaign, name: str) -> bool:
    """Whether models can be drawn from the posterior of a campaign's model: its kind has one, and its own fitter fits.

    The reference has none.
    """
    if name not in campaign.models:
        return False
    kind = campaign.kind_of(name)
    under = campaign.kind_of_baseline if kind.needs_baseline else None
    return kind.has_posterior and kind.backend(campaign.fit.backend, under) == kind.fit_backends[0]


def _by_temperature(
    settings: ConductivitySettings, runs: Mapping[str, ConductivityRunParameters]
) -> list[TemperatureRuns]:
    from ....tasks.conductivity import TemperatureRuns

    return [
        TemperatureRuns(
            temperature_K=temperature,
            trajectories=[one.trajectory for one in runs.values() if one.dynamics.temperature_K == temperature],
        )
        for temperature in settings.temperatures_K
    ]


def conductivity_cost(settings: ConductivitySettings, models: Collection[str], atoms: int) -> AnalysisCost:
    """Return what the trajectories ask for, ``atoms`` in the campaign's structure."""
    chosen = settings.models or models
    each = len(settings.temperatures_K) * settings.replicas * settings.steps
    sampled = len(settings.temperatures_K) * settings.model_samples * settings.steps
    in_cell = atoms * int(np.prod(settings.supercell))
    by_reference = sum(kind == REFERENCE for kind in chosen)
    by_models = len(chosen) - by_reference
    return AnalysisCost(
        reference_evaluations=by_reference * each,
        reference_atoms=in_cell if by_reference else 0,
        model_evaluations=by_models * (each + sampled),
        model_atoms=in_cell if by_models else 0,
        disk_bytes=float(
            (len(chosen) * each + by_models * sampled) // settings.write_every * in_cell * FRAME_BYTES_PER_ATOM
        ),
    )


def conductivity_problems(campaign: Campaign, settings: ConductivitySettings, atoms: Atoms) -> Iterable[Problem]:
    """Yield what does not fit the campaign and its structure."""
    key = ("analyses", "conductivity")
    missing = [kind for kind in settings.models if kind not in (*campaign.models, REFERENCE)]
    if missing:
        allowed = " | ".join((*campaign.models, REFERENCE))
        message = "names a model that the campaign does not fit"
        yield Problem((*key, "models"), message, value=missing, allowed=allowed, related=(("models",),))
    fitted = [one for one in settings.models or campaign.models if one in campaign.models]
    without = [one for one in fitted if not _has_posterior(campaign, one)]
    if settings.model_samples and without:
        message = f"asks for models drawn from the posterior, which {', '.join(without)} as fitted here does not have"
        related = (("fit", "backend"), (*key, "models"))
        yield Problem((*key, "model_samples"), message, value=settings.model_samples, allowed="0", related=related)
    if campaign.mobile in settings.framework:
        message = f"names {campaign.mobile}, which is the mobile species"
        yield Problem((*key, "framework"), message, value=list(settings.framework), related=(("mobile",),))
    present = sorted(set(atoms.symbols))
    absent = [one for one in settings.framework if one not in present]
    if absent:
        message = f"names {', '.join(absent)}, which the structure does not hold"
        allowed = " | ".join(one for one in present if one != campaign.mobile)
        yield Problem((*key, "framework"), message, value=list(settings.framework), allowed=allowed)
    if settings.charge_e == 0 or (settings.charge_e is None and campaign.mobile not in FORMAL_CHARGES):
        message = f"must be given, and not be 0, for {campaign.mobile}"
        yield Problem((*key, "charge_e"), message, value=settings.charge_e, related=(("mobile",),))
