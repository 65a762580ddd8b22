"""Figures: what they show, in which colours, in which units."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ionloop.analysis import figures
from ionloop.analysis.figures import ErrorSeries
from ionloop.analysis.looks import REFERENCE_LOOK
from ionloop.core.looks import SPARE_COLOURS
from ionloop.fitting.kinds.registry import MODELS

NORMALISED = 1e-9

CURVES = [
    ErrorSeries("gap", "new", (1, 2, 3), (300.0, 200.0, 150.0)),
    ErrorSeries("gap", "training", (1, 2, 3), (50.0, 60.0, 70.0)),
    ErrorSeries("es-gap", "new", (1, 2, 3), (280.0, 210.0, 140.0)),
]


def test_new_errors_are_solid_and_training_errors_dashed_in_the_models_colour() -> None:
    figure = figures.learning_curve(CURVES, "Force RMSE", "meV/Å")
    dashes = [(trace.name, trace.line.dash, trace.line.color) for trace in figure.data]
    assert dashes == [
        ("GAP, new", "solid", figures.model_look("gap").colour),
        ("GAP, training", "dash", figures.model_look("gap").colour),
        ("ES-GAP, new", "solid", figures.model_look("es-gap").colour),
    ]
    assert figure.layout.yaxis.title.text == "Force RMSE (meV/Å)"
    assert list(figure.data[0].y) == [300.0, 200.0, 150.0]


def test_generations_are_whole_numbers_on_the_axis() -> None:
    long = [ErrorSeries("gap", "new", tuple(range(1, 42)), (1.0,) * 41)]
    assert figures.learning_curve(CURVES, "Force", "eV/Å").layout.xaxis.dtick == 1
    assert figures.learning_curve(long, "Force", "eV/Å").layout.xaxis.dtick == 4


def test_an_element_that_one_model_lacks_leaves_a_gap() -> None:
    figure = figures.element_errors({"gap": {"Li": 1.0, "S": 2.0}, "es-gap": {"Li": 1.5}})
    assert list(figure.data[0].x) == ["Li", "S"]
    assert list(figure.data[1].y) == [1.5, None]


def test_parity_has_equal_ranges_and_the_line_of_agreement() -> None:
    figure = figures.parity([0.0, 2.0], [0.5, 3.0], ["Li", "S"], quantity="force", unit="eV/Å")
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
    line = figure.data[0]
    assert list(line.x) == list(line.y)
    assert line.x[0] < 0.0
    assert line.x[1] > 3.0


def test_parity_draws_a_part_of_many_points() -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    figure = figures.parity(values, values, np.full(20_000, "S"), quantity="force", unit="eV/Å")
    assert len(figure.data[1].x) == figures.MAX_PARITY_POINTS


def test_thinned_indices_are_distinct_and_reach_both_ends() -> None:
    chosen = figures.thinned(1000, 70)
    assert len(np.unique(chosen)) == 70
    assert (chosen[0], chosen[-1]) == (0, 999)
    np.testing.assert_array_equal(figures.thinned(3, 70), [0, 1, 2])


def test_densities_enclose_the_area_one() -> None:
    rng = np.random.default_rng(2)
    figure = figures.force_distribution(rng.normal(size=(500, 3)), rng.choice(["Li", "S"], 500))
    for trace in figure.data:
        width = trace.x[1] - trace.x[0]
        assert sum(trace.y) * width == pytest.approx(1.0, abs=NORMALISED)


def test_states_that_do_not_occur_are_not_in_the_legend() -> None:
    figure = figures.label_states({0: {"finished": 3, "failed": 1}, 1: {"finished": 2, "none": 1}})
    assert [trace.name for trace in figure.data] == ["finished", "failed", "not labelled"]
    assert list(figure.data[1].y) == [1, 0]


@pytest.mark.parametrize(
    "figure",
    [
        figures.learning_curve([], "Force", "eV/Å"),
        figures.parity([], [], [], quantity="force", unit="eV/Å"),
        figures.force_distribution(np.zeros((0, 3)), []),
        figures.force_distribution(np.zeros((2, 3)), ["Li", "Li"]),
        figures.label_states({}),
        figures.element_errors({}),
    ],
)
def test_nothing_to_show_is_a_figure_all_the_same(figure: object) -> None:
    assert json.loads(figure.to_json())["layout"]["font"]


def test_every_colour_of_a_dark_page_replaces_one_that_is_used() -> None:
    used = {
        *(kind.look.colour for kind in MODELS.kinds),
        *SPARE_COLOURS,
        REFERENCE_LOOK.colour,
        *figures.STATE_COLOURS.values(),
        *figures.ELEMENT_COLOURS,
        figures.NEUTRAL_COLOUR,
    }
    assert set(figures.DARK_COLOURS) <= used
