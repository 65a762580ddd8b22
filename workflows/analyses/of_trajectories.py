"""The base of analyses that look at trajectories which others run: they cost nothing but the looking.

A derived class gives what `Analysis` asks for but ``jobs``, ``cost`` and ``problems``, settings derived from
`ReadRunsSettings`, and its task.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from ...analysis.trajectories.settings import SAMPLING, ReadRunsSettings
from .base import PRIORITY, Analysis, AnalysisCost, AnalysisPlan, OfferedRun

if TYPE_CHECKING:
    from ase import Atoms

    from ...tasks.base import IonloopTask
    from ...tasks.of_trajectories.task import TrajectoriesTask
    from ...tasks.results import Potential
    from ..campaign.problems import Problem
    from ..campaign.settings import Campaign
    from ..graph.jobs import Job
    from ..graph.plan import Plan, PlannedSystem

SettingsT = TypeVar("SettingsT", bound=ReadRunsSettings)


class TrajectoryAnalysis(Analysis[SettingsT], Generic[SettingsT]):
    """An analysis of trajectories: one result for every potential and temperature."""

    is_stored_unasked = False

    @abstractmethod
    def task(self) -> type[TrajectoriesTask]:
        """Return the Firetask of its jobs, whose parameters have this analysis' settings."""

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        """Return its task."""
        return (self.task(),)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        """Return a job for every potential and temperature, after those that run the trajectories."""
        from ..graph.jobs import Job

        settings, task = self.settings(plan.campaign), self.task()
        return [
            Job(
                key=f"analysis/{self.name}/{model}/{temperature_K:g}K",
                task=task,
                parameters=task.parameters_type(
                    **plan.place,
                    potential=_potential(plan, model, runs),
                    temperature_K=temperature_K,
                    trajectories=tuple(run.trajectory for run in runs),
                    skipped_frames=runs[0].skipped_frames,
                    mobile=plan.campaign.mobile,
                    settings=settings,
                ),
                parents=tuple(run.job for run in runs if run.job),
                priority=PRIORITY,
                # Trajectories that failed are left out and counted.
                runs_after_failures=True,
            )
            for (model, temperature_K), runs in grouped(self.looked_at(plan, settings)).items()
        ]

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        """Return nothing: trajectories are paid for by who runs them."""
        return AnalysisCost()

    def systems(self, plan: Plan) -> list[PlannedSystem]:
        """Return the systems whose trajectories there are, glasses too, or those of them that are named."""
        named = self.named_systems(plan.campaign)
        source = source_of(plan.campaign, self.settings(plan.campaign))
        there = plan.systems if source is None else source.systems(plan)
        return [system for system in there if not named or system.name in named]

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterator[Problem]:
        """Yield where there are no such trajectories."""
        from ...core.names import REFERENCE
        from ..campaign.problems import Problem

        settings, key = self.settings(campaign), ("analyses", self.name)
        offering = _offering(campaign)
        if settings.of and settings.of not in (SAMPLING, *(one.name for one in offering)):
            message = "is no analysis of the campaign that runs trajectories"
            allowed = " | ".join((*(one.name for one in offering), SAMPLING))
            yield Problem((*key, "of"), message, value=settings.of, allowed=allowed, related=(("analyses",),))
        missing = [model for model in settings.models if model not in (*campaign.models, REFERENCE)]
        if missing:
            message = "names a model that the campaign does not fit"
            allowed = " | ".join((*campaign.models, REFERENCE))
            yield Problem((*key, "models"), message, value=missing, allowed=allowed, related=(("models",),))
        if source_of(campaign, settings) is None and not _explores_in_equilibrium(campaign, system):
            message = "has no trajectories to look at: add analyses.conductivity, or explore by nvt"
            yield Problem(key, message, value=self.name, related=(("explore",), ("analyses",)))

    def looked_at(self, plan: AnalysisPlan, settings: SettingsT) -> list[OfferedRun]:
        """Return the trajectories that it looks at."""
        source = source_of(plan.campaign, settings)
        runs = list(_of_the_last_generation(plan)) if source is None else source.runs(plan)
        return [run for run in runs if not settings.models or run.model in settings.models]


def _offering(campaign: Campaign) -> list[Analysis]:
    from .registry import chosen_analyses

    return [one for one in chosen_analyses(campaign) if one.has_runs]


def source_of(campaign: Campaign, settings: ReadRunsSettings) -> Analysis | None:
    """Return the analysis whose trajectories are looked at, None where they are those of the last generation."""
    found = [one for one in _offering(campaign) if settings.of in ("", one.name)]
    return found[0] if found else None


def _explores_in_equilibrium(campaign: Campaign, system: str | None) -> bool:
    from ..campaign.samplers import equilibrium_temperature_K

    return equilibrium_temperature_K(campaign, system) is not None


def _of_the_last_generation(plan: AnalysisPlan) -> Iterator[OfferedRun]:
    """Yield what the driver ran in the last generation: it is there before the models are final."""
    from ..graph.exploring import trajectories_in_equilibrium

    for name, temperature_K in trajectories_in_equilibrium(plan.plan, plan.system, plan.generation).items():
        yield OfferedRun(trajectory=name, job="", model=plan.campaign.driver, temperature_K=temperature_K)


def _potential(plan: AnalysisPlan, model: str, runs: list[OfferedRun]) -> Potential:
    """Return who drove the trajectories; those of the last generation were not driven by the model that is final."""
    from ...tasks.results import Potential

    return plan.potential(model) if all(run.job for run in runs) else Potential(kind=model)


def grouped(runs: Iterable[OfferedRun]) -> dict[tuple[str, float], list[OfferedRun]]:
    """Return trajectories by potential and temperature."""
    found: dict[tuple[str, float], list[OfferedRun]] = {}
    for run in runs:
        found.setdefault((run.model, run.temperature_K), []).append(run)
    return found
