"""Jobs that run trajectories again with the polyanions held, and compare diffusivities with those of free ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field

from ...analysis.conductivity.transport_settings import FEWEST_FRAMES as FEWEST_OF_TRANSPORT
from ...analysis.rotation.held import compare_held
from ...analysis.rotation.rotation import FEWEST_FRAMES
from ...analysis.rotation.settings import HeldSettings, PolyanionSettings, RotationSettings
from ...analysis.rotation.walls import OrientationWalls, with_heavy_ligands
from ...analysis.trajectories.reading import Trajectory
from ...core.errors import InputError
from ...store.connection import Store
from ...store.identifiers import identifier
from ...store.records import TrajectoryRecord
from ..base import IonloopTask, JobFailed, Outcome
from ..conductivity import CONDUCTIVITY_KIND, SHORTEST_PART, ConductivityRunParameters, begin_with_shorter
from ..context import TaskContext
from ..initial import starting_structure
from ..of_trajectories.task import Analysed, ReadTrajectories, TrajectoriesParameters, TrajectoriesTask
from ..results import open_potential
from ..sample import run_trajectory
from ..values.rotation import HELD_POLYANIONS


class HeldRunParameters(ConductivityRunParameters):
    """A replica that differs from another one only in what its polyanions may do."""

    anion: PolyanionSettings
    held: HeldSettings

    @property
    def name(self) -> str:
        """What tells this trajectory from all others of the campaign and generation."""
        digest = identifier(
            "run",
            self.potential.identity,
            self.dynamics.model_dump(mode="json"),
            list(self.supercell),
            self.seed,
            self.anion.model_dump(mode="json"),
            self.held.model_dump(mode="json"),
        )
        # Below what is run for conductivities, so that nobody takes them for an exploration.
        temperature = f"{self.dynamics.temperature_K:g}K"
        return f"{CONDUCTIVITY_KIND}/{self.potential.kind}/{temperature}/held-{self.replica}/{digest}"


class HeldRunTask(IonloopTask):
    """Run one long trajectory with held polyanions; one that is killed carries on from its last frame."""

    _fw_name = "ionloop.rotation-held-run"
    resumable = True
    parameters_type = HeldRunParameters

    def execute(self, parameters: HeldRunParameters, context: TaskContext) -> Outcome:
        """Run the replica from the campaign's structure, repeated."""
        begin_with_shorter(context.store, parameters)
        atoms = starting_structure(context, parameters.campaign, parameters.system).repeat(parameters.supercell)
        try:
            atoms, calculator = _held(atoms, open_potential(context.store, parameters.potential), parameters)
        except InputError as error:
            raise JobFailed(str(error)) from error
        with context.measure("sample"):
            record = run_trajectory(
                context,
                parameters,
                name=parameters.name,
                atoms=atoms,
                calculator=lambda: calculator,
                driver=parameters.potential.kind,
                replica=parameters.replica,
            )
        return Outcome(reason=record.reason, outputs={"trajectory": record.id, "frames": record.frames})


def _held(atoms: Atoms, calculator: Calculator, parameters: HeldRunParameters) -> tuple[Atoms, Calculator]:
    if parameters.held.by == "masses":
        return with_heavy_ligands(atoms, parameters.anion, parameters.held.mass_factor), calculator
    return atoms, OrientationWalls(calculator, atoms, parameters.anion, parameters.held)


class HeldParameters(TrajectoriesParameters):
    """Trajectories with the polyanions free and held."""

    settings: RotationSettings
    held_trajectories: tuple[str, ...] = Field(min_length=1, description="which of the trajectories are held ones")
    # Which of those that there were are held follows from what made them.
    not_looked_at: ClassVar[frozenset[str]] = frozenset({"trajectories", "held_trajectories"})


class HeldTask(TrajectoriesTask):
    """Record the diffusivities of both, and what follows."""

    _fw_name = "ionloop.rotation-held"
    parameters_type = HeldParameters
    result_kind = HELD_POLYANIONS
    fewest_frames = max(FEWEST_FRAMES, FEWEST_OF_TRANSPORT)

    def _usable(self, store: Store, parameters: TrajectoriesParameters) -> list[TrajectoryRecord]:
        found = super()._usable(store, parameters)
        # Diffusivities are as good as the shortest trajectory.
        longest = max((one.frames for one in found), default=0) - parameters.skipped_frames
        return [one for one in found if one.frames - parameters.skipped_frames >= SHORTEST_PART * longest]

    def analyse(self, trajectories: Sequence[Trajectory], parameters: HeldParameters, context: TaskContext) -> Analysed:
        """Compare both sides."""
        settings = parameters.settings
        if settings.held is None:
            raise InputError("the settings do not say how polyanions are held")
        records = self._usable(context.store, parameters)
        sides: list[ReadTrajectories] = []
        for is_held, name in ((False, "free"), (True, "held")):
            chosen = [one for one in records if (one.id in parameters.held_trajectories) == is_held]
            if not chosen:
                raise InputError(f"no trajectory with {name} polyanions is there and long enough")
            sides.append(ReadTrajectories(context.store, chosen, parameters.skipped_frames))
        free, held = sides
        found = compare_held(free, held, parameters.mobile, parameters.temperature_K, settings, settings.held)
        return Analysed(dict(found))
