"""The analysis of hops and barriers, as a kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from ....analysis.barriers.settings import BarrierSettings
from ....core.citations import Citation
from ..base import Analysis, AnalysisCost, AnalysisPlan

if TYPE_CHECKING:
    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.base import IonloopTask
    from ....tasks.values.properties import PropertyNumber
    from ...campaign.problems import Problem
    from ...campaign.settings import Campaign
    from ...graph.jobs import Job
    from ..comparison import Comparison
    from ..proposals import Proposed
    from ..sections import ReportSection


class Barriers(Analysis[BarrierSettings]):
    """Hops of the mobile ion in trajectories, and the barriers of some of them with every final model."""

    name = "barriers"
    rank = 40
    description = "Hops of the mobile ion and the barriers on their paths"
    settings_type = BarrierSettings
    property_unit = "eV"
    needs_mobile = True
    grows = ("reference",)
    commands: ClassVar[Mapping[str, str]] = {
        "hops": "ionloop.cli.analyse.hops:hops",
        "barriers": "ionloop.cli.analyse.barriers:barriers",
    }
    citations = (
        Citation(
            "Climbing nudged elastic band",
            "G. Henkelman, B. P. Uberuaga, H. Jónsson, J. Chem. Phys. 2000, 113, 9901",
            "10.1063/1.1329672",
        ),
    )

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.barriers import BandTask, BarriersTask, PointsTask
        from ....tasks.hops import HopEndsTask, HopsTask

        return (HopsTask, HopEndsTask, BandTask, PointsTask, BarriersTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import barrier_jobs

        return barrier_jobs(plan, self.settings(plan.campaign))

    def property_jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import barrier_property_jobs

        return barrier_property_jobs(plan, self.settings(plan.campaign))

    def property_numbers(self, store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
        from .property import barrier_numbers

        return barrier_numbers(store, plan)

    def proposals(self, store: Store, plan: AnalysisPlan) -> list[Proposed]:
        from .property import barrier_proposals

        return barrier_proposals(store, plan)

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import barrier_cost, cells_of_trajectories

        settings = self.settings(campaign)
        return barrier_cost(settings, len(campaign.models), cells_of_trajectories(campaign, settings) * len(atoms))

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        from .graph import barrier_problems

        return barrier_problems(campaign, self.settings(campaign), atoms, system)

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import barrier_section

        return barrier_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: BarrierSettings) -> str:
        return (
            f"Paths between sites were found as hops in trajectories and relaxed with every model as climbing nudged "
            f"elastic bands of {settings.images} images."
        )


BARRIERS = Barriers()
