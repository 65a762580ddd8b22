"""What an analysis is, and what its graph is described from.

An analysis is a kind: an object of a class derived from `Analysis`, registered under its name by an entry point of
the group ``ionloop.analyses``. Its module is read with every campaign file, so that it imports what is heavy (numbers,
figures, tasks) inside its methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from ..campaign.analyses import OfSystems, settings_alone

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from ...core.citations import Citation
    from ...store.connection import Store
    from ...tasks.base import IonloopTask
    from ...tasks.conductivity import ConductivityRunParameters
    from ...tasks.results import Potential
    from ...tasks.values.properties import PropertyNumber
    from ..campaign.problems import Problem
    from ..campaign.settings import Campaign
    from ..graph.jobs import Job
    from ..graph.plan import Plan, PlannedSystem
    from .comparison import Comparison
    from .proposals import Proposed
    from .sections import ReportSection

FRAME_BYTES_PER_ATOM = 9 * 8
"""Positions, momenta and forces of an atom in a frame on disk."""
PRIORITY = 20
"""Analyses run where no job of the loop waits."""

SettingsT = TypeVar("SettingsT", bound=BaseModel)


@dataclass(frozen=True)
class AnalysisPlan:
    """A campaign at its end: its final models and the jobs that fit them.

    Attributes
    ----------
    generation
        The last generation of the loop.
    models
        Identifiers of the final models, by kind.
    fits
        Keys of the jobs after which they can be used, by kind; none of models that are there already.
    data_set
        What the models are fitted to; empty where an analysis is described without a campaign's end.
    of
        The system that the models are asked of; None: the campaign's only one.
    """

    plan: Plan
    generation: int
    models: Mapping[str, str]
    fits: Mapping[str, str]
    data_set: str = ""
    of: PlannedSystem | None = None

    @property
    def system(self) -> PlannedSystem:
        """The system that the models are asked of."""
        return self.of or self.plan.systems[0]

    @property
    def campaign(self) -> Campaign:
        """The campaign."""
        return self.plan.campaign

    @property
    def atoms(self) -> Atoms:
        """A copy of the system's structure, repeated as the campaign says."""
        return self.system.atoms.copy()

    @property
    def place(self) -> dict[str, Any]:
        """Campaign, generation and system, for the parameters of a task."""
        return {"campaign": self.campaign.name, "generation": self.generation, **self.system.place}

    def potential(self, kind: str) -> Potential:
        """Return the final model of that kind, or the reference engine for ``reference``."""
        from ...core.names import REFERENCE
        from ...tasks.results import Potential

        if kind == REFERENCE:
            return Potential(kind=REFERENCE, engine=self.plan.reference)
        return Potential(kind=kind, model=self.models[kind], backend=self.campaign.evaluate.backend)

    def parents(self, *kinds: str) -> tuple[str, ...]:
        """Return the keys of the jobs that potentials of these kinds wait for; the reference waits for none."""
        return tuple(dict.fromkeys(self.fits[kind] for kind in kinds if kind in self.fits))


@dataclass(frozen=True)
class AnalysisCost:
    """What an analysis asks for: evaluations and the atoms in each, by reference and by models; files (bytes)."""

    reference_evaluations: int = 0
    reference_atoms: int = 0
    model_evaluations: int = 0
    model_atoms: int = 0
    disk_bytes: float = 0.0


@dataclass(frozen=True)
class OfferedRun:
    """A trajectory in equilibrium that an analysis runs, and that others may look at.

    Attributes
    ----------
    trajectory
        Its identifier.
    job
        Key of the job that runs it; empty where it is there before any analysis.
    model
        Name of the potential that drives it.
    temperature_K
        Its temperature.
    skipped_frames
        Frames at its beginning that are equilibration.
    dynamics
        What the job is told, where others may run it again in another way (`Analysis.runs_again`).
    """

    trajectory: str
    job: str
    model: str
    temperature_K: float
    skipped_frames: int = 0
    dynamics: ConductivityRunParameters | None = None


