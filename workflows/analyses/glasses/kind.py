"""Glasses, as a kind of analysis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ....analysis.glasses.settings import GlassSettings
from ....core.citations import Citation
from ..base import Analysis, AnalysisCost, AnalysisPlan, OfferedRun

if TYPE_CHECKING:
    from ase import Atoms

    from ....store.connection import Store
    from ....tasks.base import IonloopTask
    from ...campaign.problems import Problem
    from ...campaign.settings import Campaign
    from ...graph.jobs import Job
    from ...graph.plan import Plan, PlannedSystem
    from ..comparison import Comparison
    from ..sections import ReportSection


class Glasses(Analysis[GlassSettings]):
    """Glasses from melts with final models: what they have in common, and by how much they differ."""

    name = "glasses"
    rank = 38
    description = "Glasses from melts: density, energy and anions, and their spread between glasses"
    settings_type = GlassSettings
    is_stored_unasked = False
    has_runs = True
    grows = ("models", "glasses", "quench_K_per_ps", "sizes")
    free = ("network",)
    citations = (
        Citation(
            "Langevin integrator", "B. Leimkuhler, C. Matthews, J. Chem. Phys. 2013, 138, 174102", "10.1063/1.4802990"
        ),
        Citation(
            "Stochastic cell rescaling", "M. Bernetti, G. Bussi, J. Chem. Phys. 2020, 153, 114107", "10.1063/5.0020514"
        ),
        Citation(
            "Random packing",
            "C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 2003, 68, 011306",
            "10.1103/PhysRevE.68.011306",
        ),
    )

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.glasses.glass import GlassTask
        from ....tasks.glasses.summary import GlassesTask

        return (GlassTask, GlassesTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import glass_jobs

        return glass_jobs(plan, self.settings(plan.campaign))

    def runs(self, plan: AnalysisPlan) -> list[OfferedRun]:
        from .graph import glass_runs

        return glass_runs(plan, self.settings(plan.campaign))

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import glass_cost

        return glass_cost(campaign, self.settings(campaign), atoms)

    def systems(self, plan: Plan) -> list[PlannedSystem]:
        """Return the systems that are named, else those that are no crystals, else all."""
        named = self.named_systems(plan.campaign)
        if named:
            return [system for system in plan.systems if system.name in named]
        return [system for system in plan.systems if not system.is_crystalline] or list(plan.systems)

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        from .graph import glass_problems

        return glass_problems(campaign, self.settings(campaign), atoms)

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import glasses_section

        return glasses_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: GlassSettings) -> str:
        start = (
            f"random packings at {settings.start.density_fraction:g} of the density guessed"
            if settings.start.kind == "packing"
            else "the structure"
        )
        whole = f" with whole {' and '.join(settings.start.polyanions)}" if settings.start.polyanions else ""
        rates = ", ".join(f"{rate:g}" for rate in settings.quench_K_per_ps)
        return (
            f"Glasses were made from {start}{whole}, {settings.glasses} for each rate and size, each from a seed of "
            f"its own: {settings.melt_ps:g} ps at {settings.melt_temperature_K:g} K and constant volume, "
            f"{settings.hold_ps:g} ps at {settings.hold_temperature_K:g} K and {settings.pressure_GPa:g} GPa "
            f"({settings.barostat.cell} cell), cooled at {rates} K/ps to {settings.temperature_K:g} K, held there for "
            f"{settings.glass_ps:g} ps, and relaxed with the volume. Intervals are 95 % t-intervals over glasses."
        )


GLASSES = Glasses()
