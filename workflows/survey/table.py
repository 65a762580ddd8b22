"""The table of a survey, for people and for programs: in the form of the survey by Hajibabaei and Kim, with intervals.

J. Phys. Chem. Lett. 2021, 12, 8115 (10.1021/acs.jpclett.1c01605), Table 1: diffusivities by temperature, activation
energy, conductivity at room temperature, R² of the forces.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Final

from ...analysis.conductivity.diffusion import Estimate
from ...core.names import AUDIT
from ...core.words import three_digits
from ...tasks.values.screening import ScreeningRunValues
from ..analyses.sections import TableBlock
from .rows import FUNNEL, Stage, SurveyRow, funnel

COLUMNS: Final = (
    "rank",
    "crystal",
    "D (Å²/ps) at T",
    "E_a (eV)",
    "σ at 300 K (mS/cm)",
    "P(σ > 1 mS/cm)",
    "volume expansion (%)",
    "R² of forces",
    "force error (meV/Å)",
    "labels",
    "status",
)
_NOTHING: Final = "–"
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[-+]?[0-9.eE+-]+")


def columns(threshold_mS_per_cm: float) -> tuple[str, ...]:
    """Return the heads of the table; the threshold is that of the probability."""
    return tuple(one.replace("1 mS/cm", f"{threshold_mS_per_cm:g} mS/cm") for one in COLUMNS)


def cells_of(row: SurveyRow) -> list[str]:
    """Return the texts of a row, one for each column."""
    facts = row.facts
    summary = None if facts is None else facts.summary
    errors = None if facts is None else facts.errors
    expansion = None if summary is None else summary.largest_expansion
    return [
        _rank(row),
        row.candidate.formula or row.candidate.source,
        "; ".join(run_text(one) for one in _by_temperature(row)) or _NOTHING,
        interval_text(row.activation_energy_eV, 2),
        interval_text(row.conductivity_mS_per_cm),
        _NOTHING if row.probability is None else f"{row.probability:.2f}",
        _NOTHING if expansion is None else f"{100 * (expansion - 1):.1f}",
        _NOTHING if row.determination is None else f"{row.determination:.3f}",
        _NOTHING
        if errors is None or errors.force_eV_per_A is None
        else f"{1000 * errors.force_eV_per_A.rmse:.0f}{'' if errors.subset == AUDIT else ' (new)'}",
        str(facts.labels) if facts is not None and facts.labels else _NOTHING,
        "; ".join([row.told, *row.candidate.flags]),
    ]


def _rank(row: SurveyRow) -> str:
    if row.rank is None or row.rank_interval is None:
        return _NOTHING
    first, last = row.rank_interval
    return f"{row.rank}" if first == last == row.rank else f"{row.rank} ({first} to {last})"


def _by_temperature(row: SurveyRow) -> list[ScreeningRunValues]:
    runs = () if row.facts is None else row.facts.runs
    return sorted(runs, key=lambda one: -one.temperature_K)


def run_text(run: ScreeningRunValues) -> str:
    """Return a run in a few words: "1000 K: 0.61 (0.55 to 0.68)", "640 K: < 0.001", "1000 K: melted"."""
    estimate, at = run.diffusivity_A2_per_ps, f"{run.temperature_K:g} K"
    if not run.verdict.sound:
        return f"{at}: {run.verdict}"
    if estimate is None:
        return f"{at}: {run.verdict}"
    if not run.measured:
        return f"{at}: < {_digits(estimate.high)}"
    return f"{at}: {interval_text(estimate)}"


def interval_text(one: Estimate | None, decimals: int | None = None) -> str:
    """Return a value with its 95 % interval."""
    if one is None:
        return _NOTHING
    value, low, high = (_digits(number, decimals) for number in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"


def _digits(number: float, decimals: int | None = None) -> str:
    if decimals is not None:
        return f"{number:.{decimals}f}"
    return f"{number:.2g}" if abs(number) < 100 else three_digits(number)


def candidates_table(rows: Sequence[SurveyRow], threshold_mS_per_cm: float) -> TableBlock:
    """Return the crystals that were kept."""
    kept = [cells_of(row) for row in rows if row.stage is not Stage.REFUSED]
    return TableBlock(columns(threshold_mS_per_cm), kept, CAPTION)


CAPTION: Final = (
    "D: tracer diffusivity of the mobile ion, σ of ions without correlation, both with 95 % intervals of the "
    "statistics alone: the models' errors are not in them. < marks upper bounds, which enter the Arrhenius line as "
    "such. Ranks in parentheses: between which places (95 %) the intervals allow the crystal to lie."
)


def refused_table(rows: Sequence[SurveyRow]) -> TableBlock:
    """Return the crystals that were refused, and why."""
    refused = [row for row in rows if row.stage is Stage.REFUSED]
    cells = [[row.candidate.formula or _NOTHING, row.candidate.source, row.told] for row in refused]
    return TableBlock(("crystal", "from", "refused because"), cells)


def funnel_table(rows: Sequence[SurveyRow]) -> TableBlock:
    """Return how many crystals have come how far."""
    return TableBlock(FUNNEL, [[str(count) for _, count in funnel(rows)]], FUNNEL_CAPTION)


FUNNEL_CAPTION: Final = (
    "Begun: a job of its campaign has run. Learnt: its models are final. Lasting: a crystal at some temperature. "
    "Conducting: diffusivities at two temperatures or more."
)


def markdown(title: str, rows: Sequence[SurveyRow], threshold_mS_per_cm: float) -> str:
    """Return the survey as Markdown."""
    parts = [f"# {title}", "", *_markdown_table(funnel_table(rows)), "", FUNNEL_CAPTION, ""]
    parts += [*_markdown_table(candidates_table(rows, threshold_mS_per_cm)), "", CAPTION]
    refused = refused_table(rows)
    if refused.rows:
        parts += ["", "## Refused", "", *_markdown_table(refused)]
    return "\n".join(parts) + "\n"


def _markdown_table(table: TableBlock) -> list[str]:
    return [_markdown_row(table.columns), "|" + "---|" * len(table.columns), *map(_markdown_row, table.rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    # Texts of other people's files may hold what Markdown or HTML would take for its own.
    safe = (" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return "| " + " | ".join(safe) + " |"


def csv_table(rows: Sequence[SurveyRow]) -> str:
    """Return the survey for programs: a line for every crystal and temperature, numbers without rounding."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        crystal = _csv_crystal(row)
        for run in map(_csv_run, _by_temperature(row)) if _by_temperature(row) else (_NO_RUN,):
            writer.writerow([_csv_cell(cell) for cell in (*crystal, *run)])
    return stream.getvalue()


