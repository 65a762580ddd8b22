"""The figures of hops and barriers carry the numbers that they are given."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.analysis.barriers.figures import (
    PathEnergies,
    SiteNetwork,
    barrier_figure,
    jump_lengths,
    residence_times,
    site_network,
)

OWN = PathEnergies("es-gap", True, [0.0, 1.0, 2.0], [0.0, 0.3, 0.1], [0.0, 1.1, 2.0], [0.0, 0.31, 0.1])
OTHER = PathEnergies("reference", False, [0.0, 1.0, 2.0], [0.0, 0.4, 0.2], [0.0, 1.1, 2.0], [0.0, 0.41, 0.2])


def test_the_own_path_is_solid_and_single_points_are_dashed():
    figure = barrier_figure([OWN, OTHER])
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [line.line.dash for line in lines] == ["solid", "dash"]
    assert [trace.name for trace in figure.data if trace.mode == "markers"] == [
        "ES-GAP, its path",
        "reference, single points",
    ]
    assert list(figure.data[1].y) == OWN.energies_eV
    assert "eV" in figure.layout.yaxis.title.text
    assert "Å" in figure.layout.xaxis.title.text


def test_a_path_that_follows_begins_where_the_first_ends():
    joined = OWN.followed_by(OWN)
    assert joined.coordinate_A == pytest.approx([0, 1, 2, 3, 4])
    assert joined.energies_eV == pytest.approx([0, 0.3, 0.1, 0.4, 0.2])
    assert joined.curve_energies_eV[-1] == pytest.approx(0.2)


def test_more_hops_make_a_wider_line_and_more_occupation_a_larger_marker():
    network = SiteNetwork(
        positions_A=np.array([[0.0, 0, 0], [2.0, 0, 0], [0, 2.0, 0]]),
        known=np.array([True, True, False]),
        occupancy=np.array([1.0, 0.5, 0.0]),
        cell_A=np.diag([4.0, 4.0, 4.0]),
        from_site=np.array([0, 0, 1]),
        jumps_A=np.array([[2.0, 0, 0], [2.0, 0, 0], [-2.0, 2.0, 0]]),
    )
    figure = site_network(network)
    widths = {trace.hovertemplate: trace.line.width for trace in figure.data if "hops" in (trace.hovertemplate or "")}
    assert widths["2 hops<extra></extra>"] > widths["1 hops<extra></extra>"]
    known, other = (next(t for t in figure.data if t.name == name) for name in ("site of the crystal", "other site"))
    assert known.marker.size[0] > known.marker.size[1] > other.marker.size[0] > 0
    assert list(known.x) == pytest.approx([0.0, 2.0])


def test_what_is_inside_a_skewed_cell_stays_inside_its_outline():
    cell = np.array([[5.0, 0, 0], [1.0, 6.0, 0], [3.0, -2.0, 7.0]])
    middle = SiteNetwork(
        positions_A=np.array([[0.5, 0.5, 0.99]]) @ cell,
        known=np.array([True]),
        occupancy=np.array([1.0]),
        cell_A=cell,
        from_site=np.array([0]),
        jumps_A=cell[[1]],
    )
    figure = site_network(middle)
    (site,) = (trace for trace in figure.data if trace.name == "site of the crystal")
    assert (site.x[0], site.y[0]) == pytest.approx((3.0, 3.0))
    (hop,) = (trace for trace in figure.data if "hops" in (trace.hovertemplate or ""))
    assert np.hypot(hop.x[1] - hop.x[0], hop.y[1] - hop.y[0]) == pytest.approx(np.linalg.norm(cell[1]))


def test_histograms_count_everything():
    for figure in (jump_lengths([2.0, 2.1, 3.5]), residence_times([0.5, 12.0, 7.0])):
        assert sum(figure.data[0].y) == 3
    assert sum(jump_lengths([]).data[0].y) == 0
