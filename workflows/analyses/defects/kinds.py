"""The analyses of defects, as kinds: Frenkel pairs and vacancies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from ....analysis.defects.settings import FrenkelSettings, VacancySettings
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


class Frenkel(Analysis[FrenkelSettings]):
    """Frenkel pairs with a campaign's final models, without and in an electric field."""

    name = "frenkel"
    rank = 50
    description = "Frenkel pairs, without and with an electric field"
    settings_type = FrenkelSettings
    property_unit = "eV"
    needs_mobile = True
    grows = ("reference", "axes")
    commands: ClassVar[Mapping[str, str]] = {"frenkel": "ionloop.cli.analyse.frenkel:frenkel"}

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.defects.relaxations import DefectRelaxationTask, DefectSinglePointTask, FieldBranchTask
        from ....tasks.defects.results import FrenkelFieldTask, FrenkelTask

        return (DefectRelaxationTask, DefectSinglePointTask, FieldBranchTask, FrenkelTask, FrenkelFieldTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import frenkel_jobs

        return frenkel_jobs(plan, self.settings(plan.campaign))

    def property_jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import frenkel_jobs

        return frenkel_jobs(
            plan, self.settings(plan.campaign).model_copy(update={"reference": False, "fields_V_per_A": ()})
        )

    def property_numbers(self, store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
        from .property import frenkel_numbers

        return frenkel_numbers(store, plan)

    def proposals(self, store: Store, plan: AnalysisPlan) -> list[Proposed]:
        from .property import defect_proposals

        return defect_proposals(store, plan, self.settings(plan.campaign).supercell, averaged=True)

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import frenkel_cost, models_in_field

        in_field = len(models_in_field(campaign))
        return frenkel_cost(self.settings(campaign), len(campaign.models), in_field, len(atoms))

    def problems(self, campaign: Campaign, atoms: Atoms, system: str | None = None) -> Iterable[Problem]:
        from .graph import frenkel_problems

        return frenkel_problems(campaign, atoms, self.settings(campaign))

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import frenkel_section

        return frenkel_section(store, campaign, system)

    def comparisons(self) -> Mapping[str, Comparison]:
        from .comparison import COMPARISONS

        return COMPARISONS

    def methods(self, settings: FrenkelSettings) -> str:
        text = f"{settings.pairs} Frenkel pairs of each model were relaxed at fixed cell"
        if not settings.branches:
            return f"{text}."
        strongest = max(abs(strength) for strength in settings.fields_V_per_A)
        return (
            f"{text} and followed in electric fields of up to {strongest:g} V/Å, which act on the baseline's charges."
        )


class Vacancies(Analysis[VacancySettings]):
    """Neutral vacancies of the mobile ion with a campaign's final models."""

    name = "vacancy"
    rank = 60
    description = "Neutral vacancies of the mobile ion"
    settings_type = VacancySettings
    property_unit = "eV"
    needs_mobile = True
    grows = ("reference", "sites")

    def tasks(self) -> tuple[type[IonloopTask], ...]:
        from ....tasks.defects.relaxations import DefectRelaxationTask, DefectSinglePointTask, MetalTask
        from ....tasks.defects.results import VacancyTask

        return (DefectRelaxationTask, DefectSinglePointTask, MetalTask, VacancyTask)

    def jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import vacancy_jobs

        return vacancy_jobs(plan, self.settings(plan.campaign))

    def property_jobs(self, plan: AnalysisPlan) -> list[Job]:
        from .graph import vacancy_jobs

        return vacancy_jobs(plan, self.settings(plan.campaign).model_copy(update={"reference": False}))

    def property_numbers(self, store: Store, plan: AnalysisPlan) -> list[PropertyNumber]:
        from .property import vacancy_numbers

        return vacancy_numbers(store, plan)

    def proposals(self, store: Store, plan: AnalysisPlan) -> list[Proposed]:
        from .property import defect_proposals

        return defect_proposals(store, plan, self.settings(plan.campaign).supercell, averaged=False)

    def cost(self, campaign: Campaign, atoms: Atoms) -> AnalysisCost:
        from .graph import vacancy_cost

        return vacancy_cost(self.settings(campaign), len(campaign.models), len(atoms))

    def section(self, store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
        from .report import vacancy_section

        return vacancy_section(store, campaign, system)

    def methods(self, settings: VacancySettings) -> str:
        return (
            f"Neutral vacancies were made at {settings.sites} sites that no symmetry relates and relaxed at fixed cell."
        )


FRENKEL = Frenkel()
VACANCY = Vacancies()
