"""What samplers by molecular dynamics share: Langevin trajectories with any potential."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

import numpy as np
from ase import Atoms
from pydantic import Field

from ...core.citations import Citation
from ..barostat_settings import BarostatSettings
from ..guard import TrajectoryGuard
from ..integrators import CALCULATOR_FAILED
from ..molecular_dynamics import run_langevin
from ..molecular_dynamics_settings import MolecularDynamicsSettings, TemperatureStage, steps_for
from ..seen_contacts import ExploringGuard, shortest_distances_A
from ..trajectory import read_frames
from .base import Count, PotentialSettings, Sampler, SamplerOutcome, SamplerRequest

Temperature = Annotated[float, Field(gt=0, le=20_000)]
Timestep = Annotated[float, Field(gt=0, le=5.0)]
Length = Annotated[float, Field(gt=0, le=100_000)]
Pressure = Annotated[float, Field(ge=-100, le=1000)]

BAOAB = Citation(
    "Langevin integrator", "B. Leimkuhler, C. Matthews, J. Chem. Phys. 2013, 138, 174102", "10.1063/1.4802990"
)
CELL_RESCALING = Citation(
    "Stochastic cell rescaling", "M. Bernetti, G. Bussi, J. Chem. Phys. 2020, 153, 114107", "10.1063/5.0020514"
)
_START_STREAM = 1


class DynamicsSettings(PotentialSettings):
    """What every sampler by molecular dynamics is told."""

    timestep_fs: Timestep = Field(1.0, description="Time step (fs)")
    write_every: int = Field(10, ge=1, le=1_000_000, description="Steps between two frames on disk (number)")
    friction_per_ps: float = Field(10.0, gt=0, le=1000, description="Friction of the Langevin thermostat (1/ps)")
    guard: ExploringGuard = Field(
        default_factory=ExploringGuard, description="Bounds beyond which a trajectory is stopped"
    )


class TrajectorySettings(DynamicsSettings):
    """What samplers by several trajectories are told."""

    replicas: int = Field(
        2,
        ge=1,
        le=1000,
        description="Independent trajectories, of each temperature where there are several; the first one begins with "
        "the crystal, the others with configurations of the training set (number)",
    )
    candidates: Count | None = Field(
        None,
        description="Frames that all trajectories together offer, evenly spaced; nothing: all of them; needed where "
        "they become the first training set (number)",
    )


DynamicsT = TypeVar("DynamicsT", bound=DynamicsSettings)


class TrajectorySampler(Sampler[DynamicsT]):
    """A sampler whose runs are Langevin trajectories; subclasses say how long, how warm and under which pressure."""

    citations: ClassVar[tuple[Citation, ...]] = (BAOAB,)

    @abstractmethod
    def dynamics(self, settings: DynamicsT, index: int) -> MolecularDynamicsSettings:
        """Return what the integrator needs for one run; its guard is set when the run begins."""

    def begins_with_the_crystal(self, settings: DynamicsT, index: int) -> bool:
        """Return whether a run begins with the system's structure, though there are other configurations."""
        return index == 0

    def needs_potential(self, settings: DynamicsT) -> bool:
        """They do."""
        return True

    def evaluations(self, settings: DynamicsT) -> int:
        """Every step is one evaluation, and every trial strain one more."""
        found = 0
        for index in range(self.runs(settings)):
            dynamics = self.dynamics(settings, index)
            strains = dynamics.steps // dynamics.barostat.every if dynamics.pressure_GPa is not None else 0
            found += dynamics.steps + strains
        return found

    def sample(self, request: SamplerRequest[DynamicsT]) -> SamplerOutcome:
        """Run the trajectory, or carry it on from its last frame."""
        start = self._start(request)
        settings = self.dynamics(request.settings, request.index)
        guard = self._guard(request, start)
        outcome = run_langevin(
            start,
            request.open_calculator(),
            settings.model_copy(update={"guard": guard}),
            request.path,
            seed=request.seed,
            reset_history=request.reset_history,
            progress=request.progress,
        )
        return SamplerOutcome(
            end=outcome.end,
            frames=outcome.frames,
            reason=outcome.reason,
            steps=outcome.steps,
            mean_temperature_K=outcome.mean_temperature_K if outcome.frames > 1 else None,
        )

    def read(self, path: Path) -> list[Atoms]:
        """Return the frames after the first, which is where the run began."""
        return read_frames(path, start=1)

    def stopped_can_go_on(self, reason: str) -> bool:
        """An engine that was killed may have more time now."""
        return CALCULATOR_FAILED in reason

    def _start(self, request: SamplerRequest[DynamicsT]) -> Atoms:
        if not request.starts or self.begins_with_the_crystal(request.settings, request.index):
            return request.atoms
        random = np.random.default_rng(np.random.SeedSequence(request.seed, spawn_key=(_START_STREAM,)))
        return request.starts[int(random.integers(len(request.starts)))]

    def _guard(self, request: SamplerRequest[DynamicsT], start: Atoms) -> TrajectoryGuard:
        seen = dict(request.seen_A)
        if seen:
            # Where a trajectory begins was chosen, not run into.
            for pair, distance in shortest_distances_A([start]).items():
                seen[pair] = min(distance, seen.get(pair, distance))
        return request.settings.guard.bounded(seen)

    def _langevin(
        self,
        settings: DynamicsT,
        temperature_K: float,
        steps: int,
        *,
        schedule: tuple[TemperatureStage, ...] = (),
        pressure_GPa: float | None = None,
        barostat: BarostatSettings | None = None,
    ) -> MolecularDynamicsSettings:
        return MolecularDynamicsSettings(
            temperature_K=temperature_K,
            timestep_fs=settings.timestep_fs,
            steps=steps,
            write_every=settings.write_every,
            friction_per_ps=settings.friction_per_ps,
            schedule=schedule,
            pressure_GPa=pressure_GPa,
            barostat=barostat or BarostatSettings(),
        )


