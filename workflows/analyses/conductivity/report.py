"""What the report says of diffusion and conductivity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ....analysis.conductivity.arrhenius import ArrheniusResult
from ....analysis.conductivity.diffusion import Estimate
from ....analysis.conductivity.figures import (
    ArrheniusSeries,
    DisplacementSeries,
    LengthSeries,
    arrhenius_figure,
    conductivity_length_figure,
    displacement_figure,
)
from ....analysis.conductivity.transport import ConductivityResult
from ....analysis.figures import model_name, model_place
from ....core.words import three_digits
from ....store.connection import Store
from ....store.queries.latest import latest_by
from ....store.records import ResultRecord
from ....tasks.conductivity import ESTIMATE_COLUMNS
from ....tasks.results import known_result, load_arrays
from ....tasks.values.conductivity import ARRHENIUS_LINES, CONDUCTIVITIES, ArrheniusValues, ConductivityValues
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock


def latest_results(store: Store, campaign: str, system: str | None = None) -> list[ResultRecord]:
    """Return the latest conductivity of every potential and temperature, models first."""

    def place(record: ResultRecord) -> tuple[Any, float]:
        return model_place(str(record.model_kind)), CONDUCTIVITIES.read(record).temperature_K

    return sorted(latest_by(store, campaign, CONDUCTIVITIES.name, place, system).values(), key=place)


def conductivity_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: table, displacements, convergence, and Arrhenius where there is a line."""
    records = [record for record in latest_results(store, campaign, system) if known_result(store, record.id)]
    if not records:
        return None
    results = [CONDUCTIVITIES.read(record) for record in records]
    lines = _lines(store, campaign, records)
    at_K = _shown_temperature(results)
    shown = [(record, one) for record, one in zip(records, results, strict=True) if one.temperature_K == at_K]
    curves = [(str(record.model_kind), one, load_arrays(store, record.artefacts["curves"])) for record, one in shown]
    blocks: list[Block] = [
        _table(records, results),
        FigureBlock("displacement", displacement_figure([displacement_series(*one) for one in curves]), _caption(at_K)),
        FigureBlock(
            "length",
            conductivity_length_figure([length_series(kind, arrays) for kind, _, arrays in curves]),
            f"Tracer conductivity at {at_K:g} K against the length of the {results[0].replicas} trajectories, with its "
            "95 % band. Open symbols: ions have not moved far enough yet, only the upper end of the band counts.",
        ),
    ]
    if len({one.temperature_K for one in results}) > 1:
        figure = arrhenius_figure([arrhenius_series(kind, records, results, lines) for kind in _kinds(records)])
        blocks.append(FigureBlock("arrhenius", figure, "Tracer diffusivities with 95 % intervals; open: extrapolated."))
    if lines:
        blocks.append(_arrhenius_table(lines))
    blocks += [TextBlock(text) for text in _remarks(records, results)]
    return ReportSection("conductivity", "Conductivity", _summary(records, results), tuple(blocks))


def _kinds(records: list[ResultRecord]) -> list[str]:
    return list(dict.fromkeys(str(record.model_kind) for record in records))


def _lines(store: Store, campaign: str, records: list[ResultRecord]) -> dict[str, ArrheniusValues]:
    """Return the activation energies that belong to these very conductivities, by potential."""
    current = {record.id for record in records}
    return {
        str(record.model_kind): ARRHENIUS_LINES.read(record)
        for record in store.results.find({"campaign": campaign, "kind": ARRHENIUS_LINES.name})
        if current.issuperset(record.inputs)
    }


def _shown_temperature(results: Sequence[ConductivityResult]) -> float:
    """Return the temperature that most potentials have, the highest of them: there displacements are largest."""
    temperatures = [one.temperature_K for one in results]
    return max(set(temperatures), key=lambda temperature: (temperatures.count(temperature), temperature))


def displacement_series(kind: str, result: ConductivityResult, arrays: dict[str, Any]) -> DisplacementSeries:
    """Return the displacements that the arrays of a result hold."""
    window = (result.window_start_ps, result.window_end_ps)
    return DisplacementSeries(kind, arrays["lags_ps"], arrays["tracer_A2"], arrays["collective_A2"], window)


def length_series(kind: str, arrays: dict[str, Any]) -> LengthSeries:
    """Return the conductivity against length that the arrays of a result hold."""
    column = {name: arrays["tracer_mS_per_cm"][:, index] for index, name in enumerate(ESTIMATE_COLUMNS)}
    reliable = arrays["reliable"].astype(bool)
    return LengthSeries(kind, arrays["length_ps"], column["value"], column["low"], column["high"], reliable)


