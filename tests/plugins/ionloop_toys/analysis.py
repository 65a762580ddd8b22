"""An analysis: the mean distance to the nearest neighbour in the crystal as every final model relaxes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ionloop.core.citations import Citation
from ionloop.workflows.analyses.base import PRIORITY, Analysis, AnalysisCost, AnalysisPlan

if TYPE_CHECKING:
    from ase import Atoms

    from ionloop.core.looks import Look
    from ionloop.store.connection import Store
    from ionloop.store.records import ResultRecord
    from ionloop.tasks.base import IonloopTask
    from ionloop.workflows.analyses.comparison import Comparison
    from ionloop.workflows.analyses.sections import FigureBlock, ReportSection
    from ionloop.workflows.campaign.problems import Problem
    from ionloop.workflows.campaign.settings import Campaign
    from ionloop.workflows.graph.jobs import Job

EVALUATIONS = 50
"""Evaluations that a relaxation takes, estimated."""


class NeighbourSettings(BaseModel):
    """How the crystal is relaxed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    force_tolerance_eV_per_A: float = Field(0.05, gt=0, le=1, description="Force at which ions are relaxed (eV/Å)")


class Neighbours(Analysis[NeighbourSettings]):
    """The mean distance to the nearest neighbour, by model."""

    name = "toy_neighbours"
    rank = 1
    description = "Mean distance to the nearest neighbour"
    settings_type = NeighbourSettings
    free = ("force_tolerance_eV_per_A",)
    citations = (Citation("Neighbours", "A. Toy, J. Toys 2026, 1, 2", "10.1000/toy"),)

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from .analysis_tasks import NeighbourTask

        return (NeighbourTask,)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from ionloop.workflows.graph.jobs import Job

        from .analysis_tasks import NeighbourParameters, NeighbourTask

        tolerance = self.settings(plan.campaign).force_tolerance_eV_per_A
        return [
            Job(
                key=f"analysis/toy-neighbours/{kind}",
                task=NeighbourTask,
                parameters=NeighbourParameters(
                    **plan.place, potential=plan.potential(kind), force_tolerance_eV_per_A=tolerance
                ),
                parents=plan.parents(kind),
                priority=PRIORITY,
            )
            for kind in plan.models
        ]

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        return AnalysisCost(model_evaluations=EVALUATIONS * len(campaign.models), model_atoms=len(atoms))

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        from ionloop.workflows.campaign.problems import Problem

        if len(atoms) < 2:
            yield Problem(("analyses", self.name), "needs neighbours: the cell holds one atom")

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from ionloop.analysis.looks import model_name
        from ionloop.store.queries.latest import latest_by_model
        from ionloop.workflows.analyses.sections import FigureBlock, ReportSection, TableBlock

        from .analysis_tasks import NEIGHBOURS

        records = latest_by_model(store, campaign, NEIGHBOURS.name, system=system)
        if not records:
            return None
        values = {kind: NEIGHBOURS.read(record) for kind, record in records.items()}
        rows = [(model_name(kind), f"{one.mean_distance_A:.3f}", str(one.atoms)) for kind, one in values.items()]
        by_name = {model_name(kind): one.distances_A for kind, one in values.items()}
        told = "; ".join(f"{name} {distance} Å" for name, distance, _ in rows)
        return ReportSection(
            "toy-neighbours",
            "Nearest neighbours",
            f"Mean distance to the nearest neighbour: {told}.",
            (
                FigureBlock("distances", _figure(by_name), "By atom."),
                TableBlock(("model", "mean, Å", "atoms"), rows),
            ),
        )

    def comparisons(self) -> Mapping[str, Comparison]:
        from ionloop.workflows.analyses.comparison import Comparison

        from .analysis_tasks import NEIGHBOURS

        return {NEIGHBOURS.name: Comparison(_read, _draw)}

    def methods(self, settings: NeighbourSettings) -> str:
        return f"Nearest neighbours were counted after relaxation to {settings.force_tolerance_eV_per_A:g} eV/Å."


def _read(store: Store, record: ResultRecord, look: Look | None) -> tuple[str, tuple[float, ...]]:
    from .analysis_tasks import NEIGHBOURS

    return look.label if look else str(record.model_kind), NEIGHBOURS.read(record).distances_A


def _draw(series: Sequence[tuple[str, tuple[float, ...]]]) -> Iterator[FigureBlock]:
    from ionloop.workflows.analyses.sections import FigureBlock

    yield FigureBlock("distances", _figure(dict(series)), "Distance to the nearest neighbour, by atom.")


def _figure(distances_A: Mapping[str, Sequence[float]]):
    from ionloop.analysis.figures import new_figure

    figure = new_figure()
    for name, values in distances_A.items():
        figure.add_scatter(x=list(range(len(values))), y=list(values), mode="markers", name=name)
    figure.update_xaxes(title_text="Atom")
    figure.update_yaxes(title_text="Nearest neighbour (Å)")
    return figure


NEIGHBOURS_ANALYSIS = Neighbours()
