"""The energy-volume curves of a campaign's final models and of its reference engine."""

from __future__ import annotations

from collections.abc import Iterable

from ase import Atoms

from ...analysis.energy_volume import BirchMurnaghanFit, EnergyVolumeSettings
from ...analysis.figures import model_name
from ...analysis.figures_energy_volume import EnergyVolumeCurve, energy_volume_figure
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
from ..campaign import Campaign
from ..campaign_problems import Problem
from ..jobs import Job
from ..report_sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock
from .base import PRIORITY, Analysis, AnalysisCost, AnalysisPlan

EVALUATIONS_PER_RELAXATION = 100
"""Evaluations that relaxing the ions of one cell takes, estimated."""
_ORDER = ("gap", "es-gap", REFERENCE)
_STAGE = f"analysis/{CURVE_KIND}"


def energy_volume_jobs(plan: AnalysisPlan, settings: EnergyVolumeSettings) -> list[Job]:
    """Return one job per potential and cell, and one per potential that fits its equation of state."""
    relaxation = settings.relaxation if settings.relax_ions else None
    jobs: list[Job] = []
    points: dict[str, list[EnergyVolumePointParameters]] = {}
    for kind in plan.models:
        points[kind] = [
            EnergyVolumePointParameters(
                **plan.place, potential=plan.potential(kind), strain=strain, relaxation=relaxation
            )
            for strain in settings.strains
        ]
        jobs += _curve_jobs(plan, kind, points[kind], plan.parents(kind), kind if settings.relax_ions else None)
    if settings.reference != "none":
        jobs += _reference_jobs(plan, settings, points[plan.campaign.driver])
    return jobs


def _reference_jobs(
    plan: AnalysisPlan, settings: EnergyVolumeSettings, of_driver: list[EnergyVolumePointParameters]
) -> list[Job]:
    driver = plan.campaign.driver
    borrows = settings.relax_ions and settings.reference == "single-points"
    points = [
        EnergyVolumePointParameters(
            **plan.place,
            potential=plan.potential(REFERENCE),
            strain=point.strain,
            relaxation=settings.relaxation if settings.relax_ions and not borrows else None,
            ions_of=point.identifier if borrows else None,
        )
        for point in of_driver
    ]
    relaxed_with = (driver if borrows else REFERENCE) if settings.relax_ions else None
    own = [f"{_STAGE}/{driver}/{index}" for index in range(len(points))] if borrows else []
    return _curve_jobs(plan, REFERENCE, points, (), relaxed_with, own)


def _curve_jobs(
    plan: AnalysisPlan,
    kind: str,
    points: list[EnergyVolumePointParameters],
    parents: tuple[str, ...],
    relaxed_with: str | None,
    own_parents: list[str] | None = None,
) -> list[Job]:
    jobs = [
        Job(
            key=f"{_STAGE}/{kind}/{index}",
            task=EnergyVolumePointTask,
            parameters=point,
            parents=(own_parents[index],) if own_parents else parents,
            priority=PRIORITY,
        )
        for index, point in enumerate(points)
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
    relaxed = settings.points * (EVALUATIONS_PER_RELAXATION if settings.relax_ions else 1)
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
        FigureBlock("curves", energy_volume_figure([_as_curve(record) for record in records]), _caption(records)),
        TableBlock(
            ("potential", "V0, Å³/atom", "bulk modulus, GPa", "its pressure derivative", "cells used"),
            [_row(record) for record in records],
            "± one standard error of the fit: how well the points agree with Birch's form, nothing else.",
        ),
        *(TextBlock(text) for text in _remarks(records)),
    )
    return ReportSection("energy-volume", "Energy and volume", _summary(records), blocks)


def _as_curve(record: ResultRecord) -> EnergyVolumeCurve:
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
    if record.values["fit"] is None:
        return (name, "–", "–", "–", used)
    fit = BirchMurnaghanFit.model_validate(record.values["fit"])
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
        if record.values["fit"] is not None:
            fit = BirchMurnaghanFit.model_validate(record.values["fit"])
            parts.append(
                f"{model_name(str(record.model_kind))} {fit.bulk_modulus_GPa:.1f} ± "
                f"{fit.bulk_modulus_standard_error_GPa:.1f} GPa at {fit.volume_A3_per_atom:.2f} Å³/atom"
            )
    return f"Bulk modulus: {'; '.join(parts)}." if parts else "No equation of state goes through the energies."


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
