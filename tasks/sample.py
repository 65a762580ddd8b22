"""Sampling jobs: molecular dynamics with any calculator, and the selection of what is worth a label."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field

from ..core.files import atomic_file
from ..core.names import ISOLATED_ATOM, MOLECULAR_DYNAMICS, PROPOSED_BY
from ..core.settings import FrozenModel
from ..core.structures import structure_hash
from ..fitting.kinds.registry import MODELS
from ..fitting.models import load_model
from ..sampling.molecular_dynamics import TrajectoryEnd, clear_calculator, may_go_on, record_path, run_langevin
from ..sampling.molecular_dynamics_settings import MolecularDynamicsSettings
from ..sampling.samplers.registry import SamplerSettings
from ..sampling.samplers.sampling import samples
from ..sampling.seen_contacts import ExploringGuard, shortest_distances_A
from ..sampling.selections.base import CommonSelectionSettings
from ..sampling.selections.registry import SelectionSettings
from ..sampling.selections.selecting import SelectionOutcome, select
from ..sampling.trajectory import read_frames
from ..sampling.uncertainty import frame_variances
from ..store.connection import Store
from ..store.identifiers import derive_seed, identifier
from ..store.records import ConfigurationRecord, Origin, TrajectoryRecord
from .base import IonloopTask, Outcome, TaskParameters
from .context import TaskContext
from .label import add_configuration
from .results import new_result
from .values.labels import Portion
from .values.loop import VARIANCES, VarianceValues

SAMPLED = MOLECULAR_DYNAMICS


class DynamicsParameters(TaskParameters):
    """What every job that runs molecular dynamics is told."""

    dynamics: MolecularDynamicsSettings
    seed: int


def trajectory_identifier(campaign: str, generation: int, name: str, system: str | None = None) -> str:
    """Return the identifier of a campaign's trajectory."""
    return identifier("trajectory", campaign, generation, name, *(() if system is None else (system,)))


def run_trajectory(
    context: TaskContext,
    job: DynamicsParameters,
    *,
    name: str,
    atoms: Atoms,
    calculator: Callable[[], Calculator],
    reset_history: Callable[[Calculator], None] = clear_calculator,
    driver: str = "reference",
    replica: int = 0,
) -> TrajectoryRecord:
    """Run a trajectory, or carry it on from its last written frame, and record it once it is done."""
    store = context.store
    record_id = trajectory_identifier(job.campaign, job.generation, name, job.system)
    known = store.trajectories.get(record_id)
    goes_on = known is not None and known.state == "stopped" and may_go_on(TrajectoryEnd.STOPPED, known.reason)
    if known is not None and not goes_on and store.artefacts.is_whole(known.artefact):
        return known
    path = store.artefacts.folder(Path("trajectories")) / f"{record_id}.traj"
    if not path.exists():
        # What is left of a trajectory whose frames are gone says only how that one ended.
        record_path(path).unlink(missing_ok=True)
    start = time.monotonic()
    outcome = run_langevin(
        atoms,
        calculator(),
        job.dynamics,
        path,
        seed=job.seed,
        reset_history=reset_history,
        progress=context.report_progress,
    )
    record = TrajectoryRecord(
        id=record_id,
        campaign=job.campaign,
        generation=job.generation,
        system=job.system,
        driver=driver,
        replica=replica,
        start=name,
        seed=job.seed,
        state=outcome.end.value,
        reason=outcome.reason,
        steps=outcome.steps,
        frames=outcome.frames,
        mean_temperature_K=outcome.mean_temperature_K if outcome.frames > 1 else None,
        artefact=store.artefacts.register(path),
        wall_time_s=time.monotonic() - start,
    )
    store.trajectories.replace(record)
    return record


def is_training(record: ConfigurationRecord) -> bool:
    """Return whether a configuration is one that models are trained on: no isolated atom, and of no audit set."""
    return record.origin.sampler != ISOLATED_ATOM and record.purpose is None


def is_proposed(record: ConfigurationRecord) -> bool:
    """Return whether a configuration was proposed to tell of a property."""
    return record.origin.sampler.startswith(PROPOSED_BY)


def initial_configurations(store: Store, campaign: str, system: str | None) -> list[ConfigurationRecord]:
    """Return the configurations that a system began with: a system that joined later has its own first generation."""
    found = [
        record for record in store.configurations.find({"campaign": campaign, "system": system}) if is_training(record)
    ]
    first = min((record.generation for record in found), default=0)
    return [record for record in found if record.generation == first]


def training_configurations(store: Store, data_set: str) -> list[ConfigurationRecord]:
    """Return the configurations of a data set, in its order; isolated atoms are left out."""
    records = (store.configurations[name] for name in store.data_sets[data_set].configurations)
    return [record for record in records if record.origin.sampler != ISOLATED_ATOM]


