"""The figures of the pages: values of a snapshot in, figures of `ionloop.analysis.figures` out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import plotly.graph_objects as go
from ase.data import chemical_symbols

from ...analysis import figures
from ...analysis.errors.statistics import ParityData
from ...analysis.locality.curves import LocalityBound
from ...analysis.locality.figures import add_locality_bounds
from ...analysis.looks import in_order
from ...core.looks import Look
from ...core.names import AUDIT, NEW, TRAINING
from ...store.records import ModelRecord, RecordUnreadable, ResultRecord
from ...tasks.values.loop import VARIANCES
from .rows import ConfigurationRow, LabelRow
from .snapshot import Snapshot, errors_in

MILLI: Final = 1000.0
_SYMBOLS = np.array(chemical_symbols)
MOST_SERIES: Final = 12
MOST_TICKS: Final = 15


@dataclass(frozen=True)
class Chart:
    """A figure with its name, what a screen reader says, and its caption."""

    key: str
    figure: go.Figure
    label: str
    caption: str = ""


def learning_charts(snapshot: Snapshot, campaign: str, bounds: Mapping[str, LocalityBound]) -> list[Chart]:
    """Return the learning curves of a campaign: forces with the locality band, and energies."""
    found = []
    for field, name, unit in (
        ("force_eV_per_A", "Force RMSE", "meV/Å"),
        ("energy_eV_per_atom", "Energy RMSE", "meV/atom"),
    ):
        series = [
            one
            for kind in _kinds(snapshot, campaign)
            for subset in (NEW, AUDIT, TRAINING)
            if (one := _error_series(snapshot, campaign, kind, subset, field)) is not None
        ]
        if not series:
            continue
        figure = figures.learning_curve(series, name, unit)
        is_force = field.startswith("force")
        if is_force:
            add_locality_bounds(figure, bounds, MILLI)
        caption = "Solid: on configurations before they join the training set. Dashed: on the training set."
        if any(one.subset == AUDIT for one in series):
            caption += " Dotted: on the audit set, the same in every generation and never trained on."
        if is_force and bounds:
            caption += " Grey: what a model with this cutoff cannot reach, by the locality test."
        key = "force-curve" if is_force else "energy-curve"
        found.append(Chart(key, figure, f"{name} against generation", caption))
    return found


def compared_learning_charts(
    snapshot: Snapshot, records: Sequence[ResultRecord], looks: Sequence[Look | None]
) -> list[Chart]:
    """Return the learning curves that these errors are points of, in one figure for forces and one for energies."""
    curves: dict[tuple[str, str, str], Look | None] = {}
    for record, look in zip(records, looks, strict=True):
        curves.setdefault((record.campaign, str(record.model_kind), str(record.values.get("subset"))), look)
    found = []
    for field, name, unit in (
        ("force_eV_per_A", "Force RMSE", "meV/Å"),
        ("energy_eV_per_atom", "Energy RMSE", "meV/atom"),
    ):
        series = []
        for (campaign, kind, subset), look in curves.items():
            one = _error_series(snapshot, campaign, kind, subset, field)
            if one is not None:
                # A curve goes through all generations, whichever were chosen.
                called = figures.plain_name(f"{campaign} · {figures.model_name(kind)}")
                series.append(replace(one, look=None if look is None else replace(look, label=called)))
        if series:
            figure = figures.learning_curve(series, name, unit)
            key = "force" if field.startswith("force") else "energy"
            caption = "Solid: on configurations before they join the training set. Dashed: on the training set."
            found.append(Chart(f"compared-{key}-curves", figure, f"{name} against generation", caption))
    return found


def compared_element_chart(records: Sequence[ResultRecord], looks: Sequence[Look | None]) -> Chart | None:
    """Return force errors by element, a bar for each of these errors."""
    by_result, look_of = {}, {}
    for record, look in zip(records, looks, strict=True):
        by_result[record.id] = _by_element(record)
        look_of[record.id] = look or figures.model_look(str(record.model_kind))
    if not any(by_result.values()):
        return None
    figure = figures.element_errors(by_result, "meV/Å", look_of)
    return Chart("compared-element-errors", figure, "Force error by element")


def _by_element(record: ResultRecord) -> dict[str, float]:
    """Return root-mean-square errors of forces (meV/Å) by element."""
    errors = errors_in(record)
    found = {} if errors is None else errors.force_by_element_eV_per_A
    return {element: MILLI * statistics.rmse for element, statistics in found.items()}


def _kinds(snapshot: Snapshot, campaign: str) -> list[str]:
    return in_order(model.kind for model in snapshot.models.values() if model.campaign == campaign)


def _error_series(snapshot: Snapshot, campaign: str, kind: str, subset: str, field: str) -> figures.ErrorSeries | None:
    points = [
        (model.generation, MILLI * getattr(snapshot.errors[result.id], field).rmse)
        for model in snapshot.models.values()
        if model.campaign == campaign and model.kind == kind and not snapshot.is_final(model)
        if (result := snapshot.errors_of_model.get((model.id, subset))) is not None
    ]
    if not points:
        return None
    generations, errors = zip(*sorted(points), strict=True)
    return figures.ErrorSeries(kind, subset, generations, errors)


def element_chart(assessed: Sequence[ResultRecord]) -> Chart | None:
    """Return force errors by element of the models that were measured last, one result per kind."""
    by_kind = {str(result.model_kind): _by_element(result) for result in assessed}
    if not any(by_kind.values()):
        return None
    return Chart(
        "element-errors",
        figures.element_errors(by_kind, "meV/Å"),
        "Force error by element",
        "On the new configurations of the last generation that was assessed.",
    )


def label_chart(snapshot: Snapshot, configurations: Sequence[ConfigurationRow]) -> Chart | None:
    """Return the number of configurations by generation and state of their label."""
    counts: dict[int, dict[str, int]] = {}
    for one in configurations:
        label = snapshot.label_of(one)
        state = "none" if label is None else label.state.value
        states = counts.setdefault(one.generation, {})
        states[state] = states.get(state, 0) + 1
    if not counts:
        return None
    return Chart("label-states", figures.label_states(counts), "Labels by generation and state")


def force_chart(pairs: Sequence[tuple[ConfigurationRow, LabelRow | None]]) -> Chart | None:
    """Return the distribution of reference forces by element."""
    labelled = [(one, label) for one, label in pairs if label is not None and len(label.forces) == len(one.numbers)]
    if not labelled:
        return None
    magnitudes = np.concatenate([label.forces for _, label in labelled]).astype(float)
    elements = _SYMBOLS[np.concatenate([one.numbers for one, _ in labelled])]
    forces = np.zeros((len(magnitudes), 3))
    forces[:, 0] = magnitudes
    return Chart(
        "force-distribution",
        figures.force_distribution(forces, elements),
        "Distribution of reference forces by element",
        f"Magnitude of the reference force on the atoms of {len(labelled)} labelled configurations.",
    )


def parity_charts(data: ParityData, kind: str) -> list[Chart]:
    """Return predicted against reference forces and energies; energies count from the mean of the reference."""
    mean = float(data.reference_energies.mean()) if len(data.reference_energies) else 0.0
    return [
        Chart(
            "parity-forces",
            figures.parity(
                data.reference_forces.ravel(),
                data.predicted_forces.ravel(),
                np.repeat(data.elements, 3),
                quantity="force component",
                unit="eV/Å",
            ),
            "Predicted forces against reference",
        ),
        Chart(
            "parity-energies",
            figures.parity(
                data.reference_energies - mean,
                data.predicted_energies - mean,
                np.full(len(data.reference_energies), kind),
                quantity="energy",
                unit="eV/atom",
            ),
            "Predicted energies against reference",
        ),
    ]


def variance_chart(snapshot: Snapshot, model: ModelRecord) -> Chart | None:
    """Return the mean and largest predicted variance along the trajectories that a model drove, by generation."""
    found = [
        result
        for result in snapshot.results.values()
        if result.kind == VARIANCES.name and result.campaign == model.campaign and result.model_kind == model.kind
    ]
    numbers = []
    for result in found:
        with suppress(RecordUnreadable):
            numbers.append((result.generation, VARIANCES.read(result)))
    if not numbers:
        return None
    figure = figures.new_figure()
    colour = figures.model_look(model.kind).colour
    for field, name, symbol in (("mean_eV2", "mean", "circle"), ("maximum_eV2", "largest", "triangle-up-open")):
        figure.add_scatter(
            x=[generation for generation, _ in numbers],
            y=[getattr(one, field) for _, one in numbers],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 9, "symbol": symbol},
            hovertemplate="generation %{x}<br>%{y:.3g} eV²",
        )
    figure.update_xaxes(title_text="Generation", dtick=1)
    figure.update_yaxes(title_text="Predicted variance (eV²)", type="log")
    return Chart(
        "variance",
        figure,
        "Predicted variance by generation",
        "Variance that models of this kind predict for themselves along their trajectories.",
    )


def _whole_step(values: Sequence[float]) -> int | None:
    """Return 1 where values are few whole numbers, such as generations: ticks between them would say nothing."""
    whole = bool(values) and all(float(value).is_integer() for value in values)
    return 1 if whole and max(values) - min(values) <= MOST_TICKS else None


def comparison_chart(
    series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, models: Collection[str] = ()
) -> Chart | None:
    """Return values against another column, a line per group; ``x`` and ``y`` are headers with units.

    A group whose name ends with that of one of the ``models`` has its look.
    """
    figure = figures.new_figure(figures.PARITY_HEIGHT_PX)
    single = len({name.rpartition(" · ")[2] for name in series}) == len(series)
    for index, (name, points) in enumerate(list(series.items())[:MOST_SERIES]):
        model = name.rpartition(" · ")[2]
        look = figures.model_look(model) if model in models else None
        colour = figures.ELEMENT_COLOURS[index % len(figures.ELEMENT_COLOURS)]
        if look is not None and single:
            colour = look.colour
        ordered = sorted(points)
        figure.add_scatter(
            x=[point[0] for point in ordered],
            y=[point[1] for point in ordered],
            mode="lines+markers",
            name=figures.plain_name(name),
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": 8, "symbol": "circle" if look is None else look.symbol},
            hovertemplate="%{x:.6g}<br>%{y:.6g}",
        )
    if not series:
        return None
    figure.update_xaxes(title_text=x, dtick=_whole_step([point[0] for points in series.values() for point in points]))
    figure.update_yaxes(title_text=y)
    return Chart("comparison", figure, f"{y} against {x}")