TrajectoryT = TypeVar("TrajectoryT", bound=TrajectorySettings)


class ReplicaSampler(TrajectorySampler[TrajectoryT]):
    """A sampler by replicas of one trajectory, or of one at each of several temperatures."""

    def variants(self, settings: TrajectoryT) -> int:
        """Return how many different trajectories there are, each with its replicas."""
        return 1

    def runs(self, settings: TrajectoryT) -> int:
        """Replicas of each variant."""
        return self.variants(settings) * settings.replicas

    def variant(self, settings: TrajectoryT, index: int) -> int:
        """Return which variant a run is of: all replicas of the first come first."""
        return index // settings.replicas

    def begins_with_the_crystal(self, settings: TrajectoryT, index: int) -> bool:
        """The first replica of every variant does."""
        return index % settings.replicas == 0

    def frames(self, settings: TrajectoryT) -> int:
        """As many as are asked for, or are written."""
        written = sum(
            (one := self.dynamics(settings, index)).steps // one.write_every for index in range(self.runs(settings))
        )
        return written if settings.candidates is None else min(written, settings.candidates)

    def says_how_many(self, settings: TrajectoryT) -> bool:
        """Only where candidates are given."""
        return settings.candidates is not None

    def _steps(self, settings: TrajectoryT, length_ps: float) -> int:
        return steps_for(length_ps, settings.timestep_fs, settings.write_every)

    def _integrator_words(self, settings: TrajectoryT) -> str:
        return (
            f"BAOAB Langevin integrator, time step {settings.timestep_fs:g} fs, friction "
            f"{settings.friction_per_ps:g} 1/ps"
        )


def number_of(count: int, noun: str, plural: str = "") -> str:
    """Return "1 trajectory", "2 trajectories"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def pressure_words(pressure_GPa: float | None, cell: str = "isotropic") -> str:
    """Return what a methods text says of a pressure: nothing at constant volume."""
    if pressure_GPa is None:
        return ""
    return f" and {pressure_GPa:g} GPa ({cell} stochastic cell rescaling, accepted by Metropolis' rule)"
