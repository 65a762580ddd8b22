"""Frenkel pairs, without and in an electric field, and vacancies, with a campaign's final models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ase import Atoms

from ....analysis.defects.settings import DefectSettings, FrenkelSettings, VacancySettings
from ....core.errors import InputError
from ....core.names import REFERENCE
from ....fitting.kinds.registry import MODELS
from ....store.identifiers import derive_seed
from ...campaign.baseline_charges import UnknownChargesError, baseline_settings, cell_charge
from ...campaign.problems import Problem
from ...campaign.settings import Campaign
from ...graph.jobs import Job
from ..base import PRIORITY, AnalysisCost, AnalysisPlan

if TYPE_CHECKING:
    from ....analysis.defects.defect_sites import FrenkelPair, Vacancy
    from ....tasks.base import IonloopTask, TaskParameters
    from ....tasks.defects.relaxations import (
        DefectRelaxationParameters,
        DefectSinglePointParameters,
        FieldBranchParameters,
        MetalParameters,
    )


EVALUATIONS_PER_RELAXATION = 200
"""Evaluations that relaxing the ions around a defect takes, estimated."""
NEUTRAL_TOLERANCE_E = 1e-3


class _DefectJobs:
    """The relaxations of one analysis with one model, and the reference's single points on them."""

    def __init__(self, plan: AnalysisPlan, kind: str, stage: str, settings: DefectSettings) -> None:
        from ....tasks.defects.relaxations import DefectRelaxationParameters

        self.plan = plan
        self.kind = kind
        self.stage = f"{stage}/{kind}"
        self.settings = settings
        self.place = {**plan.place, "supercell": settings.supercell, "mobile": plan.campaign.mobile}
        self.own = {**self.place, "potential": plan.potential(kind)}
        self.bulk = DefectRelaxationParameters(**self.own, relaxation=settings.relaxation)

    def relaxations(self, defects: list[FrenkelPair] | list[Vacancy]) -> list[Job]:
        """Return the bulk's relaxation and one job per defect."""

        from ....tasks.defects.relaxations import DefectRelaxationParameters, DefectRelaxationTask

        bulk = self._job("bulk", DefectRelaxationTask, self.bulk, self.plan.parents(self.kind))
        return [bulk] + [
            self._job(
                f"defect-{number}",
                DefectRelaxationTask,
                DefectRelaxationParameters(
                    **self.own, relaxation=self.settings.relaxation, defect=defect, bulk=self.bulk.identifier
                ),
                (bulk.key,),
            )
            for number, defect in enumerate(defects)
        ]

    def single_points(self, relaxations: list[Job], recombination_radius_A: float | None) -> list[Job]:
        """Return the reference's single points on the relaxed bulk and defects, none where they are not wanted."""

        from ....tasks.defects.relaxations import DefectSinglePointParameters, DefectSinglePointTask

        if not self.settings.reference:
            return []
        return [
            self._job(
                job.key.removeprefix(f"{self.stage}/") + "/reference",
                DefectSinglePointTask,
                DefectSinglePointParameters(
                    **self.place,
                    potential=self.plan.potential(REFERENCE),
                    of=_relaxation(job).identifier,
                    recombination_radius_A=recombination_radius_A if number else None,
                ),
                (job.key,),
            )
            for number, job in enumerate(relaxations)
        ]

    def gather(self, key: str, task: type[IonloopTask], parameters: TaskParameters, parents: list[Job]) -> Job:
        """Return the job that ends the analysis; it takes what there is."""
        return self._job(key, task, parameters, tuple(job.key for job in parents), runs_after_failures=True)

    def _job(
        self,
        key: str,
        task: type[IonloopTask],
        parameters: TaskParameters,
        parents: tuple[str, ...],
        runs_after_failures: bool = False,
    ) -> Job:
        return Job(
            key=f"{self.stage}/{key}".rstrip("/"),
            task=task,
            parameters=parameters,
            parents=parents,
            priority=PRIORITY,
            runs_after_failures=runs_after_failures,
        )

    def branch(
        self, key: str, parameters: FieldBranchParameters, parents: tuple[str, ...], after_failures: bool = False
    ) -> Job:
        """Return the job that follows the bulk or a pair along one direction."""

        from ....tasks.defects.relaxations import FieldBranchTask

        return self._job(key, FieldBranchTask, parameters, parents, runs_after_failures=after_failures)


def _relaxation(job: Job) -> DefectRelaxationParameters:
    from ....tasks.defects.relaxations import DefectRelaxationParameters

    if not isinstance(job.parameters, DefectRelaxationParameters):
        raise TypeError(f"{job.key} relaxes nothing")
    return job.parameters


