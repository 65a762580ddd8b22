"""The figure of both criteria: one abscissa, two ordinates, and the minima marked."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.locality.figures_charges import ChargeEstimate, charge_trade_off_figure
from ionloop.fitting.electrostatics.charge_errors import ErrorCurve
from ionloop.fitting.electrostatics.charges import ScaleCurve

SCALES = (0.0, 0.25, 0.5)
CHARGES = {"Li": 1.0, "S": -2.0}
ERRORS = ErrorCurve(
    charges=CHARGES,
    scales=SCALES,
    force_eV_per_A=(0.20, 0.19, 0.25),
    force_by_element_eV_per_A={"Li": (0.1, 0.1, 0.2), "S": (0.3, 0.2, 0.3)},
    energy_eV_per_atom=(0.004, 0.004, 0.005),
)
LOCALITY = ScaleCurve(
    charges={"Li": 2.0, "S": -4.0},
    scales=SCALES,
    mean_eV_per_A={"Li": (0.2, 0.1, 0.2), "S": (0.4, 0.2, 0.3)},
    rms_eV_per_A={"Li": (0.3, 0.1, 0.2), "S": (0.4, 0.2, 0.3)},
    criterion_eV2_per_A2=(0.25, 0.05, 0.13),
)


def test_both_criteria_are_drawn_against_the_same_charge() -> None:
    figure = charge_trade_off_figure(ERRORS, LOCALITY, "Li")
    traces = {trace.name: trace for trace in figure.data}
    error, locality = traces["leave-out error with the baseline"], traces["induced force that remains"]
    assert list(error.x) == [0.0, 0.25, 0.5]
    assert list(locality.x) == [0.0, 0.5, 1.0]
    assert (error.yaxis, locality.yaxis) == (None, "y2")
    np.testing.assert_allclose(locality.y, np.sqrt(np.array([0.25, 0.05, 0.13]) / 2))
    assert figure.layout.yaxis2.side == "right"
    assert "eV/Å" in figure.layout.yaxis.title.text
    assert "eV/Å" in figure.layout.yaxis2.title.text
    (level,) = figure.layout.shapes  # the error of GAP
    assert level.y0 == level.y1 == pytest.approx(0.20)


def test_fitted_charges_are_marked_with_their_uncertainty() -> None:
    figure = charge_trade_off_figure(
        ERRORS,
        LOCALITY,
        "Li",
        by_error=ChargeEstimate({"Li": 0.2, "S": -0.4}, {"Li": 0.05, "S": 0.1}, 0.18),
        by_locality=ChargeEstimate({"Li": 0.5, "S": -1.0}, {"Li": 0.02, "S": 0.04}, 0.15),
    )
    stars = [trace for trace in figure.data if trace.mode == "markers"]
    assert [(star.x[0], star.error_x.array[0], star.y[0], star.yaxis) for star in stars] == [
        (0.2, 0.05, 0.18, "y"),
        (0.5, 0.02, 0.15, "y2"),
    ]
    assert "S -0.40 e" in stars[0].hovertemplate


def test_errors_alone_have_one_axis() -> None:
    figure = charge_trade_off_figure(ERRORS, None, "Li")
    assert all(trace.yaxis != "y2" for trace in figure.data)
    assert "yaxis2" not in figure.layout
