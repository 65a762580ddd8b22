"""What a kind of sampler is given, what it leaves, and what it must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Literal, TypeVar

from ase import Atoms
from ase.calculators.calculator import Calculator
from pydantic import Field

from ...core.citations import Citation
from ...core.errors import InputError
from ...core.files import atomic_file
from ...core.settings import FrozenSettings
from ..molecular_dynamics import TrajectoryEnd, clear_calculator
from .potentials import PotentialChoice

Count = Annotated[int, Field(ge=1, le=100_000)]
KPoints = Literal["gamma", "reference"]


class CommonSamplerSettings(FrozenSettings):
    """What the settings of every kind of sampler have in common; a constant field ``kind`` holds the kind's name."""

    @property
    def sampler(self) -> str:
        """Name of the kind that these settings are of."""
        return str(type(self).model_fields["kind"].default)

    @property
    def chosen_potential(self) -> PotentialChoice | None:
        """The potential that the file asks for, None where it leaves that open or the kind needs none."""
        return None

    @property
    def at_gamma(self) -> bool:
        """Whether a density-functional engine is to take Γ alone."""
        return False


class PotentialSettings(CommonSamplerSettings):
    """What the settings of samplers have that ask a potential for forces."""

    potential: PotentialChoice | None = Field(
        None,
        description="What gives the forces: driver, the campaign's driving model; reference; a model of the campaign; "
        "{engine: ...}, any engine with its settings; {folder: ...}, a model's folder; nothing: the driver, and the "
        "reference before there is a model",
    )
    k_points: KPoints = Field(
        "gamma",
        description="Of a density-functional engine that gives them: gamma, Γ alone; reference, its own (name)",
    )

    @property
    def chosen_potential(self) -> PotentialChoice | None:
        """The potential that the file asks for."""
        return self.potential

    @property
    def at_gamma(self) -> bool:
        """Whether a density-functional engine is to take Γ alone."""
        return self.k_points == "gamma"


SettingsT = TypeVar("SettingsT", bound=CommonSamplerSettings)


