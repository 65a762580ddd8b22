"""Figures of errors by magnitude: every number in its place, ranges in order."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.errors.figures import element_and_magnitude_errors, magnitude_errors
from ionloop.analysis.errors.model_errors import ForceBin
from ionloop.analysis.errors.statistics import force_bins
from ionloop.analysis.looks import model_look

SMALL, LARGE, HUGE = [0.1, 0.0, 0.0], [0.0, 0.0, 3.0], [10.0, 0.0, 0.0]


def bins_of(reference: list[list[float]], error: float, elements: list[str]) -> tuple[ForceBin, ...]:
    return force_bins(np.array(reference), np.array(reference) + error, elements)


def test_models_share_the_ranges_and_keep_their_colours() -> None:
    figure = magnitude_errors({"gap": bins_of([SMALL, HUGE], 0.2, ["Li", "S"]), "es-gap": bins_of([LARGE], 0.1, ["S"])})
    ranges = ["0 to 0.5", "2 to 5", "above 5"]
    assert [list(trace.x) for trace in figure.data] == [ranges, ranges]
    assert list(figure.layout.xaxis.categoryarray) == ranges
    gap, es_gap = figure.data
    assert gap.y == pytest.approx((200.0, None, 200.0))
    assert es_gap.y == pytest.approx((None, 100.0, None))
    assert gap.line.color == model_look("gap").colour
    assert es_gap.customdata[1][0] == pytest.approx(0.1 / np.sqrt(3))


def test_elements_are_bars_and_leave_a_gap_where_they_are_not() -> None:
    figure = element_and_magnitude_errors(bins_of([SMALL, LARGE, LARGE], 0.3, ["Li", "Li", "S"]))
    assert [trace.name for trace in figure.data] == ["Li", "S"]
    assert figure.data[1].y == pytest.approx((None, 300.0))
    assert list(figure.data[0].customdata) == [3, 3]
    assert "meV/Å" in figure.layout.yaxis.title.text


def test_nothing_measured_draws_nothing() -> None:
    assert len(element_and_magnitude_errors(()).data) == 0
    assert len(magnitude_errors({}).data) == 0
