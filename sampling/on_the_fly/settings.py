"""What learning on the fly is told, and the kind of sampler that it is."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...core.citations import Citation
from ...core.errors import InputError
from ..molecular_dynamics_settings import MolecularDynamicsSettings, TemperatureStage, steps_for
from ..samplers.base import CommonSamplerSettings, Count, Sampler, SamplerOutcome, SamplerRequest
from ..samplers.trajectories import BAOAB, Length, Temperature, Timestep
from ..seen_contacts import ExploringGuard

RAMP_START_K = 300.0
SGPR = Citation(
    "Learning on the fly with a sparse Gaussian process",
    "A. Hajibabaei, K. S. Kim, J. Phys. Chem. Lett. 2021, 12, 8115",
    "10.1021/acs.jpclett.1c01605",
)
_FS_PER_PS = 1000.0


class OnTheFlySettings(CommonSamplerSettings):
    """Walkers that are driven by the model that learns from them."""

    kind: Literal["on-the-fly"] = Field("on-the-fly", description="Dynamics that learns while it explores (name)")
    walkers: int = Field(4, ge=1, le=1000, description="Walkers side by side (number)")
    temperatures_K: Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=1000)] = Field(
        (600.0,), description="Temperature of each walker, from the first again where there are fewer (K)"
    )
    ramp_ps: float = Field(
        0.0,
        ge=0,
        le=100_000,
        description="Simulated time in which each walker is heated evenly from 300 K to its temperature; 0: it begins "
        "there (ps)",
    )
    length_ps: Length = Field(10.0, description="Simulated time of each walker in a generation, at most (ps)")
    leg_ps: Length = Field(
        0.5,
        description="Simulated time of a walker with one state of the model, after which candidates are chosen (ps)",
    )
    timestep_fs: Timestep = Field(1.0, description="Time step (fs)")
    write_every: int = Field(10, ge=1, le=1_000_000, description="Steps between two frames on disk (number)")
    friction_per_ps: float = Field(10.0, gt=0, le=1000, description="Friction of the Langevin thermostat (1/ps)")
    check_every_fs: float = Field(5.0, gt=0, le=10_000, description="Simulated time between two looks for novelty (fs)")
    force_tolerance_eV_per_A: float = Field(
        0.1,
        gt=0,
        description="Force error to be reached: audits' root mean square, upper end of its interval (eV/Å)",
    )
    audit_every_ps: float = Field(
        1.0,
        gt=0,
        le=100_000,
        description="Mean simulated time, of all walkers together, between two frames that are labelled though no alarm"
        " sounded (ps)",
    )
    max_labels: Count = Field(300, description="Labels that learning may ask for, in all generations (number)")
    batch: Count = Field(4, description="Labels of candidates that a round asks for, at most (number)")
    max_sparse_points: Count | None = Field(
        None,
        description="Most sparse points of an element until the next full fit; nothing: twice those of the last "
        "(number)",
    )
    guard: ExploringGuard = Field(
        default_factory=ExploringGuard, description="Bounds beyond which a walker goes back to its last sound frame"
    )

    @field_validator("temperatures_K", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        # Strict as files are read, a list would be no tuple after this.
        return (value,) if isinstance(value, int | float) else tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _legs_fit(self) -> Self:
        if self.leg_ps > self.length_ps:
            raise ValueError(f"leg_ps ({self.leg_ps:g}) must not be longer than length_ps ({self.length_ps:g})")
        return self

    @property
    def leg_steps(self) -> int:
        """Steps of a leg, whole blocks of ``write_every``."""
        return steps_for(self.leg_ps, self.timestep_fs, self.write_every)

    @property
    def rounds(self) -> int:
        """Legs of each walker in a generation."""
        return math.ceil(round(self.length_ps * _FS_PER_PS / (self.leg_steps * self.timestep_fs), 9))

    @property
    def check_every(self) -> int:
        """Steps between two looks for novelty."""
        return max(1, round(self.check_every_fs / self.timestep_fs))

    @property
    def leg_length_ps(self) -> float:
        """Simulated time of a leg, its steps counted (ps)."""
        return self.leg_steps * self.timestep_fs / _FS_PER_PS

    def target_K(self, walker: int) -> float:
        """Return the temperature of a walker, from 0, after its ramp (K)."""
        return self.temperatures_K[walker % len(self.temperatures_K)]

    def dynamics(self, walker: int, steps: int) -> MolecularDynamicsSettings:
        """Return what the integrator needs for a walker's first ``steps`` steps, whole blocks."""
        target_K = self.target_K(walker)
        ramp = round(self.ramp_ps * _FS_PER_PS / self.timestep_fs)
        schedule = (TemperatureStage(steps=ramp, start_K=RAMP_START_K, end_K=target_K),) if ramp else ()
        return MolecularDynamicsSettings(
            temperature_K=target_K,
            timestep_fs=self.timestep_fs,
            steps=steps,
            write_every=self.write_every,
            friction_per_ps=self.friction_per_ps,
            schedule=schedule,
        )


