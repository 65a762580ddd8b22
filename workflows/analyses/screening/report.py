"""What the report says of a screening."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....analysis.figures import model_name
from ....analysis.screening.figures import ScreeningSeries, screening_figure
from ....core.looks import Look
from ....core.words import three_digits
from ....store.connection import Store
from ....store.queries.latest import latest_by_model
from ....store.records import ResultRecord
from ....tasks.values.screening import SCREENING_RUNS, SCREENINGS, ScreeningRunValues, ScreeningValues
from ..conductivity.report import show
from ..results import in_order_of_models
from ..sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock


def screening_section(store: Store, campaign: str, system: str | None = None) -> ReportSection | None:
    """Return the section of the report: verdicts, runs, the Arrhenius line with its bounds."""
    records = in_order_of_models(latest_by_model(store, campaign, SCREENINGS.name, system))
    if not records:
        return None
    found = [(record, SCREENINGS.read(record), runs_of(store, record)) for record in records]
    series = [series_of(record, values, runs) for record, values, runs in found]
    blocks: list[Block] = [_verdicts(found), _runs(found)]
    if any(one.temperatures_K or one.bounds for one in series):
        blocks.append(
            FigureBlock(
                "arrhenius",
                screening_figure(series),
                "Tracer diffusivities with 95 % intervals; arrows: upper bounds; open: extrapolated to 300 K.",
            )
        )
    blocks += [TextBlock(text) for text in _remarks(found)]
    return ReportSection("screening", "Screening", _summary(found), tuple(blocks))


def runs_of(store: Store, record: ResultRecord) -> list[ScreeningRunValues]:
    """Return the runs that a screening's summary was made from."""
    return [
        SCREENING_RUNS.read(one) for one in store.results.get_many(record.inputs) if one.kind == SCREENING_RUNS.name
    ]


def series_of(
    record: ResultRecord, values: ScreeningValues, runs: Sequence[ScreeningRunValues], look: Look | None = None
) -> ScreeningSeries:
    """Return what the figure shows of a screening."""
    sound = [one for one in runs if one.verdict.sound and one.diffusivity_A2_per_ps is not None]
    measured = [one for one in sound if one.measured]
    return ScreeningSeries(
        kind=str(record.model_kind),
        temperatures_K=tuple(one.temperature_K for one in measured),
        diffusivities_A2_per_ps=tuple(one.diffusivity_A2_per_ps for one in measured if one.diffusivity_A2_per_ps),
        bounds=tuple(
            (one.temperature_K, one.diffusivity_A2_per_ps.high)
            for one in sound
            if not one.measured and one.diffusivity_A2_per_ps is not None
        ),
        line=values.line,
        look=look,
    )


_Found = Sequence[tuple[ResultRecord, ScreeningValues, list[ScreeningRunValues]]]


def _verdicts(found: _Found) -> TableBlock:
    rows = []
    for record, values, _ in found:
        line = values.line
        rows.append(
            (
                model_name(str(record.model_kind)),
                str(values.outcome),
                _kelvin(values.highest_sound_temperature_K),
                _kelvin(values.lowest_lost_temperature_K),
                "–" if line is None else show(line.activation_energy_eV),
                "–" if line is None else show(line.extrapolated_conductivity_mS_per_cm),
                "–" if line is None else f"{line.probability_above_threshold:.2f}",
                "–" if values.expansion_per_K is None else f"{1e6 * values.expansion_per_K:.0f}",
            )
        )
    threshold = next((f"P(σ > {one.line.threshold_mS_per_cm:g} mS/cm)" for _, one, _ in found if one.line), "P(σ)")
    columns = (
        "potential",
        "verdict",
        "lasts at, K",
        "does not at, K",
        "activation energy, eV",
        "σ at 300 K, mS/cm",
        threshold,
        "expansion, 10⁻⁶/K",
    )
    text = (
        "In brackets: 95 % intervals of what the trajectories leave open, upper bounds of diffusivities included. σ: "
        "ions without correlation, at the volume of 300 K. Expansion: of the volume."
    )
    return TableBlock(columns, rows, text)


def _runs(found: _Found) -> TableBlock:
    rows = [
        (
            model_name(str(record.model_kind)),
            f"{one.temperature_K:g}",
            str(one.verdict),
            f"{one.sound_ps:.0f} of {one.length_ps:.0f}",
            show(one.diffusivity_A2_per_ps, one.measured),
            f"{one.hops_per_ion:.1f}",
            f"{one.host.lindemann_ratio:.2f}",
            "–" if one.host.similarity is None else f"{one.host.similarity:.2f}",
            "–" if one.volume_A3_per_atom is None else f"{one.volume_A3_per_atom:.2f}",
        )
        for record, _, runs in found
        for one in runs
    ]
    columns = (
        "potential",
        "T, K",
        "verdict",
        "used, ps",
        "D*, Å²/ps",
        "hops per ion",
        "Lindemann ratio",
        "similarity",
        "volume, Å³/atom",
    )
    text = "Used: what diffusivities come from; frames after the crystal is gone are cut. ≤: upper bound."
    return TableBlock(columns, rows, text)


def _kelvin(temperature_K: float | None) -> str:
    return "–" if temperature_K is None else f"{temperature_K:g}"


def _remarks(found: _Found) -> Iterator[str]:
    for record, values, runs in found:
        name = model_name(str(record.model_kind))
        for one in runs:
            yield f"{name} at {one.temperature_K:g} K ({one.why}): {one.told}."
            if one.host.rotating_anions and one.verdict.sound:
                yield f"{name} at {one.temperature_K:g} K: anions turn about centres that rest; that rejects nothing."
        yield f"{name}: no further run, {values.ended_because}. The model's part of the error is not known: " + (
            f"{values.model_interval_reason}."
        )


def _summary(found: _Found) -> str:
    parts = []
    for record, values, _ in found:
        text = f"{model_name(str(record.model_kind))}: {values.outcome}"
        if values.line is not None:
            room = values.line.extrapolated_conductivity_mS_per_cm
            text += (
                f", {three_digits(room.value)} mS/cm at 300 K ({three_digits(room.low)} to {three_digits(room.high)})"
            )
        parts.append(text)
    return f"{'; '.join(parts)}."
