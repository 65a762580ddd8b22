"""The model of a round: labels join it in place, and audits say how wrong the one was that drove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.names import FEWEST_AUDITS
from ...core.states import State
from ...sampling.on_the_fly.errors import FEWEST_FRAMES, Audited, FrameError, audited_errors
from ...store.connection import Store
from ..base import IonloopTask, Outcome
from ..context import TaskContext
from ..label import label_identifier
from ..results import Potential, known_result, load_arrays, new_result
from ..values import learning as values_of
from ..values.learning import (
    AUDITED,
    ROUNDS,
    UPDATES,
    AuditedError,
    RoundFrame,
    RoundValues,
    UpdateValues,
)
from .place import FIRST_MODEL, LAG, LearningParameters, rounds_before, updates_until, why_ended
from .states import begin, forget, join, keep, made_again

if TYPE_CHECKING:
    from ...fitting.online.in_place import InPlaceModel


class UpdateTask(IonloopTask):
    """Make the model of a round: the generation's fit, or the model of the round before with the labels there are."""

    _fw_name = "ionloop.learning-update"
    parameters_type = LearningParameters

    def execute(self, parameters: LearningParameters, context: TaskContext) -> Outcome:
        """Make it unless the store knows what became of it."""
        store = context.store
        known = known_result(store, parameters.update_result)
        if known is None:
            is_first = parameters.round == FIRST_MODEL
            with context.measure("fit"):
                values = _first(store, parameters) if is_first else _updated(store, parameters)
            known = new_result(
                parameters,
                parameters.update_result,
                UPDATES,
                Potential(kind=parameters.model_kind, model=parameters.model),
                values=values,
                inputs=[one.label for one in values.frames],
            )
            store.results.replace(known)
        over = parameters.round >= parameters.settings.rounds + LAG
        # Walkers of the round before may still walk with its model.
        forget(store, parameters, parameters.round + 1 if over else parameters.round - 1)
        values = UPDATES.read(known)
        told = "; ".join(filter(None, (values.problem, values.ended)))
        return Outcome(reason=told, outputs={"update": known.id, "labels": len(values.frames), "joined": values.joined})


def _first(store: Store, parameters: LearningParameters) -> UpdateValues:
    model = begin(store, parameters)
    keep(model, parameters.state_path(store, parameters.round))
    return _values(store, parameters, thresholds=dict(model.thresholds))


def _values(store: Store, parameters: LearningParameters, **found: object) -> UpdateValues:
    return UpdateValues.model_validate(
        {
            "entry": parameters.entry,
            "round": parameters.round,
            "labels_at_begin": len(store.data_sets[parameters.data_set].labels),
            "force_tolerance_eV_per_A": parameters.settings.force_tolerance_eV_per_A,
            "max_labels": parameters.settings.max_labels,
            **found,
        }
    )


def _updated(store: Store, parameters: LearningParameters) -> UpdateValues:
    """Return what the labels of the round before the last say, and what joined."""
    updates = updates_until(store, parameters, parameters.round - 1)
    before = updates[-1] if updates else _values(store, parameters)
    source = parameters.model_copy(update={"round": parameters.round - LAG})
    ended = why_ended(store, source, model=parameters.round - 1, rounds=source.round)
    record = store.results.get(source.round_result)
    labelled = [] if record is None else _labelled(store, parameters, ROUNDS.read(record))
    asked = 0 if record is None else len(ROUNDS.read(record).frames)
    goes_on = parameters.round <= parameters.settings.rounds and not ended
    joining = [one for one in labelled if goes_on and _joins(one, parameters)]
    joined, problem = None, ""
    thresholds = before.thresholds
    if goes_on:
        model = _model_before(store, parameters)
        joined, problem = join(store, model, [one.label for one in joining])
        keep(model, parameters.state_path(store, parameters.round))
        thresholds = dict(model.thresholds)
    are_in = set() if problem else {one.label for one in joining}
    values = _values(
        store,
        parameters,
        frames=tuple(_frame(one, joined=one.label in are_in) for one in labelled),
        missing=asked - len(labelled),
        joined=before.joined + len(are_in),
        labels=before.labels + len(labelled),
        points_joined={} if joined is None else dict(joined.points),
        at_cap=() if joined is None else joined.at_cap,
        thresholds=thresholds,
        audited=_audited(store, parameters, labelled),
        problem=problem,
    )
    return values.model_copy(update={"ended": ended or _end(values)})


