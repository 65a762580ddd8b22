"""What the report says of energy against volume."""

from __future__ import annotations

from collections.abc import Iterable

from ....analysis.energy_volume.curves import BirchMurnaghanFit
from ....analysis.energy_volume.figures import EnergyVolumeCurve, energy_volume_figure
from ....analysis.figures import model_name
from ....core.names import REFERENCE
from ....store.connection import Store
from ....store.queries.latest import latest_by_model
from ....store.records import ResultRecord
from ....tasks.values.energy_volume import VOLUME_CURVES
from ..results import in_order_of_models
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock


def curves_in_store(store: Store, campaign: str, system: str | None = None) -> list[ResultRecord]:
    """Return the campaign's latest curve of every potential, models first."""
    return in_order_of_models(latest_by_model(store, campaign, VOLUME_CURVES.name, system))


def energy_volume_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: the curves, their equations of state, and what was left out."""
    records = [
        record for record in curves_in_store(store, campaign, system) if VOLUME_CURVES.read(record).volumes_A3_per_atom
    ]
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
    values = VOLUME_CURVES.read(record)
    return EnergyVolumeCurve(
        kind=str(record.model_kind),
        volumes_A3_per_atom=values.volumes_A3_per_atom,
        energies_eV_per_atom=values.energies_eV_per_atom,
        fit=values.fit,
    )


def _caption(records: list[ResultRecord]) -> str:
    relaxed = {str(record.model_kind): VOLUME_CURVES.read(record).ions_relaxed_with for record in records}
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
    name, used = model_name(str(record.model_kind)), str(len(VOLUME_CURVES.read(record).volumes_A3_per_atom))
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
        name, values = model_name(str(record.model_kind)), VOLUME_CURVES.read(record)
        if values.unconverged or values.missing:
            yield (
                f"{name}: {values.unconverged} cells did not converge and {values.missing} failed; they are left out."
            )
        if values.reason:
            yield f"{name}: {values.reason}."


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
    fit = VOLUME_CURVES.read(record).fit
    return fit if fit is not None and fit.bracketed else None