class OnTheFly(Sampler[OnTheFlySettings]):
    """Learning while exploring: its runs are legs and rounds of a generation's graph, not of one job."""

    name = "on-the-fly"
    rank = 15.0
    settings_type = OnTheFlySettings
    description = "Langevin dynamics of a model that learns from what it meets"
    is_initial = False
    learns: ClassVar[bool] = True
    citations: ClassVar[tuple[Citation, ...]] = (SGPR, BAOAB)

    def runs(self, settings: OnTheFlySettings) -> int:
        """One per walker."""
        return settings.walkers

    def frames(self, settings: OnTheFlySettings) -> int:
        """As many as rounds may ask for, audits not counted."""
        return min(settings.rounds * settings.batch, settings.max_labels)

    def says_how_many(self, settings: OnTheFlySettings) -> bool:
        """What is new decides."""
        return False

    def most_labels(self, settings: OnTheFlySettings) -> int:
        """The budget, which is that of all generations."""
        return settings.max_labels

    def audited_tolerance_eV_per_A(self, settings: OnTheFlySettings) -> float:
        """As the settings say."""
        return settings.force_tolerance_eV_per_A

    def labels_per_generation(self, settings: OnTheFlySettings) -> int:
        """Full batches in every round, and as many audits as are to be expected in the first generation."""
        audits = math.ceil(settings.walkers * settings.length_ps / settings.audit_every_ps)
        return min(settings.rounds * settings.batch + audits, settings.max_labels)

    def methods(self, settings: OnTheFlySettings) -> str:
        """Return how many walkers, how long, how warm, and what was asked for."""
        temperatures = ", ".join(f"{value:g}" for value in sorted(set(settings.temperatures_K)))
        ramp = f", heated from {RAMP_START_K:g} K within {settings.ramp_ps:g} ps," if settings.ramp_ps else ""
        return (
            f"learning on the fly by {settings.walkers} walkers of up to {settings.length_ps:g} ps each at "
            f"{temperatures} K{ramp} (BAOAB Langevin integrator, time step {settings.timestep_fs:g} fs, friction "
            f"{settings.friction_per_ps:g} 1/ps): frames with environments that are new to the model were labelled and "
            f"joined it in place, frames at random times, one in {settings.audit_every_ps:g} ps at first, measured its "
            "errors"
        )

    def needs_potential(self, settings: OnTheFlySettings) -> bool:
        """The model that learns."""
        return True

    def evaluations(self, settings: OnTheFlySettings) -> int:
        """Every step of every walker."""
        return settings.walkers * settings.rounds * settings.leg_steps

    def sample(self, request: SamplerRequest[OnTheFlySettings]) -> SamplerOutcome:
        """Refuse: rounds of legs are described with the generation."""
        raise InputError(f"the sampler {self.name} learns in rounds; it makes no run of its own")


ON_THE_FLY = OnTheFly()
