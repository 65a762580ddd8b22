"""The figures of the locality tests: panels, bands, units, and what is fitted."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.figures import ErrorSeries, learning_curve, model_look
from ionloop.analysis.locality.curves import OVERALL, LocalityBound, LocalityCurve, LocalityResult
from ionloop.analysis.locality.figures import add_locality_bounds, charge_scale_figure, locality_figure
from ionloop.fitting.electrostatics.charges import FittedCharges, ScaleCurve

RADII = (4.0, 6.0)


def curve(*values: float) -> LocalityCurve:
    return LocalityCurve(
        value_eV_per_A=values,
        deviation_eV_per_A=tuple(1.5 * value for value in values),
        error_eV_per_A=tuple(0.1 * value for value in values),
        component_rms_eV_per_A=values,
        component_rms_error_eV_per_A=values,
        centres=2,
    )


def result(**changes) -> LocalityResult:
    curves = {symbol: curve(0.4, 0.2) for symbol in ("Li", "P", OVERALL)}
    return LocalityResult(
        **{"protocol": "displacement", "potential": "reference", "radii_A": RADII, "atoms": 84}
        | {"before": curves, "after": {symbol: curve(0.1, 0.05) for symbol in curves}, **changes}
    )


def test_every_species_has_a_panel_with_a_curve_and_a_band_before_and_after():
    figure = locality_figure(result())
    assert [title.text for title in figure.layout.annotations] == ["<b>Li</b>", "<b>P</b>"]
    assert len(figure.data) == 2 * 2 * 2
    lines = [trace for trace in figure.data if trace.fill is None]
    assert [(trace.xaxis, trace.line.color) for trace in lines] == [
        (axis, model_look(kind).colour) for axis in ("x", "x2") for kind in ("gap", "es-gap")
    ]
    assert [trace.name for trace in lines if trace.showlegend] == ["reference", "reference minus baseline"]
    assert list(lines[0].error_y.array) == pytest.approx([0.04, 0.02])


def test_a_band_never_falls_below_zero():
    band = next(trace for trace in locality_figure(result()).data if trace.fill == "toself")
    assert list(band.y) == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_axes_say_what_they_are_and_differ_between_protocols():
    displaced, frozen = locality_figure(result()), locality_figure(result(protocol="frozen-sphere"))
    assert displaced.layout.xaxis.title.text == "Radius r (Å)"
    assert displaced.layout.yaxis.title.text == "Induced force (eV/Å)"
    assert "2 R" in frozen.layout.xaxis.title.text
    assert "σ" in frozen.layout.yaxis.title.text


@pytest.mark.parametrize(("protocol", "at"), [("displacement", 5.0), ("frozen-sphere", 10.0)])
def test_the_cutoff_is_marked_where_the_bound_is_read(protocol, at):
    figure = locality_figure(result(protocol=protocol), cutoffs_A=(5.0,))
    assert [shape.x0 for shape in figure.layout.shapes] == [at, at]


def test_without_a_baseline_there_is_one_curve_for_each_species():
    assert len(locality_figure(result(after=None)).data) == 2 * 2


def test_the_bounds_are_bands_of_the_learning_curve_in_its_unit():
    figure = learning_curve([ErrorSeries("gap", "new", (1, 2), (200.0, 150.0))], "Force error", "meV/Å")
    bound = LocalityBound(cutoff_A=5.0, force_eV_per_A=0.08, error_eV_per_A=0.01, by_element_eV_per_A={})
    add_locality_bounds(figure, {"gap": bound, "es-gap": bound.model_copy(update={"force_eV_per_A": 0.05})}, 1000.0)
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(band.y0, band.y1) for band in bands] == [(0, pytest.approx(80)), (0, pytest.approx(50))]
    lines = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert [(line.name, line.y0) for line in lines] == [("locality, GAP", 80), ("locality, ES-GAP", 50)]


def test_the_scale_of_the_charges_is_told_by_that_of_the_mobile_ion():
    scales = (0.0, 0.5, 1.0)
    found = ScaleCurve(
        charges={"Li": 2.0, "S": -2.0},
        scales=scales,
        mean_eV_per_A={"Li": (0.2, 0.1, 0.2), "S": (0.3, 0.2, 0.3)},
        rms_eV_per_A={"Li": (0.3, 0.1, 0.3), "S": (0.4, 0.2, 0.4)},
        criterion_eV2_per_A2=(0.25, 0.05, 0.25),
    )
    fitted = FittedCharges(
        charges={"Li": 0.9, "S": -0.9},
        uncertainties={"Li": 0.1, "S": 0.1},
        transferable=False,
        before_eV_per_A={"Li": 0.3, "S": 0.4},
        after_eV_per_A={"Li": 0.09, "S": 0.19},
    )
    figure = charge_scale_figure(found, "Li", fitted)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [trace.name for trace in lines] == ["Li", "S", "all species alike"]
    assert list(lines[0].x) == [0.0, 1.0, 2.0]
    assert np.allclose(lines[-1].y, np.sqrt(np.array([0.25, 0.05, 0.25]) / 2))
    stars = [trace for trace in figure.data if trace.mode == "markers"]
    assert [(star.x[0], star.y[0]) for star in stars] == [(0.9, 0.09), (0.9, 0.19)]
    assert sorted(shape.x0 for shape in figure.layout.shapes) == pytest.approx([0.8, 0.9])
    assert "e)" in figure.layout.xaxis.title.text
    assert len(charge_scale_figure(found, "Li").data) == 3
