"""What analyses propose to be labelled, and the choice among it: what tells most of the properties asked for.

After a generation the properties were looked at with the model that drives (`property_jobs`). The next generation asks
the same analyses for the configurations that they rest on, puts frames of the last exploration beside them, and labels
those first whose labels lower the summed variance of the properties most, each given those before it, by the model's
posterior. The selection among the new frames gets what is left of the generation's labels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from ase import Atoms

from ...core.arrays import FloatArray
from ...core.names import PROPOSED_BY
from ...core.structures import structure_hash
from ...fitting.models import load_posterior
from ...fitting.posterior.base import ModelPosterior, NoPosterior
from ...fitting.posterior.informative import choose_informative
from ...sampling.guard import ContactGuard
from ...sampling.samplers.registry import SAMPLERS
from ...sampling.seen_contacts import shortest_distances_A
from ...sampling.trajectory import read_frames
from ...store.connection import Store
from ...store.records import Origin
from ...tasks.base import IonloopTask, Outcome, TaskParameters, is_busy, is_environment_failure
from ...tasks.context import TaskContext
from ...tasks.label import add_configuration, configuration_identifier
from ...tasks.sample import training_configurations
from ..analyses.base import AnalysisPlan
from ..analyses.proposals import Proposed
from ..analyses.registry import ANALYSES
from ..campaign.properties import asked_properties
from ..graph.jobs import Job
from ..graph.plan import Plan, PlannedSystem, load_plan

logger = logging.getLogger(__name__)

EXPLORATION: Final = "exploration"
"""Who proposes the frames of the last exploration."""
FRAMES_PER_SYSTEM: Final = 24
"""Frames of the last exploration that stand beside what analyses propose, spread evenly."""
_PRIORITY: Final = 49
_FIRST: Final = 2
"""The first generation before which properties have been looked at."""


def propose_jobs(
    plan: Plan, generation: int, models: Mapping[str, str], data_set: str, stage: str, grow: Callable[..., Any]
) -> list[Job]:
    """Return the job that chooses a generation's proposals, none where the campaign wants none or there are none yet.

    ``models`` is the driver alone, by its name; ``grow`` makes the Firetask that adds the labels.
    """
    campaign = plan.campaign
    if campaign.proposals is None or generation < _FIRST:
        return []
    place: dict[str, Any] = {"campaign": campaign.name, "generation": generation}
    count = max(1, round(campaign.proposals.share * campaign.selection.count))
    return [
        Job(
            key=f"{stage}/propose",
            task=ProposeTask,
            parameters=ProposeParameters(**place, models=dict(models), data_set=data_set, count=count),
            parents=tuple(f"{stage}/fit/{name}" for name in models),
            priority=_PRIORITY,
            grow=grow(**place, proposed=True),
            # Without the model it fails at once, as the trajectories do.
            runs_after_failures=True,
        )
    ]


class ProposeParameters(TaskParameters):
    """The model that drives, what it was fitted to, and how many configurations may be labelled."""

    models: dict[str, str]
    data_set: str
    count: int


@dataclass(frozen=True)
class Candidate:
    """A configuration that may be labelled."""

    atoms: Atoms
    system: PlannedSystem
    origin: Origin


class ProposeTask(IonloopTask):
    """Choose among what analyses propose, and store it as configurations; without a posterior nothing is chosen."""

    _fw_name = "ionloop.propose"
    parameters_type = ProposeParameters

    def execute(self, parameters: ProposeParameters, context: TaskContext) -> Outcome:
        """Choose what tells most of the properties."""
        store = context.store
        model, *_ = parameters.models.values()
        plan = load_plan(store, parameters.campaign, parameters.data_set)
        # The properties were looked at after the generation before.
        described = AnalysisPlan(plan, parameters.generation - 1, parameters.models, {}, parameters.data_set)
        try:
            posterior = load_posterior(store.artefacts.path(store.models[model].path))
        except NoPosterior as error:
            return Outcome(reason=f"nothing is proposed: {error}", outputs={"proposed": 0})
        with context.measure("propose"):
            targets, candidates, reasons = gathered(store, described, posterior)
            sound = list(self._sound(store, parameters, candidates))
            chosen = choose_informative(posterior, targets, [one.atoms for one in sound], parameters.count)
        for order, choice in enumerate(chosen):
            one = sound[choice.candidate]
            place = parameters.model_copy(update={"system": one.system.name})
            add_configuration(store, place, one.atoms, one.origin.model_copy(update={"index": order}))
        if len(chosen) < parameters.count:
            reasons.append(
                f"{len(chosen)} of {parameters.count} proposals: {len(candidates)} candidates, {len(sound)} of them "
                "new and with contacts as the models were shown; the selection takes what is left"
            )
        remaining = chosen[-1].remaining if chosen else 1.0
        return Outcome(
            reason="; ".join(reasons),
            outputs={"candidates": len(candidates), "proposed": len(chosen), "variance_left": remaining},
        )

    @staticmethod
    def _sound(store: Store, parameters: ProposeParameters, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
        """Yield the candidates that the campaign does not have, and whose contacts its models were shown."""
        campaign = load_plan(store, parameters.campaign).campaign
        known = training_configurations(store, parameters.data_set)
        seen_A = shortest_distances_A([record.atoms for record in known])
        guard: ContactGuard = campaign.sampling.guard.bounded(seen_A).contacts
        taken: set[str] = set()
        for one in candidates:
            content = structure_hash(one.atoms)
            record = store.configurations.get(configuration_identifier(parameters.campaign, content))
            # After a kill its own choices are there.
            is_new = record is None or (record.generation == parameters.generation and record.purpose is None)
            if is_new and content not in taken and guard.violation(one.atoms) is None:
                taken.add(content)
                yield one


def gathered(
    store: Store, described: AnalysisPlan, posterior: ModelPosterior
) -> tuple[FloatArray, list[Candidate], list[str]]:
    """Return the vectors of the properties over their tolerances, candidates, and what could not be asked."""
    plan = described.plan
    vectors: list[FloatArray] = []
    candidates: list[Candidate] = []
    reasons: list[str] = []
    for name, tolerance in asked_properties(plan.campaign).items():
        analysis = ANALYSES.get(name)
        for system in analysis.systems(plan):
            try:
                proposed = analysis.proposals(store, replace(described, of=system))
            # As with the property itself: the loop can go on without it.
            except Exception as error:
                if is_environment_failure(error) or is_busy(error):
                    raise
                logger.warning("%s proposes nothing: %s", name, error)
                reasons.append(f"{name} proposes nothing: {type(error).__name__}: {error}")
                continue
            for one in proposed:
                vectors += target_vectors(posterior, one, tolerance.value)
                candidates += [
                    Candidate(
                        found.atoms,
                        system,
                        Origin(sampler=f"{PROPOSED_BY}{name}", parent=found.parent, step=found.step),
                    )
                    for found in one.configurations
                ]
    for system in plan.systems:
        candidates += exploration_frames(store, described, system)
    dimensions = len(posterior.energy_vectors([plan.systems[0].atoms])[0])
    return np.array(vectors) if vectors else np.zeros((0, dimensions)), candidates, reasons


def target_vectors(posterior: ModelPosterior, proposed: Proposed, tolerance: float) -> list[FloatArray]:
    """Return the vectors of an analysis's numbers in units of the tolerance: so they add up with those of others."""
    used = sorted({place for target in proposed.targets for place in target.coefficients})
    if not used:
        return []
    energies = posterior.energy_vectors([proposed.configurations[place].atoms for place in used])
    of_place = dict(zip(used, energies, strict=True))
    return [
        np.asarray(sum(factor * of_place[place] for place, factor in target.coefficients.items()) / tolerance)
        for target in proposed.targets
    ]


def exploration_frames(store: Store, described: AnalysisPlan, system: PlannedSystem) -> list[Candidate]:
    """Return frames of a system's last exploration, spread evenly over all of its trajectories."""
    query = {"campaign": described.campaign.name, "generation": described.generation, "system": system.name}
    found: list[Candidate] = []
    for record in sorted(store.trajectories.find(query), key=lambda one: one.id):
        if record.start.startswith("conductivity/") or not store.artefacts.is_there(record.artefact):
            continue
        path = store.artefacts.path(record.artefact.path)
        frames = read_frames(path, start=1) if record.sampler is None else SAMPLERS.get(record.sampler).read(path)
        found += [
            Candidate(
                frame,
                system,
                Origin(
                    sampler=f"{PROPOSED_BY}{EXPLORATION}",
                    parent=record.id,
                    step=frame.info.get("step"),
                    seed=record.seed,
                ),
            )
            for frame in frames
        ]
    count = min(FRAMES_PER_SYSTEM, len(found))
    return [found[(2 * number + 1) * len(found) // (2 * count)] for number in range(count)]
