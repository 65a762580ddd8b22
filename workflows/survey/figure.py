"""The figure of a survey: conductivities at 300 K as bars with their intervals, the best crystal first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from ...analysis.figures import COMPARED_COLOURS, NEUTRAL_COLOUR
from .rows import SurveyRow

_BAR_PX: Final = 28
_FRAME_PX: Final = 110
CAPTION: Final = (
    "Conductivities at 300 K from Arrhenius lines, of ions without correlation, with 95 % intervals. Lines that rest "
    "on bounds as well are grey."
)


def survey_figure(rows: Sequence[SurveyRow], threshold_mS_per_cm: float) -> go.Figure | None:
    """Return the figure, None where no crystal has a conductivity yet."""
    shown = [(row, found) for row in rows if (found := row.conductivity_mS_per_cm) is not None]
    if not shown:
        return None
    names = _names([row for row, _ in shown])
    values = [found.value for _, found in shown]
    figure = go.Figure(
        go.Bar(
            y=names,
            x=values,
            orientation="h",
            marker_color=[NEUTRAL_COLOUR if _rests_on_bounds(row) else COMPARED_COLOURS[0] for row, _ in shown],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [found.high - found.value for _, found in shown],
                "arrayminus": [found.value - found.low for _, found in shown],
                "color": COMPARED_COLOURS[8],
            },
            hovertemplate="%{y}: %{x:.3g} mS/cm<extra></extra>",
            showlegend=False,
        )
    )
    figure.add_vline(x=threshold_mS_per_cm, line_dash="dot", line_color=NEUTRAL_COLOUR)
    figure.update_xaxes(title_text="σ at 300 K (mS/cm)", type="log")
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_layout(height=_FRAME_PX + _BAR_PX * len(shown), margin={"l": 60, "r": 20, "t": 20, "b": 50})
    return figure


def _rests_on_bounds(row: SurveyRow) -> bool:
    summary = None if row.facts is None else row.facts.summary
    return summary is not None and summary.line is not None and bool(summary.line.bounded_temperatures_K)


def _names(rows: Sequence[SurveyRow]) -> list[str]:
    """Return a name for each bar: the formula, with the hash of the structure where two have the same."""
    formulas = [row.candidate.formula for row in rows]
    return [row.candidate.name if formulas.count(row.candidate.formula) > 1 else row.candidate.formula for row in rows]