def _nothing(done: int, of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class SamplerRequest(Generic[SettingsT]):
    """One run of a sampler.

    Attributes
    ----------
    atoms
        The system's structure.
    settings
        Those of the kind.
    index
        Which run, from 0.
    seed
        Of everything random in this run, ≥ 0.
    path
        The file of its frames; whatever the run keeps for a restart lies beside it.
    starts
        Configurations of the training set that a run may begin from; empty where there is none yet.
    shared
        What ``prepare`` returned; empty for kinds that prepare nothing.
    calculator
        Makes the potential, for kinds that need one.
    reset_history
        Makes a calculator forget what it computed.
    mobile, charges
        Symbol of the mobile ion, and charges (e) by element.
    seen_A
        Shortest distances (Å) by pair of elements in the training set of the model that drives; empty where none does.
    progress
        To be told (done, of all) now and then.
    """

    atoms: Atoms
    settings: SettingsT
    index: int
    seed: int
    path: Path
    starts: Sequence[Atoms] = ()
    shared: Sequence[Atoms] = ()
    calculator: Callable[[], Calculator] | None = None
    reset_history: Callable[[Calculator], None] = clear_calculator
    mobile: str = ""
    charges: Mapping[str, float] = field(default_factory=dict)
    seen_A: Mapping[str, float] = field(default_factory=dict)
    progress: Callable[[int, int], None] = _nothing

    def open_calculator(self) -> Calculator:
        """Return a new calculator of the potential.

        Raises
        ------
        InputError
            If there is none.
        """
        if self.calculator is None:
            raise InputError(f"the sampler {self.settings.sampler} needs a potential")
        return self.calculator()


@dataclass(frozen=True)
class SamplerOutcome:
    """What a run left.

    Attributes
    ----------
    end, reason
        Completed, or stopped and why; the frames are sound in either case.
    frames
        Frames in the file.
    steps
        Steps of dynamics or moves behind the last one; 0 where there is no such thing.
    mean_temperature_K
        Of dynamics; None otherwise.
    """

    end: TrajectoryEnd
    frames: int
    reason: str = ""
    steps: int = 0
    mean_temperature_K: float | None = None


class Sampler(ABC, Generic[SettingsT]):
    """A kind of sampler: independent runs, each of which leaves a file of frames.

    A run is one job. It may be killed at any moment; started again with the same request it ends with the same bits.
    All frames have the atoms of the system in its order.
    """

    name: ClassVar[str]
    """The value of ``kind`` in its settings."""
    rank: ClassVar[float] = 100.0
    """Its place in lists."""
    settings_type: type[SettingsT]
    """Type of its settings."""
    description: ClassVar[str] = ""
    """What it brings, in half a line."""
    is_initial: ClassVar[bool] = True
    """Whether it may bring the configurations of the first training set."""
    explores: ClassVar[bool] = True
    """Whether it may look for those of a generation."""
    learns: ClassVar[bool] = False
    """Whether the model that drives it learns on the way: its runs are rounds of a generation, and none is sampled."""
    prepares: ClassVar[bool] = False
    """Whether something is made once that all runs share."""
    needs_charges: ClassVar[bool] = False
    """Whether it needs the mobile ion and the charges of all elements."""
    citations: ClassVar[tuple[Citation, ...]] = ()
    """Works to cite for it."""

    @abstractmethod
    def runs(self, settings: SettingsT) -> int:
        """Return how many independent runs there are."""

    @abstractmethod
    def frames(self, settings: SettingsT) -> int:
        """Return how many frames all runs together offer, if none ends early."""

    def says_how_many(self, settings: SettingsT) -> bool:
        """Return whether the settings say how many frames there are, or leave it at all that were written."""
        return True

    @abstractmethod
    def methods(self, settings: SettingsT) -> str:
        """Return what was done in words that follow a number of configurations or stand alone: "2 trajectories ..."."""

    @abstractmethod
    def sample(self, request: SamplerRequest[SettingsT]) -> SamplerOutcome:
        """Make the run, or carry it on from what it left on the disk."""

    def needs_potential(self, settings: SettingsT) -> bool:
        """Return whether energies or forces are asked for."""
        return False

    def evaluations(self, settings: SettingsT) -> int:
        """Return how many evaluations of the potential all runs together take at most."""
        return 0

    def most_labels(self, settings: SettingsT) -> int:
        """Return how many labels a kind that learns asks for by itself at most, in all generations together."""
        return 0

    def audited_tolerance_eV_per_A(self, settings: SettingsT) -> float | None:
        """Return the force error that the audits of a kind that learns are to show (eV/Å), None of others."""
        return None

    def labels_per_generation(self, settings: SettingsT) -> int:
        """Return how many of these are to be expected in a generation, at most."""
        return 0

    def prepare(self, request: SamplerRequest[SettingsT]) -> list[Atoms]:
        """Return what all runs share; ``index`` and ``path`` of the request mean nothing here."""
        return []

    def objection(self, settings: SettingsT, atoms: Atoms) -> str:
        """Return why the system's structure cannot be sampled so, empty where nothing speaks against it."""
        return ""

    def temperature_K(self, settings: SettingsT, index: int) -> float | None:
        """Return the temperature at which a run is in equilibrium in the cell that it began with, None if it is not.

        Where it is, ions can be watched on their ways through the crystal.
        """
        return None

    def stopped_can_go_on(self, reason: str) -> bool:
        """Return whether a run that stopped for a reason may be asked to go on."""
        return False

    def read(self, path: Path) -> list[Atoms]:
        """Return the frames of a run that are samples, in their order."""
        return _read_all(path)


class DrawingSampler(Sampler[SettingsT]):
    """A kind whose run draws its frames at once: they are written whole or not at all."""

    @abstractmethod
    def draw(self, request: SamplerRequest[SettingsT]) -> list[Atoms]:
        """Return the frames of a run."""

    def sample(self, request: SamplerRequest[SettingsT]) -> SamplerOutcome:
        """Draw unless the file is there."""

        from ase.io import write

        if request.path.exists():
            return SamplerOutcome(TrajectoryEnd.COMPLETED, len(_read_all(request.path)))
        frames = self.draw(request)
        with atomic_file(request.path) as temporary:
            write(temporary, frames, format="traj")
        return SamplerOutcome(TrajectoryEnd.COMPLETED, len(frames))


def _read_all(path: Path) -> list[Atoms]:
    from ase.io import read

    frames = read(path, index=":", format="traj")
    return frames if isinstance(frames, list) else [frames]


def share(total: int, parts: int, index: int) -> int:
    """Return how much of ``total`` the part of that index gets; the first ones get the rest."""
    return total // parts + (index < total % parts)