def _model_before(store: Store, parameters: LearningParameters) -> InPlaceModel:
    from ...fitting.online.in_place import InPlaceModel

    before = parameters.round - 1
    path = parameters.state_path(store, before)
    return InPlaceModel.load(path) if path.exists() else made_again(store, parameters, before)


def _end(values: UpdateValues) -> str:
    """Return why learning ends with this update, empty where it goes on."""
    if values.is_within_tolerance and values.audited is not None:
        return (
            f"the force error of {values.audited.audits} audits is below {values.force_tolerance_eV_per_A:g} eV/Å: "
            f"{values.audited.force_rmse_eV_per_A:.3g}, at most {values.audited.force_high_eV_per_A:.3g} (95 %)"
        )
    if values.labels >= values.labels_at_begin > 0:
        return f"the data have doubled: {values.labels} new labels beside {values.labels_at_begin}"
    return ""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A frame of a round whose label is there, and how wrong the model that drove was about it."""

    frame: RoundFrame
    label: str
    error: FrameError


def _joins(one: Labelled, parameters: LearningParameters) -> bool:
    """Return whether a label joins in place: an alarm sounded, or the model was wrong."""
    ratio = one.frame.ratio
    alarm = one.frame.kind != AUDITED or (ratio is not None and ratio > 1.0)
    return alarm or one.error.force_rmse_eV_per_A > parameters.settings.force_tolerance_eV_per_A


def _labelled(store: Store, parameters: LearningParameters, values: RoundValues) -> list[Labelled]:
    """Return the frames of a round whose labels finished."""
    if values.predictions is None:
        return []
    arrays = load_arrays(store, values.predictions)
    configurations = store.configurations.get_many([one.configuration for one in values.frames])
    found = []
    start = 0
    for frame, configuration, energy in zip(values.frames, configurations, arrays["energies"].tolist(), strict=True):
        symbols = tuple(configuration.atoms.get_chemical_symbols())
        forces = arrays["forces"][start : start + len(symbols)]
        start += len(symbols)
        label = store.labels.get(label_identifier(configuration.content_hash, parameters.engine))
        if label is None or label.state is not State.FINISHED or label.energy is None or label.forces is None:
            continue
        error = FrameError(
            symbols=symbols,
            forces_eV_per_A=forces - np.array(label.forces),
            energy_eV_per_atom=(energy - label.energy) / len(symbols),
            is_audit=frame.kind == AUDITED,
            ratio=float("inf") if frame.ratio is None else frame.ratio,
        )
        found.append(Labelled(frame, label.id, error))
    return found


def _frame(one: Labelled, *, joined: bool) -> values_of.FrameError:
    symbols = np.array(one.error.symbols)
    squares = one.error.forces_eV_per_A**2
    return values_of.FrameError(
        configuration=one.frame.configuration,
        label=one.label,
        kind=one.frame.kind,
        time_ps=one.frame.time_ps,
        ratio=one.frame.ratio,
        force_rmse_eV_per_A=one.error.force_rmse_eV_per_A,
        force_rmse_by_element_eV_per_A={
            symbol: float(np.sqrt(squares[symbols == symbol].mean())) for symbol in sorted(set(one.error.symbols))
        },
        largest_force_error_eV_per_A=one.error.largest_eV_per_A,
        energy_error_eV_per_atom=one.error.energy_eV_per_atom,
        joined=joined,
    )


def _audited(store: Store, parameters: LearningParameters, newest: Sequence[Labelled]) -> AuditedError | None:
    """Return what the audits of this generation say, with the last ones before it where these are too few."""
    rounds = rounds_before(store, parameters, parameters.round - LAG)
    audits = [one.error for one in newest if one.error.is_audit]
    for record, values in reversed(rounds):
        if record.generation < parameters.generation and len(audits) >= FEWEST_AUDITS:
            break
        of_round = [one.error for one in _labelled(store, parameters, values) if one.error.is_audit]
        audits = [*of_round, *audits]
    return audited_error(audited_errors(audits)) if len(audits) >= FEWEST_FRAMES else None


def audited_error(found: Audited) -> AuditedError:
    """Return what audits say as records hold it."""
    return AuditedError(
        audits=found.forces.frames,
        force_rmse_eV_per_A=found.forces.rmse,
        force_low_eV_per_A=found.forces.low,
        force_high_eV_per_A=found.forces.high,
        energy_rmse_eV_per_atom=found.energies.rmse,
        energy_low_eV_per_atom=found.energies.low,
        energy_high_eV_per_atom=found.energies.high,
        force_by_element_eV_per_A={element: (one.rmse, one.low, one.high) for element, one in found.by_element.items()},
    )
