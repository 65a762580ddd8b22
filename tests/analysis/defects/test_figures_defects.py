"""Figures of Frenkel pairs."""

from __future__ import annotations

from ionloop.analysis.defects.figures import FieldCurve, SeparationPoints, field_figure, separation_figure


def test_the_figure_has_a_line_per_axis_and_a_cross_where_the_pair_is_gone():
    curves = [
        FieldCurve("x", (-0.2, -0.1, 0.0, 0.1), (None, 0.9, 0.8, 0.7), ("recombined", "hopped", "intact", "intact")),
        FieldCurve("z", (-0.1, 0.0, 0.1), (0.8, 0.8, 0.8), ("intact",) * 3),
    ]
    assert curves[0].recombinations == [(-0.2, 0.9)]
    figure = field_figure(curves)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [trace.name for trace in lines] == ["along x", "along z"]
    assert lines[0].marker.symbol[1] == "circle-open"
    (cross,) = [trace for trace in figure.data if trace.mode == "markers"]
    assert (cross.x, cross.y) == ((-0.2,), (0.9,))
    assert "V/Å" in figure.layout.xaxis.title.text
    points = separation_figure(
        [SeparationPoints("gap", (3.0, 4.0), (0.5, 0.6)), SeparationPoints("gap", (3.0,), (1,), "r")]
    )
    assert [trace.name for trace in points.data] == ["GAP", "r"]
