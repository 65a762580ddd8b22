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

    @property
    def figures(self) -> dict[str, go.Figure]:
        """The figures by a key that is unique in the page."""
        return {self.figure_key(block): block.figure for block in self.blocks if isinstance(block, FigureBlock)}

    @property
    def rows(self) -> list[list[Block]]:
        """The blocks as a page shows them: figures that follow each other stand side by side."""
        rows: list[list[Block]] = []
        for block in self.blocks:
            if isinstance(block, FigureBlock) and rows and isinstance(rows[-1][-1], FigureBlock):
                rows[-1].append(block)
            else:
                rows.append([block])
        return rows

    def figure_key(self, block: FigureBlock) -> str:
        """Return the key of a figure of this section, unique in the page."""
        return f"{self.key}-{block.key}"


def is_number(text: str) -> bool:
    """Return whether a cell of a table holds a number, with or without an uncertainty or a bound."""
    return bool(text) and text.lstrip("-+−±<>≈~ ")[:1].isdigit()


def numeric_columns(table: TableBlock) -> list[bool]:
    """Return for every column whether its cells are numbers (or dashes, where one is missing)."""
    return [
        all(is_number(cell) or cell in {"", "–", "-"} for cell in cells) and any(cells)
        for cells in zip(*table.rows, strict=True)
    ] or [False] * len(table.columns)
