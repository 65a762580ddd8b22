"""Figures of the data-size and the reference-quality study."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..figures import COMPARED_COLOURS, ELEMENT_COLOURS, NEUTRAL_COLOUR, new_figure
from ..looks import REFERENCE_LOOK
from .studies import DataSizeStudy, ModelTransport, ReferenceQualityStudy, force_errors_by_element

_MILLI = 1e3
_SIZE_TITLE = "Configurations in the training set"


def error_against_size(study: DataSizeStudy) -> go.Figure:
    """Return force errors on held-out configurations against the size of the training set, overall and by element."""
    figure = new_figure()
    points = study.points[::-1]
    sizes = [point.configurations for point in points]
    figure.add_scatter(
        x=sizes,
        y=[_MILLI * point.errors.forces.rmse for point in points],
        mode="lines+markers",
        name="all",
        line={"color": REFERENCE_LOOK.colour, "width": 2.5},
        marker={"color": REFERENCE_LOOK.colour, "size": 9},
        hovertemplate="%{x} configurations<br>%{y:.4g} meV/Å",
    )
    for index, element in enumerate(force_errors_by_element(study.points[0].errors)):
        colour = ELEMENT_COLOURS[index % len(ELEMENT_COLOURS)]
        figure.add_scatter(
            x=sizes,
            y=[_MILLI * force_errors_by_element(point.errors).get(element, float("nan")) for point in points],
            mode="lines+markers",
            name=element,
            line={"color": colour, "width": 1.5},
            marker={"color": colour, "size": 6},
            hovertemplate=f"{element}, %{{x}} configurations<br>%{{y:.4g}} meV/Å",
        )
    _set_size_axis(figure, sizes)
    figure.update_yaxes(title_text="Force RMSE, held out (meV/Å)", rangemode="tozero")
    return figure


def energy_error_against_size(study: DataSizeStudy) -> go.Figure:
    """Return energy errors on held-out configurations against the size of the training set."""
    figure = new_figure()
    points = study.points[::-1]
    sizes = [point.configurations for point in points]
    figure.add_scatter(
        x=sizes,
        y=[_MILLI * point.errors.energy_eV_per_atom.rmse for point in points],
        mode="lines+markers",
        name="energy",
        line={"color": REFERENCE_LOOK.colour, "width": 2.5},
        hovertemplate="%{x} configurations<br>%{y:.4g} meV/atom",
        showlegend=False,
    )
    _set_size_axis(figure, sizes)
    figure.update_yaxes(title_text="Energy RMSE, held out (meV/atom)", rangemode="tozero")
    return figure


def diffusivity_against_size(study: DataSizeStudy) -> go.Figure:
    """Return diffusivities with their 95 % intervals against the size of the training set, a line per temperature."""
    figure = new_figure()
    points = study.points[::-1]
    temperatures = sorted({one.temperature_K for point in points for one in point.transport})
    for index, temperature_K in enumerate(temperatures):
        found = [
            (point.configurations, one)
            for point in points
            for one in point.transport
            if one.temperature_K == temperature_K and one.diffusivity_A2_per_ps is not None
        ]
        _add_estimates(
            figure, [size for size, _ in found], [one for _, one in found], f"{temperature_K:g} K", _colour(index)
        )
    _set_size_axis(figure, [point.configurations for point in points])
    figure.update_yaxes(title_text="Diffusivity (Å²/ps)", rangemode="tozero")
    return figure


def label_and_model_errors(study: ReferenceQualityStudy) -> go.Figure:
    """Return, by element, the difference of the labels beside the errors of the models fitted to them."""
    figure = new_figure()
    elements = list(study.differences.force_by_element_eV_per_A)
    labels = [study.differences.force_by_element_eV_per_A[element].rmse for element in elements]
    figure.add_bar(x=elements, y=[_MILLI * value for value in labels], name="labels", marker={"color": NEUTRAL_COLOUR})
    for index, model in enumerate(study.models):
        errors = force_errors_by_element(model.errors)
        figure.add_bar(
            x=elements,
            y=[_MILLI * errors[element] if element in errors else None for element in elements],
            name=f"model of {model.fitted_to}",
            marker={"color": _colour(index)},
        )
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.06)
    figure.update_xaxes(title_text="Element", showgrid=False)
    figure.update_yaxes(title_text="Force RMSE (meV/Å)", rangemode="tozero")
    return figure


def diffusivities_of_models(study: ReferenceQualityStudy) -> go.Figure:
    """Return diffusivities of both models with their 95 % intervals against temperature."""
    figure = new_figure()
    for index, model in enumerate(study.models):
        found = [one for one in model.transport if one.diffusivity_A2_per_ps is not None]
        _add_estimates(figure, [one.temperature_K for one in found], found, model.fitted_to, _colour(index))
    figure.update_xaxes(title_text="Temperature (K)")
    figure.update_yaxes(title_text="Diffusivity (Å²/ps)", rangemode="tozero")
    return figure


def _add_estimates(
    figure: go.Figure, places: Sequence[float], found: Sequence[ModelTransport], name: str, colour: str
) -> None:
    estimates = [one.diffusivity_A2_per_ps for one in found if one.diffusivity_A2_per_ps is not None]
    figure.add_scatter(
        x=list(places),
        y=[one.value for one in estimates],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [one.high - one.value for one in estimates],
            "arrayminus": [one.value - one.low for one in estimates],
        },
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 1.5},
        marker={"color": colour, "size": 9, "symbol": ["circle" if one.reliable else "circle-open" for one in found]},
        hovertemplate="%{x}<br>%{y:.3g} Å²/ps",
    )


def _colour(index: int) -> str:
    return COMPARED_COLOURS[index % len(COMPARED_COLOURS)]


def _set_size_axis(figure: go.Figure, sizes: Sequence[int]) -> None:
    figure.update_xaxes(title_text=_SIZE_TITLE, type="log", tickvals=list(sizes), ticktext=[str(n) for n in sizes])
