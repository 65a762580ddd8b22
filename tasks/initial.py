"""Jobs that make the initial configurations: short reference dynamics and lithium distributions."""

from __future__ import annotations

from ase import Atoms
from pydantic import Field

from ..labelling import EngineSettings, make_calculator, reset_history
from ..sampling.lithium_monte_carlo import MonteCarloSettings, sample_distribution
from ..sampling.molecular_dynamics import MolecularDynamicsSettings, read_frames
from ..sampling.relaxation import RelaxationSettings, relax_and_rattle
from ..store.identifiers import derive_seed
from ..store.records import Origin
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext
from .label import add_configuration
from .sample import run_trajectory

INITIAL_DYNAMICS = "initial-molecular-dynamics"
LITHIUM_MONTE_CARLO = "lithium-monte-carlo"


def starting_structure(context: TaskContext, campaign: str) -> Atoms:
    """Return the campaign's structure (the supercell)."""
    return context.store.campaigns[campaign].structure.to_atoms()


class InitialDynamicsParameters(TaskParameters):
    """A short molecular dynamics run with the reference engine, and which frames to keep."""

    engine: EngineSettings
    dynamics: MolecularDynamicsSettings
    count: int = Field(ge=1)
    seed: int


class InitialDynamicsTask(IonloopTask):
    """Run the reference engine's dynamics and keep every n-th frame as a configuration."""

    _fw_name = "ionloop.initial-molecular-dynamics"
    parameters_type = InitialDynamicsParameters

    def execute(self, parameters: InitialDynamicsParameters, context: TaskContext) -> Outcome:
        """Run, or carry on from the last written frame, and store the configurations."""
        atoms = starting_structure(context, parameters.campaign)
        with context.measure("sample"):
            record = run_trajectory(
                context,
                parameters,
                name=INITIAL_DYNAMICS,
                atoms=atoms,
                calculator=lambda: make_calculator(parameters.engine),
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


class LithiumMonteCarloParameters(TaskParameters):
    """One lithium distribution: Monte Carlo over sites, a brief relaxation, a rattle."""

    engine: EngineSettings
    mobile: str
    charges: dict[str, float]
    monte_carlo: MonteCarloSettings
    relaxation: RelaxationSettings
    index: int
    seed: int


class LithiumMonteCarloTask(IonloopTask):
    """Draw one distribution of the mobile ions over framework sites and relax it briefly."""

    _fw_name = "ionloop.lithium-monte-carlo"
    parameters_type = LithiumMonteCarloParameters

    def execute(self, parameters: LithiumMonteCarloParameters, context: TaskContext) -> Outcome:
        """Draw, relax, rattle, store."""
        store = context.store
        known = store.configurations.find(
            {
                "campaign": parameters.campaign,
                "origin.sampler": LITHIUM_MONTE_CARLO,
                "origin.index": parameters.index,
            }
        )
        for configuration in known:
            return Outcome(outputs={"configuration": configuration.id})
        atoms = starting_structure(context, parameters.campaign)
        with context.measure("sample"):
            distribution = sample_distribution(
                atoms,
                parameters.mobile,
                parameters.charges,
                parameters.monte_carlo,
                seed=parameters.seed,
                index=parameters.index,
            )
            relaxed = relax_and_rattle(
                distribution,
                make_calculator(parameters.engine),
                settings=parameters.relaxation,
                seed=derive_seed(parameters.seed, "rattle", parameters.index),
            )
        origin = Origin(sampler=LITHIUM_MONTE_CARLO, seed=parameters.seed, index=parameters.index)
        configuration = add_configuration(store, parameters, relaxed, origin)
        return Outcome(outputs={"configuration": configuration.id})