class SampleParameters(DynamicsParameters):
    """One replica of a generation's molecular dynamics."""

    model: str
    model_kind: str
    backend: str
    replica: int
    seen_fraction: float = Field(default=0.0, description="As of `ExploringGuard`; jobs of earlier releases have none")
    left_out: ClassVar[frozenset[str]] = DynamicsParameters.left_out | {"seen_fraction"}


class SampleTask(IonloopTask):
    """Run molecular dynamics with the driving model; a trajectory that explodes keeps what came before."""

    _fw_name = "ionloop.sample"
    resumable = True
    parameters_type = SampleParameters

    def execute(self, parameters: SampleParameters, context: TaskContext) -> Outcome:
        """Run the replica from its own starting configuration."""
        store = context.store
        model = store.models[parameters.model]
        start = self._starting_atoms(parameters, context)
        with context.measure("sample"):
            record = run_trajectory(
                context,
                _bounded_by_data(store, parameters, model.data_set, start),
                name=f"replica-{parameters.replica}",
                atoms=start,
                calculator=lambda: load_model(store.artefacts.path(model.path), backend=parameters.backend),
                driver=parameters.model_kind,
                replica=parameters.replica,
            )
        return Outcome(reason=record.reason, outputs={"trajectory": record.id, "frames": record.frames})

    @staticmethod
    def _starting_atoms(parameters: SampleParameters, context: TaskContext) -> Atoms:
        """Return the system's structure for the first replica, one of its initial configurations for the others."""
        store = context.store
        if parameters.replica == 0:
            return store.campaigns[parameters.campaign].structure_of(parameters.system).to_atoms()
        initial = initial_configurations(store, parameters.campaign, parameters.system)
        chosen = derive_seed(parameters.seed, "start") % len(initial)
        return initial[chosen].atoms


def _bounded_by_data(store: Store, parameters: SampleParameters, data_set: str, start: Atoms) -> SampleParameters:
    """Return the parameters with bounds that allow no contact which the driving model was never shown."""
    if not parameters.seen_fraction:
        return parameters
    seen_A = shortest_distances_A([start, *(record.atoms for record in training_configurations(store, data_set))])
    dynamics = parameters.dynamics
    guard = ExploringGuard(**dict(dynamics.guard), seen_fraction=parameters.seen_fraction).bounded(seen_A)
    return parameters.model_copy(update={"dynamics": dynamics.model_copy(update={"guard": guard})})


class SampledRun(FrozenModel):
    """A run of a sampler, whose frames, or so many of them as it offers, may be chosen."""

    trajectory: str
    settings: SamplerSettings
    index: int


class SelectParameters(TaskParameters):
    """The trajectories of a generation and how to choose among their frames.

    ``runs`` says of samplers of the campaign's list what each offers; dynamics of the short form offers every frame.
    """

    trajectories: list[str] = Field(min_length=1)
    runs: list[SampledRun] = Field(default_factory=list)
    write_every: int | None = Field(default=None, description="Of the short form; frames tell their step")
    model: str
    backend: str
    settings: SelectionSettings
    seed: int
    audit: int = Field(default=0, description="Frames that are set aside: labelled, and never trained on")
    portion: Portion | None = Field(default=None, description="Of what proposals leave; nothing: settings.count")
    left_out: ClassVar[frozenset[str]] = TaskParameters.left_out | {"runs", "write_every", "audit", "portion"}


def _offered(path: Path, run: SampledRun | None) -> list[Atoms]:
    """Return the frames of a file that may be chosen; dynamics of the short form offers all but its start."""
    return read_frames(path, start=1) if run is None else samples(run.settings, run.index, path)


@dataclass(frozen=True)
class AuditFrames:
    """Frames of an exploration that are set aside.

    Attributes
    ----------
    chosen
        Their places among the candidates.
    taken
        Places that no longer may be selected: theirs, and those of their neighbours in time.
    reason
        Why there are fewer than asked for, empty if there are not.
    """

    chosen: tuple[int, ...] = ()
    taken: frozenset[int] = frozenset()
    reason: str = ""


