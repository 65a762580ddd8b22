"""A leg of one walker: dynamics with the model of its round."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from ...sampling.on_the_fly.audits import audit_steps
from ...sampling.on_the_fly.leg import LegEnd, LegOutcome, LegRequest, WalkerState, run_leg
from ...sampling.seen_contacts import shortest_distances_A
from ...sampling.trajectory import read_frames
from ...store.connection import Store
from ...store.records import ResultRecord, TrajectoryRecord
from ..base import IonloopTask, Outcome
from ..context import TaskContext
from ..initial import starting_structure
from ..results import known_result, new_result
from ..sample import training_configurations
from ..values.learning import AUDITED, LEGS, LegValues
from .place import LearningParameters, earlier_legs, rounds_before, why_ended
from .states import open_driver

_FS_PER_PS = 1000.0


class LegParameters(LearningParameters):
    """A walker, its seed, which is that of all its legs, and the seed of all audits."""

    walker: int
    seed: int
    audit_seed: int


class LegTask(IonloopTask):
    """Walk a leg; after learning has ended, none."""

    _fw_name = "ionloop.learning-leg"
    parameters_type = LegParameters

    def execute(self, parameters: LegParameters, context: TaskContext) -> Outcome:
        """Walk unless the store has the leg whole."""
        store = context.store
        ended = why_ended(store, parameters, model=parameters.model_round, rounds=parameters.round - 1)
        if ended:
            return Outcome(reason=f"no leg: {ended}")
        known = known_result(store, parameters.leg_result(parameters.walker))
        if known is None:
            with context.measure("sample"):
                known = _walk(parameters, context)
            store.results.replace(known)
        values = LEGS.read(known)
        return Outcome(reason=values.reason, outputs={"leg": known.id, "alarms": values.alarms, "end": values.end})


def leg_path(store: Store, parameters: LearningParameters, walker: int) -> Path:
    """Return the file of a leg's frames; what else it leaves lies beside it."""
    return store.artefacts.path(Path("trajectories") / f"{parameters.trajectory(walker)}.traj")


def state_file(path: Path) -> Path:
    """Return the file that a walker goes on from, beside its frames."""
    return path.with_name(f"{path.name}.json")


def candidates_file(path: Path) -> Path:
    """Return the file of the frames that a leg offers, beside its frames."""
    return path.with_name(f"{path.stem}.candidates.traj")


def _walk(parameters: LegParameters, context: TaskContext) -> ResultRecord:
    store, settings, walker = context.store, parameters.settings, parameters.walker
    store.artefacts.folder("trajectories")
    path = leg_path(store, parameters, walker)
    before = earlier_legs(store, parameters, walker)
    state, leg = None, 0
    if before:
        of_last, last = before[0]
        state = _state(store, last)
        if state is not None and of_last.generation < parameters.generation:
            # The full fit holds all labels: there is nothing to wait for.
            state = replace(state, waits=0)
        leg = last.leg + (last.end != LegEnd.WAITED.value)
    training = training_configurations(store, parameters.data_set)
    driver = open_driver(store, parameters)
    start = time.monotonic()
    outcome = run_leg(
        LegRequest(
            atoms=starting_structure(context, parameters.campaign, parameters.system),
            settings=settings,
            walker=walker,
            seed=parameters.seed,
            calculator=lambda: driver,
            thresholds=driver.thresholds,
            path=path,
            start=state,
            starts=[record.atoms for record in training if record.system == parameters.system],
            audits=_audits(store, parameters, leg),
            seen_A=shortest_distances_A(record.atoms for record in training),
            progress=context.report_progress,
        )
    )
    if outcome.steps:
        record = _trajectory(store, parameters, outcome, path, time.monotonic() - start)
        store.trajectories.replace(record)
    else:
        # A walker that waited has no frames.
        path.unlink(missing_ok=True)
    begins_anew = state is None or outcome.state.life > state.life
    values = LegValues(
        entry=parameters.entry,
        round=parameters.round,
        walker=walker,
        leg=leg,
        first_step=0 if state is None or begins_anew else state.step,
        end=outcome.end.value,
        reason=outcome.reason,
        walked_ps=outcome.steps * settings.timestep_fs / _FS_PER_PS,
        looks=outcome.looks,
        alarms=outcome.alarms,
        highest_ratio=outcome.highest_ratio,
        target_K=outcome.target_K,
        mean_temperature_K=outcome.mean_temperature_K,
        energy_jump_eV_per_atom=outcome.energy_jump_eV_per_atom,
        state=store.artefacts.register(state_file(path)),
        candidates=store.artefacts.register(candidates_file(path)),
    )
    return new_result(parameters, parameters.leg_result(walker), LEGS, values=values, inputs=[parameters.model])


def _audits(store: Store, parameters: LegParameters, leg: int) -> tuple[int, ...]:
    """Return the steps of a leg after which a frame is an audit; a generation that had none ends with one."""
    settings, walker = parameters.settings, parameters.walker
    steps = audit_steps(settings, parameters.audit_seed, leg, walker)
    if steps or walker or parameters.round < settings.rounds:
        return steps
    before = rounds_before(store, parameters, parameters.round)
    of_generation = [values for record, values in before if record.generation == parameters.generation]
    had_one = any(frame.kind == AUDITED for values in of_generation for frame in values.frames)
    return () if had_one else (settings.leg_steps,)


def _state(store: Store, leg: LegValues) -> WalkerState | None:
    """Return where a walker is; None where the file is gone: it begins anew."""
    if not store.artefacts.is_whole(leg.state):
        return None
    document = json.loads(store.artefacts.path(leg.state.path).read_text(encoding="utf-8"))
    return WalkerState.of(document["state"])


def _trajectory(
    store: Store, parameters: LegParameters, outcome: LegOutcome, path: Path, wall_time_s: float
) -> TrajectoryRecord:
    return TrajectoryRecord(
        id=parameters.trajectory(parameters.walker),
        campaign=parameters.campaign,
        generation=parameters.generation,
        system=parameters.system,
        sampler=parameters.settings.sampler,
        driver=parameters.model_kind,
        replica=parameters.walker,
        start=parameters.leg_name(parameters.walker),
        seed=parameters.seed,
        state="stopped" if outcome.end is LegEnd.REWOUND else "completed",
        reason=outcome.reason,
        steps=outcome.steps,
        frames=len(read_frames(path)),
        mean_temperature_K=outcome.mean_temperature_K,
        artefact=store.artefacts.register(path),
        wall_time_s=wall_time_s,
    )
