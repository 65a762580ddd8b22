"""The energy-volume curves of a campaign's final models and of its reference engine."""

from __future__ import annotations

from collections.abc import Iterable

from ase import Atoms

from ...analysis.energy_volume.curves import BirchMurnaghanFit, EnergyVolumeSettings
from ...analysis.energy_volume.figures import EnergyVolumeCurve, energy_volume_figure
from ...analysis.figures import model_name
from ...store.connection import Store
from ...store.records import ResultRecord
from ...tasks.energy_volume import (
    CURVE_KIND,
    EnergyVolumeParameters,
    EnergyVolumePointParameters,
    EnergyVolumePointTask,
    EnergyVolumeTask,
)
from ...tasks.results import REFERENCE
from ..campaign.problems import Problem
from ..campaign.settings import Campaign
from ..graph.jobs import Job
from .base import PRIORITY, Analysis, AnalysisCost, AnalysisPlan
from .sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

EVALUATIONS_PER_RELAXATION = 100
"""Evaluations that relaxing the ions of one cell takes, estimated."""
_ORDER = ("gap", "es-gap", REFERENCE)
_STAGE = f"analysis/{CURVE_KIND}"


def energy_volume_jobs(plan: AnalysisPlan, settings: EnergyVolumeSettings) -> list[Job]:
    """Return one job per potential and cell, and one per potential that fits its equation of state.

    Where ions relax, the crystal is relaxed first and its strained copies start from there: started from the same
    unrelaxed ions they fall into different basins, and their energies lie on no curve.
    """
    jobs: list[Job] = []
    for kind in plan.models:
        jobs += _own_curve(plan, settings, kind)
    if settings.reference == "single-points" and settings.relax_ions:
        jobs += _borrowed_curve(plan, settings)
    elif settings.reference != "none":
        jobs += _own_curve(plan, settings, REFERENCE)
    return jobs


def _points(plan: AnalysisPlan, settings: EnergyVolumeSettings, kind: str) -> list[EnergyVolumePointParameters]:
    """Return the cells of a potential that relaxes its own ions (or leaves them), the crystal itself first."""
    own = {**plan.place, "potential": plan.potential(kind)}
    relaxation = settings.relaxation if settings.relax_ions else None
    origin = EnergyVolumePointParameters(**own, strain=0.0, relaxation=relaxation)
    scaled_from = origin.identifier if settings.relax_ions else None
    return [origin] + [
        EnergyVolumePointParameters(**own, strain=strain, relaxation=relaxation, scaled_from=scaled_from)
        for strain in settings.strains
    ]


def _own_curve(plan: AnalysisPlan, settings: EnergyVolumeSettings, kind: str) -> list[Job]:
    origin, *points = _points(plan, settings, kind)
    if not settings.relax_ions:
        return _curve_jobs(plan, kind, points, [plan.parents(kind)] * len(points), None)
    first = Job(
        key=f"{_STAGE}/{kind}/origin",
        task=EnergyVolumePointTask,
        parameters=origin,
        parents=plan.parents(kind),
        priority=PRIORITY,
    )
    return [first, *_curve_jobs(plan, kind, points, [(first.key,)] * len(points), kind)]


def _borrowed_curve(plan: AnalysisPlan, settings: EnergyVolumeSettings) -> list[Job]:
    """Return the reference's single points on the cells that the driver relaxed."""
    driver = plan.campaign.driver
    _, *of_driver = _points(plan, settings, driver)
    points = [
        EnergyVolumePointParameters(
            **plan.place,
            potential=plan.potential(REFERENCE),
            strain=point.strain,
            relaxation=None,
            ions_of=point.identifier,
        )
        for point in of_driver
    ]
    parents: list[tuple[str, ...]] = [(f"{_STAGE}/{driver}/{index}",) for index in range(len(points))]
    return _curve_jobs(plan, REFERENCE, points, parents, driver)


def _curve_jobs(
    plan: AnalysisPlan,
    kind: str,
    points: list[EnergyVolumePointParameters],
    parents: list[tuple[str, ...]],
    relaxed_with: str | None,
) -> list[Job]:
    jobs = [
        Job(
            key=f"{_STAGE}/{kind}/{index}",
            task=EnergyVolumePointTask,
            parameters=point,
            parents=waits_for,
            priority=PRIORITY,
        )
        for index, (point, waits_for) in enumerate(zip(points, parents, strict=True))
    ]
    gather = Job(
        key=f"{_STAGE}/{kind}",
        task=EnergyVolumeTask,
        parameters=EnergyVolumeParameters(
            **plan.place,
            potential=plan.potential(kind),
            points=[point.identifier for point in points],
            ions_relaxed_with=relaxed_with,
        ),
        parents=tuple(job.key for job in jobs),
        priority=PRIORITY,
        runs_after_failures=True,
    )
    return [*jobs, gather]


def energy_volume_cost(settings: EnergyVolumeSettings, models: int, atoms: int) -> AnalysisCost:
    """Return what the curves ask for; relaxations count as `EVALUATIONS_PER_RELAXATION`."""
    relaxed = (settings.points + 1) * EVALUATIONS_PER_RELAXATION if settings.relax_ions else settings.points
    reference = {"none": 0, "single-points": settings.points, "relax": relaxed}[settings.reference]
    return AnalysisCost(
        reference_evaluations=reference,
        reference_atoms=atoms if reference else 0,
        model_evaluations=models * relaxed,
        model_atoms=atoms,
    )


