"""Jobs of the samplers that a campaign lists: what their runs share, the runs, and which potential drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.names import REFERENCE
from ...labelling.common_settings import CommonSettings
from ...labelling.registry import read_settings
from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.samplers.potentials import DRIVER, AnotherEngine, ModelFolder
from ...sampling.samplers.registry import sampler_of
from ...store.identifiers import derive_seed
from ...tasks.sample import SampledRun
from ...tasks.samplers import (
    PrepareSamplerTask,
    Role,
    RunParameters,
    RunSamplerTask,
    SamplerParameters,
    SamplerPotential,
)
from ..campaign.samplers import engine_document, potential_choice
from ..graph.jobs import Job
from ..graph.plan import Plan, PlannedSystem

PRIORITY_INITIAL = 85
PRIORITY_EXPLORING = 50


@dataclass(frozen=True)
class ListedSamplers:
    """The samplers of one list of a system in a generation.

    Attributes
    ----------
    place
        Campaign and generation.
    models
        Identifiers of the generation's models by name; there are none before the first.
    data_set
        What they are fitted to.
    """

    plan: Plan
    system: PlannedSystem
    role: Role
    entries: Sequence[CommonSamplerSettings]
    place: Mapping[str, Any]
    models: Mapping[str, str] = field(default_factory=dict)
    data_set: str | None = None

    @property
    def stage(self) -> str:
        """What keys of its jobs begin with."""
        return f"{self.system.stage(f'generation-{self._generation}')}/{self.role}"

    @property
    def _generation(self) -> int:
        return int(self.place["generation"])

    def jobs(self) -> list[Job]:
        """Return all of their jobs."""
        return [job for number in self._runs_of_their_own for job in self._jobs_of(number)]

    def sampled_runs(self) -> list[SampledRun]:
        """Return the runs with what each offers to a selection."""
        return [
            SampledRun(trajectory=parameters.trajectory, settings=parameters.settings, index=parameters.index)
            for number in self._runs_of_their_own
            for parameters in self._runs_of(number)
        ]

    @property
    def _runs_of_their_own(self) -> list[int]:
        """The entries whose runs are one job each: what learns has rounds (`learning_jobs`)."""
        return [number for number, settings in enumerate(self.entries) if not sampler_of(settings).learns]

    def _common(self, number: int) -> dict[str, Any]:
        campaign, settings = self.plan.campaign, self.entries[number]
        kind = sampler_of(settings)
        charges = self.plan.site_charges(self.system) if kind.needs_charges else {}
        return {
            **self.place,
            **self.system.place,
            "role": self.role,
            "entry": number,
            "settings": settings,
            "potential": self._potential(settings),
            "mobile": campaign.mobile,
            "charges": charges,
        }

    def _seed(self, number: int, *labels: str | int) -> int:
        place = (self.role, self._generation, number, self.entries[number].sampler)
        return derive_seed(self.plan.campaign.seed, *place, *labels, *self.system.labels)

    def _runs_of(self, number: int) -> list[RunParameters]:
        settings = self.entries[number]
        common = self._common(number)
        return [
            RunParameters(**common, index=index, seed=self._seed(number, index), data_set=self.data_set)
            for index in range(sampler_of(settings).runs(settings))
        ]

    def _jobs_of(self, number: int) -> list[Job]:
        settings = self.entries[number]
        key = f"{self.stage}/{number}-{settings.sampler}"
        parents = self._awaited(settings)
        priority = PRIORITY_INITIAL if self.role == "initial" else PRIORITY_EXPLORING
        jobs = []
        if sampler_of(settings).prepares:
            parameters = SamplerParameters(**self._common(number), seed=self._seed(number, "shared"))
            jobs.append(
                Job(
                    key=f"{key}/shared",
                    task=PrepareSamplerTask,
                    parameters=parameters,
                    priority=priority,
                )
            )
            parents = (*parents, jobs[0].key)
        return jobs + [
            Job(
                key=f"{key}/{parameters.index}",
                task=RunSamplerTask,
                parameters=parameters,
                parents=parents,
                priority=priority,
                # Without what they share they fail at once, and the assessment counts what is there.
                runs_after_failures=bool(jobs),
            )
            for parameters in self._runs_of(number)
        ]

    def _awaited(self, settings: CommonSamplerSettings) -> tuple[str, ...]:
        """Return the keys of the fits that a sampler's potential comes from."""
        potential = self._potential(settings)
        if potential is None or potential.model is None:
            return ()
        return (f"generation-{self._generation}/fit/{potential.kind}",)

    def _potential(self, settings: CommonSamplerSettings) -> SamplerPotential | None:
        campaign = self.plan.campaign
        match potential_choice(settings, self.role):
            case None:
                return None
            case AnotherEngine() as choice:
                return _of_engine(choice.engine, read_settings(engine_document(choice)), settings)
            case ModelFolder(folder=folder):
                return SamplerPotential(kind="folder", folder=folder)
            case choice if choice == REFERENCE:
                return _of_engine(REFERENCE, campaign.reference, settings)
            case choice:
                name = campaign.driver if choice == DRIVER else str(choice)
                return SamplerPotential(kind=name, model=self.models[name], backend=self.plan.evaluator_of(name))


def _of_engine(name: str, engine: CommonSettings, settings: CommonSamplerSettings) -> SamplerPotential:
    return SamplerPotential(kind=name, engine=engine.at_gamma() if settings.at_gamma else engine)
