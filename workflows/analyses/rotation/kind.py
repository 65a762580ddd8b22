"""The rotation of polyanions, as a kind of analysis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ....analysis.rotation.settings import RotationSettings
from ....core.citations import Citation
from ..base import AnalysisCost, AnalysisPlan
from ..of_trajectories import TrajectoryAnalysis

if TYPE_CHECKING:
    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.base import IonloopTask
    from ....tasks.of_trajectories.task import TrajectoriesTask
    from ...campaign.problems import Problem
    from ...campaign.settings import Campaign
    from ...graph.jobs import Job
    from ..comparison import Comparison
    from ..sections import ReportSection


class Rotation(TrajectoryAnalysis[RotationSettings]):
    """How often polyanions turn, how long they remember their orientation, and whether ions hop with them."""

    name = "rotation"
    rank = 45
    description = "Rotation of polyanions in trajectories, and whether ions hop with it"
    settings_type = RotationSettings
    needs_mobile = True
    grows = ("models",)
    free = ("jumps", "coupling", "resamples", "held")
    commands: ClassVar[Mapping[str, str]] = {"rotation": "ionloop.cli.analyse.rotation:rotation"}
    citations = (
        Citation(
            "Rotation of thiophosphate anions with a learned potential",
            "C. G. Staacke, T. Huss, J. T. Margraf, K. Reuter, C. Scheurer, Nanomaterials 2022, 12, 2950",
            "10.3390/nano12172950",
        ),
    )

    def task(self) -> type[TrajectoriesTask]:
        from ....tasks.rotation.task import RotationTask

        return RotationTask

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.rotation.held import HeldRunTask, HeldTask

        return (*super().tasks(), HeldRunTask, HeldTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        settings = self.settings(plan.campaign)
        if settings.held is None:
            return super().jobs(plan)
        from .held import held_jobs

        # What is said of free polyanions does not depend on what is done to held ones.
        free = settings.model_copy(update={"held": None})
        jobs = [
            replace(job, parameters=job.parameters.model_copy(update={"settings": free})) for job in super().jobs(plan)
        ]
        return [*jobs, *held_jobs(plan, settings, self.looked_at(plan, settings))]

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        settings = self.settings(campaign)
        if settings.held is None:
            return super().cost(campaign, atoms)
        from .held import held_cost

        return held_cost(campaign, settings, atoms)

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterator[Problem]:
        from .problems import rotation_problems

        yield from super().problems(campaign, atoms, system)
        settings = self.settings(campaign)
        found = list(rotation_problems(campaign, settings, atoms))
        yield from found
        if settings.held is not None and not found:
            from .held import held_problems

            yield from held_problems(campaign, settings, atoms)

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import rotation_section

        return rotation_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: RotationSettings) -> str:
        jumps, coupling = settings.jumps, settings.coupling
        return (
            f"Rotations of {settings.anion.formula} were counted where its orientation, by the best rotation of its "
            f"bonds, settled within {jumps.settled_degree:g}° for {jumps.settled_ps:g} ps and more than "
            f"{jumps.turned_degree:g}° from where it had been; intervals of rates are those of counts. Hops of the "
            f"mobile ion (moves of its mean position by {coupling.hop_A:g} Å) within {coupling.distance_A:g} Å of its "
            f"centre were compared with {coupling.surrogates} circular shifts in time." + _of_held(settings)
        )


def _of_held(settings: RotationSettings) -> str:
    held = settings.held
    if held is None:
        return ""
    how = (
        f"by walls of {held.wall_eV:g} eV (½ k (cos {held.free_degree:g}° - cos θ)², θ of a bond from where it began)"
        if held.by == "walls"
        else f"by ligands {held.mass_factor:g} times as heavy"
    )
    return f" The trajectories were run again with {settings.anion.formula} held {how}, and diffusivities compared."


ROTATION = Rotation()