def curves_in_store(store: Store, campaign: str) -> list[ResultRecord]:
    """Return the campaign's latest curve of every potential, models first."""
    latest: dict[str, ResultRecord] = {}
    for record in store.results.find({"campaign": campaign, "kind": CURVE_KIND}):
        kind = str(record.model_kind)
        if kind not in latest or (record.generation, record.created) > (latest[kind].generation, latest[kind].created):
            latest[kind] = record
    return [latest[kind] for kind in _ORDER if kind in latest]


def energy_volume_section(store: Store, campaign: str) -> ReportSection | None:
    """Return the section of the report: the curves, their equations of state, and what was left out."""
    records = [record for record in curves_in_store(store, campaign) if record.values["volumes_A3_per_atom"]]
    if not records:
        return None
    blocks: tuple[Block, ...] = (
        FigureBlock(
            "curves", energy_volume_figure([energy_volume_curve(record) for record in records]), _caption(records)
        ),
        TableBlock(
            ("potential", "V0, Å³/atom", "bulk modulus, GPa", "its pressure derivative", "cells used"),
            [_row(record) for record in records],
            "± one standard error of the fit: how well the points agree with Birch's form, nothing else.",
        ),
        *(TextBlock(text) for text in _remarks(records)),
    )
    return ReportSection("energy-volume", "Energy and volume", _summary(records), blocks)


def energy_volume_curve(record: ResultRecord) -> EnergyVolumeCurve:
    """Return the points and the equation of state of a result."""
    fit = record.values["fit"]
    return EnergyVolumeCurve(
        kind=str(record.model_kind),
        volumes_A3_per_atom=tuple(record.values["volumes_A3_per_atom"]),
        energies_eV_per_atom=tuple(record.values["energies_eV_per_atom"]),
        fit=None if fit is None else BirchMurnaghanFit.model_validate(fit),
    )


def _caption(records: list[ResultRecord]) -> str:
    relaxed = {str(record.model_kind): record.values["ions_relaxed_with"] for record in records}
    if not any(relaxed.values()):
        ions = "Ions are scaled with the cell, not relaxed"
    elif relaxed.get(REFERENCE) not in (None, REFERENCE):
        driver = model_name(str(relaxed[REFERENCE]))
        ions = f"Ions are relaxed at fixed cell by each model; the reference computes the cells that {driver} relaxed"
    else:
        ions = "Ions are relaxed at fixed cell, each potential by itself"
    return (
        "Energy of isotropically strained cells, each potential counted from its own minimum; lines: Birch's "
        f"equation of state. {ions}."
    )


def _row(record: ResultRecord) -> tuple[str, ...]:
    name, used = model_name(str(record.model_kind)), str(len(record.values["volumes_A3_per_atom"]))
    fit = _minimum(record)
    if fit is None:
        return (name, "–", "–", "–", used)
    return (
        name,
        f"{fit.volume_A3_per_atom:.3f} ± {fit.volume_standard_error_A3_per_atom:.3f}",
        f"{fit.bulk_modulus_GPa:.1f} ± {fit.bulk_modulus_standard_error_GPa:.1f}",
        f"{fit.bulk_modulus_derivative:.1f} ± {fit.bulk_modulus_derivative_standard_error:.1f}",
        used,
    )


def _remarks(records: list[ResultRecord]) -> Iterable[str]:
    for record in records:
        name, values = model_name(str(record.model_kind)), record.values
        if values["unconverged"] or values["missing"]:
            yield (
                f"{name}: {values['unconverged']} cells did not converge and {values['missing']} failed; they are "
                "left out."
            )
        if values["reason"]:
            yield f"{name}: {values['reason']}."


def _summary(records: list[ResultRecord]) -> str:
    parts = []
    for record in records:
        fit = _minimum(record)
        if fit is not None:
            parts.append(
                f"{model_name(str(record.model_kind))} {fit.bulk_modulus_GPa:.1f} ± "
                f"{fit.bulk_modulus_standard_error_GPa:.1f} GPa at {fit.volume_A3_per_atom:.2f} Å³/atom"
            )
    return f"Bulk modulus: {'; '.join(parts)}." if parts else "No equation of state has its minimum among the volumes."


def _minimum(record: ResultRecord) -> BirchMurnaghanFit | None:
    """Return the fit, None where there is none or its minimum is extrapolated: those numbers mean nothing."""
    fit = record.values["fit"]
    found = None if fit is None else BirchMurnaghanFit.model_validate(fit)
    return found if found is not None and found.bracketed else None


def _settings(campaign: Campaign) -> EnergyVolumeSettings:
    return campaign.analyses.energy_volume or EnergyVolumeSettings()


def _cost(campaign: Campaign, atoms: Atoms) -> AnalysisCost:
    return energy_volume_cost(_settings(campaign), len(campaign.models), len(atoms))


def _problems(campaign: Campaign, atoms: Atoms) -> Iterable[Problem]:
    return ()


ENERGY_VOLUME = Analysis(
    name="energy_volume",
    jobs=lambda plan: energy_volume_jobs(plan, _settings(plan.campaign)),
    cost=_cost,
    problems=_problems,
    section=energy_volume_section,
)
