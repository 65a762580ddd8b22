"""Jobs that make the initial configurations: short reference dynamics and lithium distributions."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from pydantic import Field

from ..core.files import atomic_file
from ..labelling.calculator import make_calculator, reset_history
from ..labelling.registry import EngineSettings
from ..sampling.lithium_monte_carlo import sample_distributions
from ..sampling.lithium_monte_carlo_settings import MonteCarloSettings
from ..sampling.relaxation import relax_and_rattle
from ..sampling.relaxation_settings import RelaxationSettings
from ..sampling.trajectory import read_frames
from ..store.identifiers import identifier
from ..store.records import Origin
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext, engine_of_today
from .label import add_configuration
from .sample import DynamicsParameters, run_trajectory

INITIAL_DYNAMICS = "initial-molecular-dynamics"
LITHIUM_MONTE_CARLO = "lithium-monte-carlo"


def starting_structure(context: TaskContext, campaign: str, system: str | None = None) -> Atoms:
    """Return the structure (the supercell) of the campaign's system of that name, None: of the only one."""
    return context.store.campaigns[campaign].structure_of(system).to_atoms()


class InitialDynamicsParameters(DynamicsParameters):
    """A short molecular dynamics run with the reference engine, and which frames to keep."""

    engine: EngineSettings
    count: int = Field(ge=1)


class InitialDynamicsTask(IonloopTask):
    """Run the reference engine's dynamics and keep every n-th frame as a configuration."""

    _fw_name = "ionloop.initial-molecular-dynamics"
    resumable = True
    parameters_type = InitialDynamicsParameters

    def execute(self, parameters: InitialDynamicsParameters, context: TaskContext) -> Outcome:
        """Run, or carry on from the last written frame, and store the configurations."""
        atoms = starting_structure(context, parameters.campaign, parameters.system)
        with context.measure("sample"):
            record = run_trajectory(
                context,
                parameters,
                name=INITIAL_DYNAMICS,
                atoms=atoms,
                calculator=lambda: make_calculator(
                    engine_of_today(context.store, parameters.campaign, parameters.engine)
                ),
                reset_history=reset_history,
            )
        # The first frame is the starting structure itself: it is not a sample.
        frames = read_frames(context.store.artefacts.path(record.artefact.path), start=1)[: parameters.count]
        if not frames:
            raise JobFailed(f"the initial molecular dynamics gave no configuration: {record.reason}")
        for index, frame in enumerate(frames):
            origin = Origin(
                sampler=INITIAL_DYNAMICS,
                parent=record.id,
                step=(index + 1) * parameters.dynamics.write_every,
                seed=parameters.seed,
                index=index,
            )
            add_configuration(context.store, parameters, frame, origin)
        return Outcome(reason=record.reason, outputs={"trajectory": record.id, "configurations": len(frames)})


class LithiumDistributionsParameters(TaskParameters):
    """Monte Carlo of the mobile ions over crystal and framework sites."""

    mobile: str
    charges: dict[str, float]
    monte_carlo: MonteCarloSettings
    seed: int


def distributions_path(context: TaskContext, parameters: TaskParameters) -> Path:
    """Return the file that holds the lithium distributions of a job's system before they are relaxed."""
    name = identifier("distributions", parameters.campaign, *parameters.of_system)
    return context.store.artefacts.folder("distributions") / f"{name}.traj"


class LithiumDistributionsTask(IonloopTask):
    """Draw all distributions of the mobile ions: seconds of work that the relaxations then share out."""

    _fw_name = "ionloop.lithium-distributions"
    parameters_type = LithiumDistributionsParameters

    def execute(self, parameters: LithiumDistributionsParameters, context: TaskContext) -> Outcome:
        """Draw them unless the file is there; it is written whole or not at all."""

        from ase.io import write

        path = distributions_path(context, parameters)
        if not path.exists():
            with context.measure("sample"):
                drawn = sample_distributions(
                    starting_structure(context, parameters.campaign, parameters.system),
                    parameters.mobile,
                    parameters.charges,
                    parameters.monte_carlo,
                    seed=parameters.seed,
                )
            with atomic_file(path) as temporary:
                write(temporary, drawn, format="traj")
        return Outcome(outputs={"distributions": str(path.name)})


class RelaxDistributionParameters(TaskParameters):
    """One lithium distribution: a brief relaxation with the reference engine, then a rattle."""

    engine: EngineSettings
    relaxation: RelaxationSettings
    index: int
    seed: int


class RelaxDistributionTask(IonloopTask):
    """Relax one distribution briefly, rattle it and store it as a configuration."""

    _fw_name = "ionloop.relax-distribution"
    parameters_type = RelaxDistributionParameters

    def execute(self, parameters: RelaxDistributionParameters, context: TaskContext) -> Outcome:
        """Relax unless the campaign has the configuration."""

        from ase.io import read

        store = context.store
        filters = {
            "campaign": parameters.campaign,
            "origin.sampler": LITHIUM_MONTE_CARLO,
            "origin.index": parameters.index,
            "system": parameters.system,
        }
        for known in store.configurations.find(filters):
            return Outcome(outputs={"configuration": known.id})
        path = distributions_path(context, parameters)
        if not path.exists():
            raise JobFailed("its lithium distribution was not drawn")
        with context.measure("sample"):
            relaxed = relax_and_rattle(
                read(path, index=parameters.index),
                make_calculator(engine_of_today(context.store, parameters.campaign, parameters.engine)),
                settings=parameters.relaxation,
                seed=parameters.seed,
            )
        origin = Origin(sampler=LITHIUM_MONTE_CARLO, seed=parameters.seed, index=parameters.index)
        configuration = add_configuration(store, parameters, relaxed, origin)
        return Outcome(outputs={"configuration": configuration.id})
