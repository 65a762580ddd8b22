"""Sections of a report: figures side by side, keys of their own, numbers to the right."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from ionloop.workflows.analyses.sections import (
    FigureBlock,
    ReportSection,
    TableBlock,
    TextBlock,
    is_number,
    numeric_columns,
)


def test_figures_that_follow_each_other_share_a_row():
    figures = [FigureBlock(key, go.Figure(), "") for key in "abc"]
    section = ReportSection("s", "S", "", (figures[0], figures[1], TextBlock("t"), figures[2]))
    assert [len(row) for row in section.rows] == [2, 1, 1]
    assert list(section.figures) == ["s-a", "s-b", "s-c"]


@pytest.mark.parametrize("text", ["1", "-1.5", "−0.2", "0.3 ± 0.1", "< 5", "12 (10 to 14)", "+0.1"])
def test_what_counts_as_a_number(text):
    assert is_number(text)


@pytest.mark.parametrize("text", ["", "es-gap", "–", "Li 1", "(no result)"])
def test_what_does_not(text):
    assert not is_number(text)


def test_a_missing_number_does_not_turn_its_column_into_text():
    table = TableBlock(("a", "b", "c"), (("x", "1", ""), ("y", "–", "")))
    assert numeric_columns(table) == [False, True, False]
    assert numeric_columns(TableBlock(("a",), ())) == [False]
