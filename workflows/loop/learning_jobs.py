"""Jobs of entries of ``explore`` that learn: rounds of legs, what of them is labelled, and the models that learnt.

All rounds of a generation are described when it is. Walkers of a round wait for the round before and for its model,
which holds the labels of two rounds before: while those of the last one are computed the walkers go on, so that neither
waits for the other, and which labels a model holds is no matter of time. Where learning ends before the last round, the
jobs that are left do nothing and say why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fireworks import FiretaskBase

from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.samplers.registry import sampler_of
from ...store.identifiers import derive_seed
from ...tasks.on_the_fly.leg import LegParameters, LegTask
from ...tasks.on_the_fly.place import FIRST_MODEL, LAG, LearningParameters
from ...tasks.on_the_fly.rounds import RequestTask, RoundTask
from ...tasks.on_the_fly.update import UpdateTask
from ..graph.jobs import Job
from ..graph.plan import Plan, PlannedSystem

# Labels are asked for, and models made, before walkers go on; labels themselves come last of all.
_PRIORITY: Final = {"update": 56, "request": 55, "round": 54, "leg": 50}


def learns(settings: CommonSamplerSettings) -> bool:
    """Return whether an entry of ``explore`` learns while it explores."""
    return sampler_of(settings).learns


def learning_entries(system: PlannedSystem) -> dict[int, CommonSamplerSettings]:
    """Return the entries of a system that learn, by their place in ``explore``."""
    return {number: one for number, one in enumerate(system.explore or ()) if learns(one)}


@dataclass(frozen=True)
class LearningJobs:
    """The jobs of one entry of a system in one generation.

    Attributes
    ----------
    place
        Campaign and generation.
    models
        Identifiers of the generation's models by name.
    data_set
        What they are fitted to.
    grow
        Makes the Firetask that adds the labels of what some trajectories brought.
    """

    plan: Plan
    system: PlannedSystem
    number: int
    settings: Any
    place: Mapping[str, Any]
    models: Mapping[str, str]
    data_set: str
    grow: Callable[..., FiretaskBase]

    @property
    def last(self) -> str:
        """Key of the job that all others come before."""
        return self._key("model", self.settings.rounds + LAG)

    def jobs(self) -> list[Job]:
        """Return all jobs, round by round."""
        found = [self._update(FIRST_MODEL)]
        for round_ in range(1, self.settings.rounds + 1):
            legs = list(self._legs(round_))
            found += [*legs, self._round(round_, legs), self._request(round_), self._update(round_ + LAG)]
        return found

    def _key(self, what: str, round_: int, *more: int) -> str:
        stage = self.system.stage(f"generation-{self.place['generation']}")
        parts = (f"{stage}/explore/{self.number}-{self.settings.sampler}", f"round-{round_}", what, *map(str, more))
        return "/".join(parts)

    def _parameters(self, round_: int) -> dict[str, Any]:
        campaign = self.plan.campaign
        return {
            **self.place,
            **self.system.place,
            "entry": self.number,
            "settings": self.settings,
            "model": self.models[campaign.driver],
            "model_kind": campaign.driver,
            "data_set": self.data_set,
            "engine": campaign.reference,
            "round": round_,
        }

    def _seed(self, *labels: str | int) -> int:
        # Of all generations: walkers and audits go on where the generation before left them.
        place = ("explore", self.number, self.settings.sampler)
        return derive_seed(self.plan.campaign.seed, *place, *labels, *self.system.labels)

    def _legs(self, round_: int) -> Iterator[Job]:
        parents = [self._key("model", max(round_, FIRST_MODEL))]
        if round_ > 1:
            parents.append(self._key("candidates", round_ - 1))
        for walker in range(self.settings.walkers):
            parameters = LegParameters(
                **self._parameters(round_),
                walker=walker,
                seed=self._seed("walker", walker),
                audit_seed=self._seed("audits"),
            )
            yield Job(
                key=self._key("leg", round_, walker),
                task=LegTask,
                parameters=parameters,
                parents=tuple(parents),
                priority=_PRIORITY["leg"],
                # A leg that failed is in the ledger; its walker goes on from where it was.
                runs_after_failures=True,
            )

    def _round(self, round_: int, legs: list[Job]) -> Job:
        return Job(
            key=self._key("candidates", round_),
            task=RoundTask,
            parameters=LearningParameters(**self._parameters(round_)),
            parents=tuple(job.key for job in legs),
            priority=_PRIORITY["round"],
            runs_after_failures=True,
        )

    def _request(self, round_: int) -> Job:
        parameters = LearningParameters(**self._parameters(round_))
        trajectories = [parameters.trajectory(walker) for walker in range(self.settings.walkers)]
        return Job(
            key=self._key("labels", round_),
            task=RequestTask,
            parameters=parameters,
            parents=(self._key("candidates", round_),),
            priority=_PRIORITY["request"],
            # Ahead of the model that holds them; the walkers' next legs do not come after this.
            grow=self.grow(**self.place, **self.system.place, parents=trajectories),
            runs_after_failures=True,
        )

    def _update(self, round_: int) -> Job:
        if round_ == FIRST_MODEL:
            parents: tuple[str, ...] = (f"generation-{self.place['generation']}/fit/{self.plan.campaign.driver}",)
        else:
            parents = (self._key("model", round_ - 1), self._key("labels", round_ - LAG))
        return Job(
            key=self._key("model", round_),
            task=UpdateTask,
            parameters=LearningParameters(**self._parameters(round_)),
            parents=parents,
            priority=_PRIORITY["update"],
            runs_after_failures=True,
        )
