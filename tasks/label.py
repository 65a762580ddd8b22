"""Labelling jobs: one configuration, one reference engine, one label record."""

from __future__ import annotations

from typing import Literal

from ase import Atoms

from ..core.names import ISOLATED_ATOM
from ..core.processes import host_name
from ..core.states import State
from ..core.structures import structure_hash
from ..labelling.outcome import LabelOutcome, numbers_of
from ..labelling.registry import EngineSettings, engine_of
from ..labelling.runner import isolated_atom_energy, label
from ..labelling.settings import settings_hash
from ..labelling.versions import version_counts
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import ConfigurationRecord, LabelRecord, Origin, Structure
from ..store.reference_guard import check_version_here
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext, engine_of_today


def label_identifier(content_hash: str, engine: EngineSettings) -> str:
    """Return the identifier of the label of that content by that engine: the same in every campaign."""
    return identifier("label", content_hash, settings_hash(engine))


def configuration_identifier(campaign: str, content_hash: str) -> str:
    """Return the identifier of that content within a campaign."""
    return identifier("config", campaign, content_hash)


def add_configuration(
    store: Store, place: TaskParameters, atoms: Atoms, origin: Origin, purpose: Literal["audit"] | None = None
) -> ConfigurationRecord:
    """Store ``atoms`` as a configuration of the campaign and generation of ``place``."""
    content_hash = structure_hash(atoms)
    return store.configurations.add(
        ConfigurationRecord(
            id=configuration_identifier(place.campaign, content_hash),
            campaign=place.campaign,
            generation=place.generation,
            structure=Structure.from_atoms(atoms),
            formula=atoms.get_chemical_formula(),
            origin=origin,
            content_hash=content_hash,
            system=place.system,
            purpose=purpose,
        )
    )


def _label_record(
    place: TaskParameters, configuration: ConfigurationRecord, engine: EngineSettings, outcome: LabelOutcome
) -> LabelRecord:
    return LabelRecord(
        id=label_identifier(configuration.content_hash, engine),
        campaign=place.campaign,
        generation=place.generation,
        content_hash=configuration.content_hash,
        configuration=configuration.id,
        engine=engine.engine,
        engine_version=outcome.engine_version,
        settings_hash=settings_hash(engine),
        state=outcome.state,
        reason=outcome.reason,
        **numbers_of(outcome.evaluation),
        wall_time_s=outcome.wall_time_s,
        attempts=[attempt.model_dump(mode="json") for attempt in outcome.attempts],
        host=host_name(),
    )


class LabelParameters(TaskParameters):
    """A configuration and the engine that labels it."""

    configuration: str
    engine: EngineSettings
    retry: int = 0


def _check_version(
    store: Store, parameters: LabelParameters | IsolatedAtomParameters, known: LabelRecord | None
) -> None:
    """Refuse to compute, or to take over, a label of another version than the campaign's where that counts."""
    engine = parameters.engine
    if version_counts(engine.engine):
        finished = known if known is not None and known.state is State.FINISHED else None
        here = engine_of(engine).version(engine)
        check_version_here(store, parameters.campaign, engine, settings_hash(engine), here, finished)


class LabelTask(IonloopTask):
    """Label one configuration; a failed label is a record with a state and a reason, not a failed job."""

    _fw_name = "ionloop.label"
    parameters_type = LabelParameters

    def execute(self, parameters: LabelParameters, context: TaskContext) -> Outcome:
        """Compute the label unless the store has it."""
        configuration = context.store.configurations[parameters.configuration]
        name = label_identifier(configuration.content_hash, parameters.engine)
        known = context.store.labels.get(name)
        _check_version(context.store, parameters, known)
        if known is None or (known.state is not State.FINISHED and _is_to_be_tried(known, parameters)):
            # What another campaign ended in is no answer here: its limits may have been others.
            attempt = parameters.retry if known is None else max(parameters.retry, known.retries)
            engine = engine_of_today(context.store, parameters.campaign, parameters.engine)
            with context.measure("label"):
                outcome = label(configuration.atoms, engine, context.scratch(f"{name}-{attempt}"))
            known = _label_record(parameters, configuration, parameters.engine, outcome)
            known = known.model_copy(update={"retries": attempt})
            context.store.labels.replace(known)
        return Outcome(state=known.state, reason=known.reason, outputs={"label": known.id})


def _is_to_be_tried(known: LabelRecord, parameters: LabelParameters) -> bool:
    """Return whether a label that did not finish is to be computed: for another campaign, or once more."""
    return known.campaign != parameters.campaign or known.retries < parameters.retry


class IsolatedAtomParameters(TaskParameters):
    """A species and the engine."""

    species: str
    engine: EngineSettings


class IsolatedAtomTask(IonloopTask):
    """Compute the energy of one isolated atom; without it no model can be fitted, so it must succeed."""

    _fw_name = "ionloop.isolated-atom"
    parameters_type = IsolatedAtomParameters

    def execute(self, parameters: IsolatedAtomParameters, context: TaskContext) -> Outcome:
        """Compute the energy unless the store has it."""
        atom = Atoms(parameters.species)
        configuration = add_configuration(context.store, parameters, atom, Origin(sampler=ISOLATED_ATOM))
        name = label_identifier(configuration.content_hash, parameters.engine)
        known = context.store.labels.get(name)
        _check_version(context.store, parameters, known)
        if known is None or known.state is not State.FINISHED:
            engine = engine_of_today(context.store, parameters.campaign, parameters.engine)
            with context.measure("label"):
                outcome = isolated_atom_energy(parameters.species, engine, context.scratch(name))
            known = _label_record(parameters, configuration, parameters.engine, outcome)
            context.store.labels.replace(known)
        if known.state is not State.FINISHED:
            raise JobFailed(f"isolated {parameters.species} atom: {known.reason}", known.state)
        return Outcome(outputs={"label": known.id})