def _single_point(job: Job) -> DefectSinglePointParameters:
    from ....tasks.defects.relaxations import DefectSinglePointParameters

    if not isinstance(job.parameters, DefectSinglePointParameters):
        raise TypeError(f"{job.key} computes no single point")
    return job.parameters


def _metal(job: Job) -> MetalParameters:
    from ....tasks.defects.relaxations import MetalParameters

    if not isinstance(job.parameters, MetalParameters):
        raise TypeError(f"{job.key} computes no metal")
    return job.parameters


def frenkel_pairs(campaign: Campaign, atoms: Atoms, settings: FrenkelSettings) -> list[FrenkelPair]:
    """Return the pairs of a campaign: the same whenever and wherever they are asked for.

    Raises
    ------
    InputError
        If the crystal has no room for them.
    """

    from ....analysis.defects.defect_sites import sample_frenkel_pairs

    return sample_frenkel_pairs(
        atoms.repeat(settings.supercell),
        campaign.mobile,
        settings.tried,
        seed=derive_seed(campaign.seed, "frenkel"),
        minimum_separation_A=settings.minimum_separation_A,
    )


def frenkel_jobs(plan: AnalysisPlan, settings: FrenkelSettings) -> list[Job]:
    """Return the graph: every pair with every model, single points on them, and the field with the charged model."""

    from ....tasks.defects.results import FrenkelParameters, FrenkelTask

    pairs = frenkel_pairs(plan.campaign, plan.atoms, settings)
    jobs: list[Job] = []
    for kind in plan.models:
        made = _DefectJobs(plan, kind, "analysis/frenkel", settings)
        relaxations = made.relaxations(pairs)
        references = made.single_points(relaxations, settings.basins.recombination_radius_A)
        points = [_single_point(job).identifier for job in references]
        parameters = FrenkelParameters(
            **made.own,
            bulk=made.bulk.identifier,
            pairs=pairs,
            relaxations=[_relaxation(job).identifier for job in relaxations[1:]],
            bulk_reference=points[0] if points else None,
            references=tuple(points[1:]),
            recombination_radius_A=settings.basins.recombination_radius_A,
        )
        end = made.gather("", FrenkelTask, parameters, relaxations + references)
        jobs += [*relaxations, *references, end]
        if kind in models_in_field(plan.campaign) and settings.branches:
            jobs += _field_jobs(made, settings, pairs, relaxations)
    return jobs


def _field_jobs(
    made: _DefectJobs, settings: FrenkelSettings, pairs: list[FrenkelPair], relaxations: list[Job]
) -> list[Job]:
    from ....tasks.defects.relaxations import FieldBranchParameters
    from ....tasks.defects.results import FrenkelFieldParameters, FrenkelFieldTask

    candidates = tuple(_relaxation(job).identifier for job in relaxations[1:])
    jobs: list[Job] = []
    branches: list[FieldBranchParameters] = []
    for axis in settings.axes:
        for direction, fields in settings.branches.items():
            bulk = FieldBranchParameters(
                **made.own,
                relaxation=settings.relaxation,
                axis=axis,
                fields_V_per_A=fields,
                rules=settings.basins,
                bulk=made.bulk.identifier,
            )
            branches.append(bulk)
            bulk_job = made.branch(f"field/bulk/{axis}-{direction}", bulk, (relaxations[0].key,))
            parents = (bulk_job.key, *(job.key for job in relaxations))
            jobs.append(bulk_job)
            jobs += [
                made.branch(
                    f"field/pair-{rank}/{axis}-{direction}",
                    bulk.model_copy(update={"candidates": candidates, "rank": rank}),
                    parents,
                    # A pair that could not be relaxed makes room for the next.
                    after_failures=True,
                )
                for rank in range(settings.pairs)
            ]
    parameters = FrenkelFieldParameters(
        **made.own,
        bulk=made.bulk.identifier,
        pairs=pairs,
        candidates=list(candidates),
        followed=settings.pairs,
        branches=branches,
        recombination_radius_A=settings.basins.recombination_radius_A,
    )
    return [*jobs, made.gather("field", FrenkelFieldTask, parameters, jobs)]


