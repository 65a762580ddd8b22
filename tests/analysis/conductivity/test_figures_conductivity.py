from __future__ import annotations

import numpy as np

from ionloop.analysis.conductivity.arrhenius import fit_arrhenius
from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.conductivity.figures import (
    ArrheniusSeries,
    DisplacementSeries,
    LengthSeries,
    arrhenius_figure,
    conductivity_length_figure,
    displacement_figure,
)

LAGS = np.array([1.0, 2.0, 5.0, 10.0])


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=0.9 * value, high=1.2 * value, standard_error=0.1 * value)


def test_displacements_have_units_and_a_strong_line_where_they_are_fitted():
    figure = displacement_figure([DisplacementSeries("gap", LAGS, LAGS, 2 * LAGS, (2.0, 5.0))])
    assert figure.layout.xaxis.title.text == "Time (ps)"
    assert figure.layout.yaxis.type == "log"
    strong = [trace for trace in figure.data if trace.line.width and trace.line.width > 3]
    assert [list(trace.x) for trace in strong] == [[2.0, 5.0], [2.0, 5.0]]


def test_conductivity_against_length_has_a_band_and_open_symbols_for_bounds():
    reliable = np.array([False, False, True, True])
    figure = conductivity_length_figure([LengthSeries("es-gap", LAGS, LAGS, 0.5 * LAGS, 2 * LAGS, reliable)])
    band, points = figure.data
    assert band.fill == "toself"
    assert list(points.marker.symbol) == ["circle-open", "circle-open", "circle", "circle"]
    assert "mS/cm" in figure.layout.yaxis.title.text


def test_the_arrhenius_figure_has_points_with_errors_and_the_extrapolated_one():
    temperatures, values = (600.0, 700.0, 800.0), (0.1, 0.2, 0.3)
    fit = fit_arrhenius(temperatures, values, [0.01] * 3)
    series = ArrheniusSeries("gap", temperatures, tuple(map(estimate, values)), fit)
    points, line, end = arrhenius_figure([series]).data
    assert len(points.x) == 3
    assert max(line.x) == end.x[0] == 1000.0 / 300.0
    assert end.y[0] == fit.extrapolated_diffusivity_A2_per_ps.value
