"""A survey as a section of a page, the same in a file and in the dashboard, read from the store alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...core.errors import InputError
from ...core.files import write_whole
from ...store.connection import Store
from ...store.records import SurveyRecord
from ..analyses.sections import Block, FigureBlock, ReportSection, TextBlock
from .facts import facts_of
from .figure import CAPTION, survey_figure
from .rows import SurveyRow, funnel, survey_rows
from .table import candidates_table, csv_table, funnel_table, interval_text, markdown, refused_table

DEFAULT_THRESHOLD_MS_PER_CM: Final = 1.0
WRITERS: Final = (".md", ".csv", ".html")
"""Endings of the files that a table can be written to."""


def threshold_of(record: SurveyRecord) -> float:
    """Return the conductivity (mS/cm) whose probability the table tells."""
    screening = (record.settings.get("analyses") or {}).get("screening") or {}
    return float(screening.get("conductivity_mS_per_cm", DEFAULT_THRESHOLD_MS_PER_CM))


def summary_of(rows: Sequence[SurveyRow]) -> str:
    """Return where a survey stands, in a sentence."""
    counts = dict(funnel(rows))
    return (
        f"{counts['candidates']} candidates, {counts['kept']} kept; {counts['learnt']} have final models, "
        f"{counts['lasting']} last at some temperature, {counts['conducting']} conduct."
    )


def survey_section(record: SurveyRecord, rows: Sequence[SurveyRow]) -> ReportSection:
    """Return the funnel, the figure, the table, and who was refused."""
    threshold = threshold_of(record)
    blocks: list[Block] = [funnel_table(rows)]
    figure = survey_figure(rows, threshold)
    if figure is not None:
        blocks.append(FigureBlock("conductivities", figure, CAPTION))
    blocks.append(candidates_table(rows, threshold))
    refused = refused_table(rows)
    if refused.rows:
        blocks.append(refused)
    blocks += [TextBlock(line) for line in record.told]
    return ReportSection("survey", f"Survey {record.id}", summary_of(rows), tuple(blocks))


def print_rows(store: Store, record: SurveyRecord) -> list[str]:
    """Return the survey as lines for a terminal."""
    rows = survey_rows(record, facts_of(store, record))
    lines = [summary_of(rows)]
    for row in rows:
        number = "  –" if row.rank is None else f"{row.rank:>3}"
        conductivity = (
            ""
            if row.conductivity_mS_per_cm is None
            else (
                f", σ(300 K) {interval_text(row.conductivity_mS_per_cm)} mS/cm"
                f", E_a {interval_text(row.activation_energy_eV, 2)} eV"
            )
        )
        lines.append(f"{number}  {row.candidate.formula or row.candidate.source}: {row.told}{conductivity}")
    return lines


def write_table(store: Store, record: SurveyRecord, path: Path) -> Path:
    """Write the table of a survey, whole or not at all; the ending of the file says how.

    Raises
    ------
    InputError
        If the ending is none of `WRITERS`, or the file cannot be written.
    """
    if path.suffix not in WRITERS:
        raise InputError(f"{path}: a table is written to a file that ends with {' or '.join(WRITERS)}")
    rows = survey_rows(record, facts_of(store, record))
    if path.suffix == ".csv":
        text = csv_table(rows)
    elif path.suffix == ".md":
        text = markdown(f"Survey {record.id}", rows, threshold_of(record))
    else:
        from ..studies.results import study_page

        text = study_page(survey_section(record, rows))
    _write(path, text)
    return path


def write_figure(store: Store, record: SurveyRecord, path: Path) -> Path:
    """Write the figure of a survey as a page of its own.

    Raises
    ------
    InputError
        If no crystal has a conductivity yet, or the file cannot be written.
    """
    figure = survey_figure(survey_rows(record, facts_of(store, record)), threshold_of(record))
    if figure is None:
        raise InputError(f"no crystal of survey {record.id} has a conductivity yet")
    _write(path, figure.to_json() if path.suffix == ".json" else figure.to_html(include_plotlyjs=True))
    return path


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