def audit_frames(candidates: Sequence[Atoms], existing: Sequence[Atoms], count: int, selected: int) -> AuditFrames:
    """Return frames to be set aside, spread evenly over the candidates: what the exploration visits, as often.

    Not those that are worth most: errors on them shall be those that the next trajectory meets. Frames beside one
    that is set aside are nearly the same and are not selected either, as long as ``selected`` others are left.
    """
    if not count:
        return AuditFrames()
    seen = {structure_hash(atoms) for atoms in existing}
    distinct: list[int] = []
    for place, atoms in enumerate(candidates):
        content = structure_hash(atoms)
        if content not in seen:
            seen.add(content)
            distinct.append(place)
    available = max(0, min(count, len(distinct) - selected))
    chosen = [distinct[(2 * number + 1) * len(distinct) // (2 * available)] for number in range(available)]
    beside = {place + step for place in chosen for step in (-1, 1)} & set(distinct)
    others = set(distinct) - set(chosen)
    spared = beside if len(others - beside) >= selected else set()
    reason = "" if available == count else f"{available} of the {count} frames of the audit set: there are no more"
    return AuditFrames(tuple(chosen), frozenset(chosen) | frozenset(spared), reason)


class SelectTask(IonloopTask):
    """Choose the frames that are worth a label and store them as configurations."""

    _fw_name = "ionloop.select"
    parameters_type = SelectParameters

    def execute(self, parameters: SelectParameters, context: TaskContext) -> Outcome:
        """Select from all replicas' frames, far from what the campaign has."""
        store = context.store
        candidates: list[Atoms] = []
        origins: list[dict[str, Any]] = []
        uncertainties: list[float] = []
        runs = {run.trajectory: run for run in parameters.runs}
        for name in parameters.trajectories:
            record = store.trajectories.get(name)
            if record is None:
                continue
            frames = _offered(store.artefacts.path(record.artefact.path), runs.get(name))
            candidates.extend(frames)
            uncertainties.extend(self._uncertainties(parameters, record, frames, context))
            origins.extend(
                {
                    "sampler": record.sampler or SAMPLED,
                    "parent": record.id,
                    "step": frame.info.get("step"),
                    "seed": record.seed,
                }
                for frame in frames
            )
        existing = [record.atoms for record in self._earlier(parameters, context)]
        aside = audit_frames(candidates, existing, parameters.audit, parameters.settings.count)
        for order, index in enumerate(aside.chosen):
            add_configuration(store, parameters, candidates[index], Origin(index=order, **origins[index]), "audit")
        left = [index for index in range(len(candidates)) if index not in aside.taken]
        settings, proposed = self._settings(parameters, store)
        outcome = SelectionOutcome((), ())
        if settings is not None:
            with context.measure("select"):
                outcome = select(
                    [candidates[index] for index in left],
                    [*existing, *proposed],
                    settings,
                    parameters.seed,
                    uncertainties=[uncertainties[index] for index in left] if uncertainties else None,
                )
        chosen = [left[index] for index in outcome.indices]
        for order, index in enumerate(chosen):
            origin = Origin(index=order, **origins[index])
            add_configuration(store, parameters, candidates[index], origin)
        outputs = {"candidates": len(candidates), "selected": len(chosen)}
        if parameters.audit:
            outputs["audit"] = len(aside.chosen)
        return Outcome(reason="; ".join(filter(None, (outcome.reason, aside.reason))), outputs=outputs)

    @staticmethod
    def _settings(parameters: SelectParameters, store: Store) -> tuple[CommonSelectionSettings | None, list[Atoms]]:
        """Return what to select, None where proposals leave nothing, and the system's proposals of the generation."""
        if parameters.portion is None:
            return parameters.settings, []
        found = [
            record
            for record in store.configurations.find(
                {"campaign": parameters.campaign, "generation": parameters.generation}
            )
            if is_proposed(record)
        ]
        count = parameters.portion.count(len(found))
        own = [record.atoms for record in found if record.system == parameters.system]
        return (parameters.settings.model_copy(update={"count": count}) if count else None), own

    @staticmethod
    def _uncertainties(
        parameters: SelectParameters, record: TrajectoryRecord, frames: list[Atoms], context: TaskContext
    ) -> list[float]:
        """Return the largest predicted variance in each frame and record mean and maximum, where one is predicted."""
        store = context.store
        model = store.models[parameters.model]
        if not frames or not MODELS.get(model.kind_of_model).predicts_variance(parameters.backend):
            return []
        name = identifier("result", VARIANCES.name, record.id, model.id)
        path = store.artefacts.folder(Path("variances")) / f"{name}.npz"
        known = store.results.get(name)
        if known is not None and store.artefacts.is_whole(VARIANCES.read(known).artefact):
            with np.load(path) as arrays:
                return [float(value) for value in arrays["maximum_eV2"]]
        with context.measure("variance"):
            calculator = load_model(store.artefacts.path(model.path), backend=parameters.backend)
            variances = frame_variances(calculator, frames)
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, mean_eV2=variances[:, 0], maximum_eV2=variances[:, 1])
        store.results.replace(
            new_result(
                parameters,
                name,
                VARIANCES,
                model,
                inputs=[record.id],
                values=VarianceValues(
                    frames=len(frames),
                    mean_eV2=float(variances[:, 0].mean()),
                    maximum_eV2=float(variances[:, 1].max()),
                    artefact=store.artefacts.register(path),
                ),
            )
        )
        return [float(value) for value in variances[:, 1]]

    @staticmethod
    def _earlier(parameters: SelectParameters, context: TaskContext) -> list[ConfigurationRecord]:
        """Return the configurations of all earlier generations, isolated atoms left out."""
        found = context.store.configurations.find(
            {"campaign": parameters.campaign, "generation": {"$lt": parameters.generation}}
        )
        return [record for record in found if is_training(record)]