def arrhenius_series(
    kind: str, records: list[ResultRecord], results: Sequence[ConductivityResult], lines: Mapping[str, ArrheniusResult]
) -> ArrheniusSeries:
    """Return the reliable diffusivities of one potential, with its line if it has one."""
    chosen = [one for record, one in zip(records, results, strict=True) if record.model_kind == kind and one.reliable]
    return ArrheniusSeries(
        kind,
        tuple(one.temperature_K for one in chosen),
        tuple(one.diffusivity_A2_per_ps for one in chosen),
        lines.get(kind),
    )


def _caption(temperature_K: float) -> str:
    return (
        f"Mean squared displacement at {temperature_K:g} K, over all time origins, of the ions (solid) and of their "
        "charge (dashed, divided by Σq²). Strong lines: the lags that are fitted."
    )


def _table(records: list[ResultRecord], results: Sequence[ConductivityValues]) -> TableBlock:
    rows = [
        (
            model_name(str(record.model_kind)),
            f"{one.temperature_K:g}",
            f"{one.replicas} × {one.length_ps:g} ps",
            show(one.diffusivity_A2_per_ps, one.reliable),
            show_model_factor(one),
            show(one.tracer_conductivity_mS_per_cm, one.reliable),
            show(one.collective_conductivity_mS_per_cm, one.reliable),
            show(one.haven_ratio, one.reliable),
        )
        for record, one in zip(records, results, strict=True)
    ]
    columns = (
        "potential",
        "T, K",
        "length",
        "D*, Å²/ps",
        "model",
        "σ tracer, mS/cm",
        "σ collective, mS/cm",
        "Haven ratio",
    )
    text = (
        "In brackets: 95 % intervals of what the trajectories leave open. Model: by what factor, up or down, it may "
        "be off (95 %) in D* and both conductivities, from models drawn from its posterior. Formal charges. ≤: upper "
        "bound, no diffusion seen."
    )
    return TableBlock(columns, rows, text)


def _arrhenius_table(lines: dict[str, ArrheniusValues]) -> TableBlock:
    rows = [
        (
            model_name(kind),
            show(line.activation_energy_eV),
            "–"
            if line.activation_energy_model_half_width_eV is None
            else f"± {line.activation_energy_model_half_width_eV:.2f}",
            f"{line.extrapolated_temperature_K:g}",
            show(line.extrapolated_conductivity_mS_per_cm),
        )
        for kind, line in lines.items()
    ]
    return TableBlock(("potential", "activation energy, eV", "model, eV", "T, K", "σ extrapolated, mS/cm"), rows)


def show(estimate: Estimate | None, reliable: bool = True) -> str:
    """Return ``1.23 (1.10 to 1.40)``, the upper bound of what is not reliable, or a dash."""
    if estimate is None:
        return "–"
    if not reliable:
        return f"≤ {three_digits(estimate.high)}"
    return f"{three_digits(estimate.value)} ({three_digits(estimate.low)} to {three_digits(estimate.high)})"


def show_model_factor(values: ConductivityValues) -> str:
    """Return ``×/÷ 1.4``, or a dash where nothing is known of the model's part."""
    return (
        "–" if values.logarithm_model_half_width is None else f"×/÷ {math.exp(values.logarithm_model_half_width):.2g}"
    )


def _remarks(records: list[ResultRecord], results: list[ConductivityValues]) -> Iterable[str]:
    for record, one in zip(records, results, strict=True):
        name = f"{model_name(str(record.model_kind))} at {one.temperature_K:g} K"
        if one.missing_replicas:
            yield f"{name}: {one.missing_replicas} replicas failed or ended early and are left out."
        if one.samples_left_out:
            yield (
                f"{name}: {one.samples_left_out} of {one.samples_left_out + len(one.sampled)} models drawn from the "
                "posterior failed, ended early or did not diffuse, and are left out of the model's part of the error."
            )
        if one.model_interval_reason:
            yield f"{name}: the model's part of the error is not known: {one.model_interval_reason}."
        for warning in one.warnings:
            yield f"{name}: {warning}."


def _summary(records: list[ResultRecord], results: Sequence[ConductivityResult]) -> str:
    parts = [
        f"{model_name(str(record.model_kind))} {show(one.tracer_conductivity_mS_per_cm, one.reliable)} mS/cm at "
        f"{one.temperature_K:g} K"
        for record, one in zip(records, results, strict=True)
    ]
    return f"Tracer conductivity: {'; '.join(parts)}."
