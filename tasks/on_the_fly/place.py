"""What jobs of learning on the fly know of their place, and which records they find by it.

A generation learns in rounds. Walkers of round k are driven by the model of round k, which holds the labels of the
rounds up to k - 2: those of round k - 1 are computed meanwhile. The models of rounds 1 and 2 are the generation's fit.
Which labels a model holds is a matter of the graph, never of time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.names import LEARNING_LEG, LEARNING_ROUND, LEARNING_UPDATE
from ...labelling.registry import EngineSettings
from ...sampling.on_the_fly.settings import OnTheFlySettings
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.records import ResultRecord
from ..base import TaskParameters
from ..sample import trajectory_identifier
from ..samplers import run_name
from ..values.learning import LEGS, ROUNDS, UPDATES, LegValues, RoundValues, UpdateValues

LAG = 2
"""Labels of round k are in the model of round k + 2."""
FIRST_MODEL = 2
"""The first round that has a model of its own; round 1 shares it."""


class LearningParameters(TaskParameters):
    """An entry of ``explore`` that learns, the model that it begins with, and the round."""

    entry: int
    settings: OnTheFlySettings
    model: str
    model_kind: str
    data_set: str
    engine: EngineSettings
    round: int

    @property
    def learner(self) -> str:
        """Identifier of what learns in this generation."""
        return identifier("learner", self.campaign, self.generation, self.entry, self.model, *self.of_system)

    @property
    def place(self) -> dict[str, Any]:
        """What finds the records of this entry, of all generations."""
        return {"campaign": self.campaign, "system": self.system, "values.entry": self.entry}

    def leg_name(self, walker: int) -> str:
        """Return the name of a walker's leg within the generation of its system."""
        return f"{run_name('explore', self.entry, self.settings.sampler, walker)}-round-{self.round}"

    def trajectory(self, walker: int) -> str:
        """Return the identifier of the trajectory of a walker's leg."""
        return trajectory_identifier(self.campaign, self.generation, self.leg_name(walker), self.system)

    def leg_result(self, walker: int) -> str:
        """Return the identifier of what is known of a walker's leg."""
        return identifier("result", LEARNING_LEG, self.learner, walker, self.round)

    @property
    def round_result(self) -> str:
        """Identifier of what the round met."""
        return identifier("result", LEARNING_ROUND, self.learner, self.round)

    @property
    def update_result(self) -> str:
        """Identifier of what joined the model of the round."""
        return identifier("result", LEARNING_UPDATE, self.learner, self.round)

    @property
    def model_round(self) -> int:
        """The round whose model drives in this one."""
        return max(self.round, FIRST_MODEL)

    def state_path(self, store: Store, round_: int) -> Path:
        """Return the folder of the model of a round."""
        return store.artefacts.path(Path("learning") / self.learner / f"round-{round_}")


def earlier_legs(store: Store, parameters: LearningParameters, walker: int) -> list[tuple[ResultRecord, LegValues]]:
    """Return the legs of a walker before a round, of all generations, the last one first."""
    query = {**parameters.place, "kind": LEARNING_LEG, "values.walker": walker}
    read = [(record, LEGS.read(record)) for record in store.results.find(query)]
    before = [one for one in read if (one[0].generation, one[1].round) < (parameters.generation, parameters.round)]
    return sorted(before, key=lambda one: (one[0].generation, one[1].round), reverse=True)


def rounds_before(store: Store, parameters: LearningParameters, round_: int) -> list[tuple[ResultRecord, RoundValues]]:
    """Return the rounds before one of this generation, of all generations, in their order."""
    found = store.results.find({**parameters.place, "kind": LEARNING_ROUND})
    read = [(record, ROUNDS.read(record)) for record in found]
    before = [one for one in read if (one[0].generation, one[1].round) < (parameters.generation, round_)]
    return sorted(before, key=lambda one: (one[0].generation, one[1].round))


def updates_until(store: Store, parameters: LearningParameters, round_: int) -> list[UpdateValues]:
    """Return the updates of this generation up to the model of a round, in their order."""
    query = {**parameters.place, "kind": LEARNING_UPDATE, "generation": parameters.generation}
    read = [UPDATES.read(record) for record in store.results.find(query)]
    return sorted((one for one in read if one.round <= round_), key=lambda one: one.round)


def why_ended(store: Store, parameters: LearningParameters, *, model: int, rounds: int) -> str:
    """Return why learning has ended in this generation, empty where it has not.

    Only what a job comes after may decide: updates up to the model of a round, and rounds up to one.
    """
    rounds_done = [
        values
        for record, values in rounds_before(store, parameters, rounds + 1)
        if record.generation == parameters.generation
    ]
    told = [one.ended for one in updates_until(store, parameters, model)] + [one.ended for one in rounds_done]
    return next(filter(None, told), "")
