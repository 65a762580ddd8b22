"""What the graph of an analysis is described from, and what an analysis is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from ...store.connection import Store
from ...tasks.results import REFERENCE, Potential
from ..campaign.problems import Problem
from ..campaign.settings import Campaign
from ..graph.jobs import Job
from ..graph.plan import Plan
from .sections import ReportSection

FRAME_BYTES_PER_ATOM = 9 * 8
"""Positions, momenta and forces of an atom in a frame on disk."""
PRIORITY = 20
"""Analyses run where no job of the loop waits."""


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
        Keys of the jobs after which they can be used, by kind.
    data_set
        What the models are fitted to; empty where an analysis is described without a campaign's end.
    """

    plan: Plan
    generation: int
    models: Mapping[str, str]
    fits: Mapping[str, str]
    data_set: str = ""

    @property
    def campaign(self) -> Campaign:
        """The campaign."""
        return self.plan.campaign

    @property
    def atoms(self) -> Atoms:
        """A copy of the campaign's structure, repeated as the campaign says."""
        return self.plan.atoms.copy()

    @property
    def place(self) -> dict[str, Any]:
        """Campaign and generation, for the parameters of a task."""
        return {"campaign": self.campaign.name, "generation": self.generation}

    def potential(self, kind: str) -> Potential:
        """Return the final model of that kind, or the reference engine for ``reference``."""
        if kind == REFERENCE:
            return Potential(kind=REFERENCE, engine=self.plan.reference)
        return Potential(kind=kind, model=self.models[kind], backend=self.campaign.evaluate.backend)

    def parents(self, *kinds: str) -> tuple[str, ...]:
        """Return the keys of the jobs that potentials of these kinds wait for; the reference waits for none."""
        return tuple(dict.fromkeys(self.fits[kind] for kind in kinds if kind != REFERENCE))


@dataclass(frozen=True)
class AnalysisCost:
    """What an analysis asks for: evaluations and the atoms in each, by reference and by models; files (bytes)."""

    reference_evaluations: int = 0
    reference_atoms: int = 0
    model_evaluations: int = 0
    model_atoms: int = 0
    disk_bytes: float = 0.0


@dataclass(frozen=True)
class Analysis:
    """One analysis of a campaign.

    Attributes
    ----------
    name
        Its key below ``analyses`` in the campaign file.
    jobs
        Its graph; the jobs that end it are parents of the campaign's conclusion.
    cost
        From the campaign and its structure (repeated as the campaign says).
    problems
        What in its settings does not fit the structure; keys are full keys of the campaign file.
    section
        Its section in the report, None where the store has nothing of it yet.
    """

    name: str
    jobs: Callable[[AnalysisPlan], list[Job]]
    cost: Callable[[Campaign, Atoms], AnalysisCost]
    problems: Callable[[Campaign, Atoms], Iterable[Problem]]
    section: Callable[[Store, str], ReportSection | None]
