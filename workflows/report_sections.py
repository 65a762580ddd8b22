"""What an analysis shows of itself, in the report and elsewhere: a heading, a sentence, figures, tables and text.

Plain values; whoever shows them escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption; ``key`` is unique in a page: lower-case letters, digits and hyphens."""

    key: str
    figure: go.Figure
    caption: str


@dataclass(frozen=True)
class TableBlock:
    """A table of texts; columns carry their units. Columns that hold numbers are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class TextBlock:
    """A paragraph."""

    text: str


Block = FigureBlock | TableBlock | TextBlock


@dataclass(frozen=True)
class ReportSection:
    """A section of a page.

    Attributes
    ----------
    key
        Unique in a page: lower-case letters, digits and hyphens.
    summary
        What came out, in a sentence or two with numbers and their uncertainties.
    """

    key: str
    title: str
    summary: str
    blocks: Sequence[Block] = field(default_factory=tuple)
