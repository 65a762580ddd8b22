"""What the report says of energy against volume."""

from __future__ import annotations

from collections.abc import Iterable

from ....analysis.energy_volume.curves import BirchMurnaghanFit
from ....analysis.energy_volume.figures import EnergyVolumeCurve, energy_volume_figure
from ....analysis.energy_volume.settings import PARAMETERS
from ....analysis.figures import model_name
from ....analysis.model_uncertainty.words import (
    MODEL_CAPTION,
    MODEL_COLUMN,
    half_width_text,
    inside_text,
    no_interval_text,
    plus_minus,
    student_half_width,
    with_intervals,
)
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
            (
                "potential",
                "V0, Å³/atom",
                f"{MODEL_COLUMN}, Å³/atom",
                "bulk modulus, GPa",
                f"{MODEL_COLUMN}, GPa",
                "its pressure derivative",
                MODEL_COLUMN,
                "cells used",
            ),
            [_row(record) for record in records],
            "±: 95 % interval of the fit, by Student's t: how well the points agree with Birch's form, nothing else. "
            f"{MODEL_CAPTION}",
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
        model_half_widths_eV_per_atom=values.energies_model_half_width_eV_per_atom,
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
        f"equation of state; bars: 95 % model intervals, against the lowest cell. {ions}."
    )


def _row(record: ResultRecord) -> tuple[str, ...]:
    values = VOLUME_CURVES.read(record)
    name, cells = model_name(str(record.model_kind)), len(values.volumes_A3_per_atom)
    fit = _minimum(record)
    if fit is None:
        return (name, *["–"] * 6, str(cells))
    freedom = cells - PARAMETERS
    return (
        name,
        plus_minus(fit.volume_A3_per_atom, ".3f", student_half_width(fit.volume_standard_error_A3_per_atom, freedom)),
        half_width_text(values.volume_model_half_width_A3_per_atom, ".3f"),
        plus_minus(fit.bulk_modulus_GPa, ".1f", student_half_width(fit.bulk_modulus_standard_error_GPa, freedom)),
        half_width_text(values.bulk_modulus_model_half_width_GPa, ".1f"),
        plus_minus(
            fit.bulk_modulus_derivative,
            ".1f",
            student_half_width(fit.bulk_modulus_derivative_standard_error, freedom),
        ),
        half_width_text(values.bulk_modulus_derivative_model_half_width, ".1f"),
        str(cells),
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
        if values.model_interval_reason and record.model_kind != REFERENCE:
            yield no_interval_text(name, values.model_interval_reason)
    yield from _reference_remarks(records)


def _reference_remarks(records: list[ResultRecord]) -> Iterable[str]:
    """Yield how the reference lies to the intervals of the model that relaxed its cells."""
    by_kind = {str(record.model_kind): record for record in records}
    reference = by_kind.get(REFERENCE)
    own = None if reference is None else by_kind.get(str(VOLUME_CURVES.read(reference).ions_relaxed_with))
    if reference is None or own is None or own is reference:
        return
    fit, other, values = _minimum(own), _minimum(reference), VOLUME_CURVES.read(own)
    if fit is not None and other is not None:
        volume = (fit.volume_A3_per_atom, other.volume_A3_per_atom, values.volume_model_half_width_A3_per_atom)
        modulus = (fit.bulk_modulus_GPa, other.bulk_modulus_GPa, values.bulk_modulus_model_half_width_GPa)
        if told := inside_text(model_name(str(own.model_kind)), "volume and bulk modulus", (volume, modulus)):
            yield told


def _summary(records: list[ResultRecord]) -> str:
    parts = []
    for record in records:
        fit = _minimum(record)
        if fit is not None:
            values = VOLUME_CURVES.read(record)
            modulus = with_intervals(
                fit.bulk_modulus_GPa,
                "GPa",
                ".1f",
                statistical=student_half_width(
                    fit.bulk_modulus_standard_error_GPa, len(values.volumes_A3_per_atom) - PARAMETERS
                ),
                statistical_is="fit",
                model=values.bulk_modulus_model_half_width_GPa,
            )
            parts.append(f"{model_name(str(record.model_kind))} {modulus} at {fit.volume_A3_per_atom:.2f} Å³/atom")
    return f"Bulk modulus: {'; '.join(parts)}." if parts else "No equation of state has its minimum among the volumes."


def _minimum(record: ResultRecord) -> BirchMurnaghanFit | None:
    """Return the fit, None where there is none or its minimum is extrapolated: those numbers mean nothing."""
    fit = VOLUME_CURVES.read(record).fit
    return fit if fit is not None and fit.bracketed else None
