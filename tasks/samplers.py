"""Jobs of samplers of any kind: what their runs share, and the runs, whose frames are a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field

from ..core.files import atomic_file
from ..fitting.models import load_model
from ..labelling.calculator import reset_history
from ..sampling.molecular_dynamics import TrajectoryEnd, record_path
from ..sampling.samplers.base import SamplerOutcome, SamplerRequest
from ..sampling.samplers.registry import SamplerSettings, sampler_of
from ..sampling.samplers.sampling import may_go_on, prepare, sample, samples
from ..sampling.seen_contacts import shortest_distances_A
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import Origin, TrajectoryRecord
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext
from .initial import starting_structure
from .label import add_configuration
from .results import Potential, open_potential
from .sample import training_configurations, trajectory_identifier

NO_POTENTIAL = "none"
"""In place of a driver: nothing was evaluated."""

Role = Literal["initial", "explore"]


def run_name(role: Role, entry: int, sampler: str, index: int | None = None) -> str:
    """Return the name of a run within the generation of its system; without an index what all of an entry share."""
    return "-".join(str(part) for part in (role, entry, sampler, index) if part is not None)


class SamplerPotential(Potential):
    """A potential that may also be a model in a folder outside the store."""

    folder: str | None = Field(default=None, description="folder of a model, relative to that of the campaign file")


class SamplerParameters(TaskParameters):
    """An entry of the campaign's list of samplers and what its runs need."""

    role: Role
    entry: int
    settings: SamplerSettings
    seed: int
    potential: SamplerPotential | None = None
    mobile: str = ""
    charges: dict[str, float] = Field(default_factory=dict)

    @property
    def entry_name(self) -> str:
        """What the names of its runs begin with."""
        return run_name(self.role, self.entry, self.settings.sampler)

    def shared_path(self, store: Store) -> Path:
        """Return the file that holds what its runs share."""
        name = identifier("shared", self.campaign, self.generation, self.entry_name, *self.of_system)
        return store.artefacts.folder("shared") / f"{name}.traj"


class PrepareSamplerTask(IonloopTask):
    """Make what all runs of a sampler share."""

    _fw_name = "ionloop.prepare-sampler"
    parameters_type = SamplerParameters

    def execute(self, parameters: SamplerParameters, context: TaskContext) -> Outcome:
        """Make it unless the file is there; it is written whole or not at all."""

        from ase.io import write

        path = parameters.shared_path(context.store)
        if not path.exists():
            with context.measure("sample"):
                frames = prepare(
                    SamplerRequest(
                        atoms=starting_structure(context, parameters.campaign, parameters.system),
                        settings=parameters.settings,
                        index=0,
                        seed=parameters.seed,
                        path=path,
                        mobile=parameters.mobile,
                        charges=parameters.charges,
                    )
                )
            with atomic_file(path) as temporary:
                write(temporary, frames, format="traj")
        return Outcome(outputs={"shared": path.name})


class RunParameters(SamplerParameters):
    """One run of a sampler; its potential, if it is a model, was fitted to the data set."""

    index: int
    data_set: str | None = None

    @property
    def name(self) -> str:
        """Its name within the generation of its system."""
        return run_name(self.role, self.entry, self.settings.sampler, self.index)

    @property
    def trajectory(self) -> str:
        """Identifier of the record that it leaves."""
        return trajectory_identifier(self.campaign, self.generation, self.name, self.system)


class RunSamplerTask(IonloopTask):
    """Make one run of a sampler; frames of an initial one become configurations."""

    _fw_name = "ionloop.run-sampler"
    resumable = True
    parameters_type = RunParameters

    def execute(self, parameters: RunParameters, context: TaskContext) -> Outcome:
        """Make the run, or carry it on from what it left."""
        store = context.store
        record = _known(store, parameters)
        if record is None:
            record = _run(parameters, context)
            store.trajectories.replace(record)
        outputs = {"trajectory": record.id, "frames": record.frames}
        if parameters.role == "initial":
            outputs["configurations"] = _store_configurations(store, parameters, record)
        return Outcome(reason=record.reason, outputs=outputs)


def _known(store: Store, parameters: RunParameters) -> TrajectoryRecord | None:
    """Return the record of a run that is done, None where there is more to do."""
    known = store.trajectories.get(parameters.trajectory)
    if known is None or not store.artefacts.is_whole(known.artefact):
        return None
    outcome = SamplerOutcome(TrajectoryEnd(known.state), known.frames, known.reason)
    return None if may_go_on(parameters.settings, outcome) else known


def _run(parameters: RunParameters, context: TaskContext) -> TrajectoryRecord:
    store = context.store
    path = store.artefacts.folder(Path("trajectories")) / f"{parameters.trajectory}.traj"
    if not path.exists():
        # What is left of a trajectory whose frames are gone says only how that one ended.
        record_path(path).unlink(missing_ok=True)
    potential = parameters.potential
    is_model = potential is not None and potential.model is not None
    training = [] if parameters.data_set is None else training_configurations(store, parameters.data_set)
    start = time.monotonic()
    with context.measure("sample"):
        outcome = sample(
            SamplerRequest(
                atoms=starting_structure(context, parameters.campaign, parameters.system),
                settings=parameters.settings,
                index=parameters.index,
                seed=parameters.seed,
                path=path,
                starts=[record.atoms for record in training if record.system == parameters.system],
                shared=_shared(store, parameters),
                calculator=None if potential is None else lambda: _calculator(store, parameters.campaign, potential),
                reset_history=reset_history,
                mobile=parameters.mobile,
                charges=parameters.charges,
                seen_A=shortest_distances_A(record.atoms for record in training) if is_model else {},
                progress=context.report_progress,
            )
        )
    return TrajectoryRecord(
        id=parameters.trajectory,
        campaign=parameters.campaign,
        generation=parameters.generation,
        system=parameters.system,
        sampler=parameters.settings.sampler,
        driver=NO_POTENTIAL if potential is None else potential.kind,
        replica=parameters.index,
        start=parameters.name,
        seed=parameters.seed,
        state=outcome.end.value,
        reason=outcome.reason,
        steps=outcome.steps,
        frames=outcome.frames,
        mean_temperature_K=outcome.mean_temperature_K,
        artefact=store.artefacts.register(path),
        wall_time_s=time.monotonic() - start,
    )


def _shared(store: Store, parameters: RunParameters) -> list[Atoms]:
    from ase.io import read

    if not sampler_of(parameters.settings).prepares:
        return []
    path = parameters.shared_path(store)
    if not path.exists():
        raise JobFailed("what its runs share was not made")
    frames = read(path, index=":")
    assert isinstance(frames, list)
    return frames


def _calculator(store: Store, campaign: str, potential: SamplerPotential) -> Calculator:
    if potential.folder is None:
        return open_potential(store, potential)
    return load_model(Path(store.campaigns[campaign].file).parent / potential.folder)


def _store_configurations(store: Store, parameters: RunParameters, record: TrajectoryRecord) -> int:
    frames = samples(parameters.settings, parameters.index, store.artefacts.path(record.artefact.path))
    if not frames:
        raise JobFailed(f"the sampler {parameters.settings.sampler} gave no configuration: {record.reason}")
    for index, frame in enumerate(frames):
        origin = Origin(
            sampler=parameters.settings.sampler,
            parent=record.id,
            step=frame.info.get("step"),
            seed=parameters.seed,
            index=index,
        )
        add_configuration(store, parameters, frame, origin)
    return len(frames)