_INTERVAL: Final = ("", "_low", "_high")
CSV_COLUMNS: Final = (
    *("rank", "rank_low", "rank_high", "crystal", "name", "campaign", "source", "stage", "status"),
    *(f"activation_energy_eV{part}" for part in _INTERVAL),
    *(f"conductivity_300K_mS_per_cm{part}" for part in _INTERVAL),
    *("probability", "volume_ratio", "force_determination", "force_rmse_eV_per_A", "errors_of", "labels", "flags"),
    *("temperature_K", "verdict", "measured"),
    *(f"diffusivity_A2_per_ps{part}" for part in _INTERVAL),
)


def _csv_crystal(row: SurveyRow) -> list[object]:
    facts = row.facts
    errors = None if facts is None else facts.errors
    summary = None if facts is None else facts.summary
    return [
        row.rank,
        *(row.rank_interval or (None, None)),
        row.candidate.formula,
        row.candidate.name,
        row.candidate.campaign,
        row.candidate.source,
        row.stage.value,
        row.told,
        *_three(row.activation_energy_eV),
        *_three(row.conductivity_mS_per_cm),
        row.probability,
        None if summary is None else summary.largest_expansion,
        row.determination,
        None if errors is None or errors.force_eV_per_A is None else errors.force_eV_per_A.rmse,
        None if errors is None else errors.subset,
        None if facts is None else facts.labels,
        "; ".join(row.candidate.flags),
    ]


_NO_RUN: Final[list[object]] = [None] * 6


def _csv_run(run: ScreeningRunValues) -> list[object]:
    return [run.temperature_K, run.verdict.value, run.measured, *_three(run.diffusivity_A2_per_ps)]


def _three(one: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if one is None else (one.value, one.low, one.high)


def _csv_cell(value: object) -> object:
    """Return a cell; texts of others that a spreadsheet would take for a formula are quoted."""
    if isinstance(value, str) and value.startswith(_DANGEROUS) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
