"""What a round of legs met, and the choice of what is labelled: audits, and of the alarms those that tell most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.structures import structure_hash
from ...sampling.on_the_fly.leg import Candidate, CandidateKind, LegEnd, read_leg
from ...store.connection import Store
from ...store.records import Artefact, Origin
from ..base import IonloopTask, Outcome
from ..context import TaskContext
from ..label import add_configuration, configuration_identifier
from ..results import known_result, new_result, save_arrays
from ..values.learning import AUDITED, LEGS, ROUNDS, LegValues, RoundFrame, RoundValues
from .leg import leg_path
from .place import LearningParameters, rounds_before, why_ended
from .states import open_driver

PREDICTIONS_FOLDER = "learned-from"
_FS_PER_PS = 1000.0


@dataclass(frozen=True)
class Met:
    """A frame that a walker offers.

    Attributes
    ----------
    walker
        Which one, from 0.
    candidate
        The frame.
    time_ps
        Simulated time of all walkers together.
    """

    walker: int
    candidate: Candidate
    time_ps: float

    @property
    def is_audit(self) -> bool:
        """Whether it was drawn at random."""
        return self.candidate.kind is CandidateKind.AUDIT


class RoundTask(IonloopTask):
    """Choose among what the walkers of a round met, and store it as configurations."""

    _fw_name = "ionloop.learning-round"
    parameters_type = LearningParameters

    def execute(self, parameters: LearningParameters, context: TaskContext) -> Outcome:
        """Choose unless the store knows what was chosen."""
        store = context.store
        ended = why_ended(store, parameters, model=parameters.model_round, rounds=parameters.round - 1)
        if ended:
            return Outcome(reason=f"no round: {ended}")
        known = known_result(store, parameters.round_result)
        if known is None:
            with context.measure("select"):
                values = _gathered(store, parameters)
            known = new_result(
                parameters,
                parameters.round_result,
                ROUNDS,
                values=values,
                inputs=[one.configuration for one in values.frames],
            )
            store.results.replace(known)
        values = ROUNDS.read(known)
        audits = sum(one.kind == AUDITED for one in values.frames)
        return Outcome(
            reason=values.ended,
            outputs={"alarms": values.alarms, "labels": len(values.frames), "audits": audits},
        )


class RequestTask(IonloopTask):
    """Ask for the labels of a round: the jobs are added by what follows it."""

    _fw_name = "ionloop.learning-request"
    parameters_type = LearningParameters

    def execute(self, parameters: LearningParameters, context: TaskContext) -> Outcome:
        """Say how many labels are asked for."""
        known = context.store.results.get(parameters.round_result)
        return Outcome(outputs={"labels": 0 if known is None else len(ROUNDS.read(known).frames)})


def _gathered(store: Store, parameters: LearningParameters) -> RoundValues:
    settings = parameters.settings
    before = rounds_before(store, parameters, parameters.round)
    used = before[-1][1].labels_used if before else 0
    simulated_ps = before[-1][1].simulated_ps if before else 0.0
    legs = _legs(store, parameters)
    met, round_ps = _met(store, parameters, legs, simulated_ps)
    asked = [one.configuration for _, values in before[-1:] for one in values.frames]
    chosen = _chosen(store, parameters, met, settings.max_labels - used, asked)
    frames = _stored(store, parameters, chosen)
    used += len(frames)
    ended = ""
    if used >= settings.max_labels:
        ended = f"all {settings.max_labels} labels of max_labels are used"
    return RoundValues(
        entry=parameters.entry,
        round=parameters.round,
        simulated_ps=simulated_ps + round_ps,
        round_ps=round_ps,
        looks=sum(leg.looks for leg in legs.values()),
        alarms=sum(leg.alarms for leg in legs.values()),
        rewinds=sum(leg.end == LegEnd.REWOUND.value for leg in legs.values()),
        candidates=sum(one.candidate.has_alarm for one in met),
        frames=tuple(frames),
        labels_used=used,
        ended=ended,
        predictions=_predictions(store, parameters, [one for one, _ in chosen]) if chosen else None,
    )


def _legs(store: Store, parameters: LearningParameters) -> Mapping[int, LegValues]:
    """Return the legs of the round by walker; one that failed is in the ledger and offers nothing."""
    records = {
        walker: store.results.get(parameters.leg_result(walker)) for walker in range(parameters.settings.walkers)
    }
    return {walker: LEGS.read(record) for walker, record in records.items() if record is not None}


def _met(
    store: Store, parameters: LearningParameters, legs: Mapping[int, LegValues], simulated_ps: float
) -> tuple[list[Met], float]:
    """Return what all walkers offer, in the order of their shared time, and how long that is (ps)."""
    met: list[Met] = []
    passed_ps = 0.0
    for walker, leg in sorted(legs.items()):
        for one in read_leg(leg_path(store, parameters, walker)).candidates:
            within_ps = (one.step - leg.first_step) * parameters.settings.timestep_fs / _FS_PER_PS
            met.append(Met(walker, one, simulated_ps + passed_ps + within_ps))
        passed_ps += leg.walked_ps
    return met, passed_ps


def _chosen(
    store: Store, parameters: LearningParameters, met: Sequence[Met], most: int, asked: Sequence[str]
) -> list[tuple[Met, str]]:
    """Return the frames that are labelled, each with the hash of its content: audits first, which measure.

    Then what walkers wait for, then of the alarms those that bring most beside what was asked for before.
    """

    from ...sampling.on_the_fly.thinning import thinned_frames

    audits = [one for one in met if one.is_audit]
    alarms = [one for one in met if one.candidate.has_alarm and one not in audits]
    rewinds = [one for one in alarms if one.candidate.kind is CandidateKind.REWIND][: parameters.settings.batch]
    others = [one for one in alarms if one not in rewinds]
    if others and len(rewinds) < parameters.settings.batch:
        driver = open_driver(store, parameters)
        kernel_known = [*(one.atoms for one in store.configurations.get_many(list(asked)))]
        known = [*kernel_known, *(one.candidate.atoms for one in (*audits, *rewinds))]
        left = parameters.settings.batch - len(rewinds)
        indices = thinned_frames(
            driver.kernel, driver.thresholds, [one.candidate.atoms for one in others], left, asked=known
        )
        others = [others[index] for index in indices]
    else:
        others = []
    found: dict[str, Met] = {}
    for one in (*audits, *rewinds, *others):
        content = structure_hash(one.candidate.atoms)
        # What the campaign has asked for is not asked for again.
        record = store.configurations.get(configuration_identifier(parameters.campaign, content))
        is_own = record is not None and record.origin.parent == parameters.trajectory(one.walker)
        if content not in found and (record is None or is_own):
            found[content] = one
    return [(one, content) for content, one in found.items()][: max(most, 0)]


def _stored(store: Store, parameters: LearningParameters, chosen: Sequence[tuple[Met, str]]) -> list[RoundFrame]:
    frames = []
    for order, (one, _) in enumerate(chosen):
        origin = Origin(
            sampler=parameters.settings.sampler,
            parent=parameters.trajectory(one.walker),
            step=one.candidate.step,
            index=1000 * parameters.round + order,
        )
        record = add_configuration(store, parameters, one.candidate.atoms, origin)
        frames.append(
            RoundFrame(
                configuration=record.id,
                kind=one.candidate.kind.value,
                walker=one.walker,
                step=one.candidate.step,
                time_ps=one.time_ps,
                ratio=one.candidate.ratio if math.isfinite(one.candidate.ratio) else None,
            )
        )
    return frames


def _predictions(store: Store, parameters: LearningParameters, chosen: Sequence[Met]) -> Artefact:
    """Write what the model that drove said of the frames: energies [n] (eV), forces of all atoms in turn (eV/Å)."""
    atoms = [one.candidate.atoms for one in chosen]
    arrays = {
        "energies": np.array([one.get_potential_energy() for one in atoms]),
        "forces": np.concatenate([one.get_forces(apply_constraint=False) for one in atoms]),
    }
    return save_arrays(store, PREDICTIONS_FOLDER, parameters.round_result, arrays)