class Analysis(ABC, Generic[SettingsT]):
    """One analysis: a question that final models are asked.

    A derived class gives what has no value here and what is abstract, and of the rest what it has something to say
    about.

    Attributes
    ----------
    name
        Its key below ``analyses`` in the campaign file, and the name of its entry point.
    rank
        Its place among those of its package: in the campaign file, the report and lists.
    description
        Its line in the campaign file's reference.
    settings_type
        Its settings, every one with a default: what the campaign file may hold below its key.
    grows, free
        Keys of its settings that may only become more, and that may change at any time, once a campaign is
        submitted; a key stands for all below it, and what is not named stays.
    needs_mobile
        Whether it asks for the mobile species, which not every system of a campaign holds.
    property_unit
        Unit of a tolerance for what it answers with, "eV", or "%" of its value, where that is a number, or several,
        that a loop can end with (`property_numbers`); empty: it is not.
    is_stored_unasked
        Whether stored campaigns that do not ask for it have its key, as those of the first release have.
    has_runs
        Whether it runs trajectories that others may look at (`runs`).
    runs_again
        Whether these say what they are told, so that others may run them again in another way.
    commands
        Commands below ``ionloop analyse``, by name: where their functions are, "package.module:function". An analysis
        without gets one that asks models of a structure (`ionloop.workflows.analyses.runner`).
    citations
        Works to cite where it was made.
    """

    name: ClassVar[str]
    rank: ClassVar[int] = 0
    description: ClassVar[str]
    settings_type: type[SettingsT]
    grows: ClassVar[tuple[str, ...]] = ()
    free: ClassVar[tuple[str, ...]] = ()
    needs_mobile: ClassVar[bool] = False
    property_unit: ClassVar[str] = ""
    is_stored_unasked: ClassVar[bool] = True
    has_runs: ClassVar[bool] = False
    runs_again: ClassVar[bool] = False
    commands: ClassVar[Mapping[str, str]] = {}
    citations: ClassVar[tuple[Citation, ...]] = ()

    @abstractmethod
    def tasks(self) -> tuple[type[IonloopTask], ...]:
        """Return the Firetasks that its jobs consist of: what a worker may run for it."""

    @abstractmethod
    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        """Return its graph; the jobs that end it are parents of the campaign's conclusion."""

    @abstractmethod
    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        """Return what it asks for, of a campaign with this structure (repeated as the campaign says)."""

    def runs(self, plan: AnalysisPlan) -> list[OfferedRun]:
        """Return the trajectories of the plan's system that it runs and that other analyses may look at."""
        return []

    def why_not_known(self, settings: SettingsT) -> str:
        """Return why its property cannot be known with these settings, a phrase after its name; empty if it can."""
        return ""

    def property_jobs(self, plan: AnalysisPlan) -> list[Job]:
        """Return the part of its graph that its property needs, of the plan's models: no labels of the reference."""
        return self.jobs(plan)

    def property_numbers(self, store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
        """Return what its results say of the plan's only model and system, once the jobs of its property have ended.

        Half-widths are those of 95 % intervals, of the model's error as the results have it; what is not known is
        left out, with the reason.
        """
        return []

    def proposals(self, store: Store, plan: AnalysisPlan) -> list[Proposed]:
        """Return configurations whose labels may tell of its property, and on which energies that rests.

        ``plan`` is that of `property_numbers`. Configurations of an analysis without a property are left out.
        """
        return []

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        """Yield what in its settings does not fit a system (None: the only one); keys are full keys of the file."""
        return ()

    @abstractmethod
    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        """Return its section in the report on a system (None: the only one), None where the store has nothing yet."""

    def comparisons(self) -> Mapping[str, Comparison]:
        """Return how results of its kinds are shown beside each other, by kind of result."""
        return {}

    def with_files_read(self, settings: SettingsT, folder: Path) -> Mapping[str, object]:
        """Return what settings that name files become with the content of these, by key; relative to ``folder``.

        Raises
        ------
        UnusableFile
            If one cannot be used.
        """
        return {}

    def methods(self, settings: SettingsT) -> str:
        """Return what was done, in a sentence or two for the methods of a paper; empty for none."""
        return ""

    def chosen_settings(self, campaign: Campaign) -> SettingsT | None:
        """Return its settings in a campaign, None where that does not ask for it."""
        found = getattr(campaign.analyses, self.name, None)
        if isinstance(found, OfSystems):
            return settings_alone(found, self.settings_type)
        return found if isinstance(found, self.settings_type) else None

    def named_systems(self, campaign: Campaign) -> tuple[str, ...]:
        """Return the systems that a campaign asks it of by name; none: every crystalline one that it can be asked."""
        found = getattr(campaign.analyses, self.name, None)
        return found.systems if isinstance(found, OfSystems) else ()

    def systems(self, plan: Plan) -> list[PlannedSystem]:
        """Return the systems that it is made of."""
        named, mobile = self.named_systems(plan.campaign), plan.campaign.mobile
        return [
            system
            for system in plan.systems
            if (
                system.name in named
                if named
                else system.is_crystalline and (not self.needs_mobile or mobile in system.symbols)
            )
        ]

    def settings(self, campaign: Campaign) -> SettingsT:
        """Return its settings in a campaign, the defaults where that does not ask for it."""
        return self.chosen_settings(campaign) or self.settings_type()