def vacancy_jobs(plan: AnalysisPlan, settings: VacancySettings) -> list[Job]:
    """Return the graph: every vacancy with every model, single points on them, the metal if it is asked for."""

    from ....analysis.defects.defect_sites import sample_vacancies
    from ....tasks.defects.results import VacancyParameters, VacancyTask

    campaign = plan.campaign
    atoms = plan.atoms.repeat(settings.supercell)
    vacancies = sample_vacancies(atoms, campaign.mobile, settings.sites, seed=derive_seed(campaign.seed, "vacancy"))
    metal = _metal_job(plan, settings)
    jobs: list[Job] = [metal] if metal is not None else []
    for kind in plan.models:
        made = _DefectJobs(plan, kind, "analysis/vacancy", settings)
        relaxations = made.relaxations(vacancies)
        references = made.single_points(relaxations, None)
        points = [_single_point(job).identifier for job in references]
        parameters = VacancyParameters(
            **made.own,
            bulk=made.bulk.identifier,
            vacancies=vacancies,
            relaxations=[_relaxation(job).identifier for job in relaxations[1:]],
            bulk_reference=points[0] if points else None,
            references=tuple(points[1:]),
            metal=None if metal is None else _metal(metal).identifier,
        )
        parents = relaxations + references + ([metal] if metal is not None else [])
        jobs += [*relaxations, *references, made.gather("", VacancyTask, parameters, parents)]
    return jobs


def _metal_job(plan: AnalysisPlan, settings: VacancySettings) -> Job | None:
    from ....tasks.defects.relaxations import MetalParameters, MetalTask

    if settings.element_reference != "metal":
        return None
    parameters = MetalParameters(
        campaign=plan.campaign.name,
        generation=plan.generation,
        supercell=settings.supercell,
        mobile=plan.campaign.mobile,
        potential=plan.potential(REFERENCE),
        repeat=settings.metal_repeat,
    )
    return Job(key="analysis/vacancy/metal", task=MetalTask, parameters=parameters, priority=PRIORITY)


def frenkel_cost(settings: FrenkelSettings, models: int, in_field: int, atoms: int) -> AnalysisCost:
    """Return what pairs and fields ask for; a relaxation counts as `EVALUATIONS_PER_RELAXATION`.

    ``in_field``: models that a field acts on.
    """
    size = atoms * settings.supercell[0] * settings.supercell[1] * settings.supercell[2]
    fields = sum(len(branch) for branch in settings.branches.values())
    relaxations = models * (1 + settings.tried) + in_field * len(settings.axes) * fields * (1 + settings.pairs)
    reference = models * (1 + settings.tried) if settings.reference else 0
    return AnalysisCost(
        reference_evaluations=reference,
        reference_atoms=size if reference else 0,
        model_evaluations=relaxations * EVALUATIONS_PER_RELAXATION,
        model_atoms=size,
    )


def vacancy_cost(settings: VacancySettings, models: int, atoms: int) -> AnalysisCost:
    """Return what the vacancies ask for, the metal not counted: it is one small calculation."""
    size = atoms * settings.supercell[0] * settings.supercell[1] * settings.supercell[2]
    relaxations = models * (1 + settings.sites)
    return AnalysisCost(
        reference_evaluations=relaxations if settings.reference else 0,
        reference_atoms=size if settings.reference else 0,
        model_evaluations=relaxations * EVALUATIONS_PER_RELAXATION,
        model_atoms=size,
    )


def frenkel_problems(campaign: Campaign, atoms: Atoms, settings: FrenkelSettings) -> Iterable[Problem]:
    """Yield what does not fit: no room for pairs, a field without a charged model, a charged cell in a field."""
    key = ("analyses", "frenkel")
    try:
        frenkel_pairs(campaign, atoms, settings)
    except InputError as error:
        yield Problem(key, f"cannot be made: {error}")
    if not settings.branches:
        return
    under = campaign.kind_of_baseline
    reason = under.why_no_field(campaign.baseline)
    if campaign.models_on_baseline and reason:
        yield Problem(
            (*key, "fields_V_per_A"),
            f"needs charges for a field to act on, and {under.name} has charges {reason}; or set it to []",
            related=(("baseline", "kind"),),
        )
        return
    if not models_in_field(campaign):
        able = " or ".join(kind.name for kind in MODELS.kinds if kind.has_charges)
        none = ", ".join(campaign.models)
        yield Problem(
            (*key, "fields_V_per_A"),
            f"needs a model with charges, which a field acts on, and {none} has none; add {able}, or set it to []",
            related=(("models",),),
        )
        return
    if not under.has_species_charges:
        return  # they are neutral by themselves
    try:
        charges = baseline_settings(campaign.baseline, [atoms.get_chemical_symbols()]).charges
        total = cell_charge(charges, atoms.get_chemical_symbols())
    except (UnknownChargesError, KeyError):
        return  # told as a problem of the baseline
    if abs(total) > NEUTRAL_TOLERANCE_E:
        yield Problem(
            (*key, "fields_V_per_A"),
            f"needs a neutral cell; the baseline's charges add up to {total:+.4g} e",
            related=(("baseline", "charges"),),
        )


def models_in_field(campaign: Campaign) -> tuple[str, ...]:
    """Return the models that have charges for a field to act on."""
    if campaign.kind_of_baseline.why_no_field(campaign.baseline):
        return ()
    return tuple(name for name in campaign.models if campaign.kind_of(name).has_charges)
