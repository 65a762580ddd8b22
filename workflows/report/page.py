"""The report of a campaign: one HTML file that needs no network and can be sent to a colleague."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from ruamel.yaml import YAML

from ... import __version__
from ...analysis import figures
from ...analysis.errors.figures import magnitude_errors
from ...analysis.locality.figures import add_locality_bounds
from ...core.citations import Citation
from ...core.files import OPEN, atomic_file
from ...core.formulas import formula_of
from ...core.states import State
from ...core.words import duration, moment, size_text, three_digits
from ...fitting.electrostatics.registry import BASELINES, DEFAULT_BASELINE, KIND
from ...fitting.kinds.base import ModelKind
from ...fitting.kinds.registry import MODELS
from ...labelling.registry import ENGINES, stored_settings
from ...sampling.samplers.registry import SAMPLERS
from ...store.connection import Store
from ..analyses.registry import ANALYSES
from ..analyses.sections import numeric_columns
from ..campaign.analyses import asked_analyses
from ..campaign.samplers import stored_samplers
from ..campaign.settings import stored_campaign
from ..graph.tunings import latest_tunings
from .data import ModelSummary, ReportData, collect, root_mean_square, verdict
from .methods import bibtex, methods_paragraph
from .text import CITATIONS

TEMPLATE: Final = "report.html.j2"
MILLI: Final = 1000.0


def write_report(store: Store, name: str | None, path: Path) -> Path:
    """Write the report of a campaign to ``path``, whole or not at all, and return the path.

    Raises
    ------
    InputError
        If there is no such campaign, or the file cannot be written.
    """
    page = render(store, collect(store, name))
    with atomic_file(path, rights=OPEN) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render(store: Store, data: ReportData) -> str:
    """Return the page; everything from the store is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=duration, size=size_text, moment=moment, digits=three_digits, model_name=figures.model_name
    )
    cited = citations(data.record.settings)
    return environment.get_template(TEMPLATE).render(
        data=data,
        store=store,
        verdict=verdict(data),
        cards=_cards(data),
        sections=data.sections,
        numeric_columns=numeric_columns,
        figures={name: json.loads(figure.to_json()) for name, figure in _all_figures(data).items()},
        dark_colours=_dark_colours(data),
        state_colours=dict(figures.STATE_COLOURS),
        swatch_colours=_swatch_colours,
        structure=_structure(data),
        generations=_generation_rows(data),
        settings=settings_yaml(data.record.settings),
        citations=cited,
        bibtex=bibtex(cited),
        methods=_methods(store, data),
        written=datetime.now(UTC),
        version=__version__,
        plotly_js=_plotly_js(),
    )


def _methods(store: Store, data: ReportData) -> str:
    structures = (formula_of(one.to_atoms()) for one in data.record.structures.values())
    formula = ", ".join(dict.fromkeys(structures))
    versions = {**data.record.versions, "ionloop": data.record.code_version}
    tuned = {name: values.chosen for name, values in latest_tunings(store, data.record.id).items()}
    text = methods_paragraph(stored_campaign(data.record.settings), formula, versions, tuned)
    return " ".join([text, *(f"Models of the kind {kind} were {why}." for kind, why in data.not_compared.items())])


def _plotly_js() -> Markup:
    # It comes with the package plotly; an end tag inside it would end the script early.
    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def settings_yaml(settings: Mapping[str, Any]) -> str:
    """Return a campaign's settings as a campaign file would give them."""
    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(dict(settings), stream)
    return stream.getvalue()


def citations(settings: Mapping[str, Any]) -> tuple[Citation, ...]:
    """Return the works that results of a campaign with these settings rest on, each once."""
    of_models = [one for kind in _installed_kinds(settings) for one in kind.citations]
    reference = stored_settings(settings.get("reference", {}))
    of_engine = ENGINES.get(reference.engine).citations(reference) if reference.engine in ENGINES else ()
    chosen = asked_analyses(settings)
    of_analyses = [one for analysis in ANALYSES.kinds if analysis.name in chosen for one in analysis.citations]
    under = settings.get("baseline", {}).get(KIND, DEFAULT_BASELINE)
    on_one = any(kind.needs_baseline for kind in _installed_kinds(settings)) and under in BASELINES
    of_baseline = BASELINES.get(under).citations if on_one else ()
    of_samplers = [one for name in stored_samplers(settings) for one in SAMPLERS.get(name).citations]
    works = [*of_models, *of_baseline, *CITATIONS, *of_engine, *of_samplers, *of_analyses]
    return tuple({one.what: one for one in works}.values())


def _installed_kinds(settings: Mapping[str, Any]) -> list[ModelKind]:
    """Return the kinds of a stored campaign's models, of those that are installed here, the last in rank first."""
    models = settings.get("models") or ()
    names = {entry["kind"] for entry in models.values()} if isinstance(models, Mapping) else set(models)
    return sorted((MODELS.get(name) for name in names if name in MODELS), key=lambda kind: -kind.rank)


def _swatch_colours(name: str) -> tuple[str, str]:
    """Return the colours of a model on a light and on a dark page."""
    colour = figures.model_look(name).colour
    return colour, figures.dark_colour(colour)


def _dark_colours(data: ReportData) -> dict[str, str]:
    """Return what becomes of the colours of figures on a dark page, those of this campaign's models included."""
    of_models = (figures.model_look(model.record.kind).colour for model in data.models)
    return {**figures.DARK_COLOURS, **{colour: figures.dark_colour(colour) for colour in of_models}}


def _all_figures(data: ReportData) -> dict[str, go.Figure]:
    return {**_figures(data), **{key: figure for one in data.sections for key, figure in one.figures.items()}}


def _figures(data: ReportData) -> dict[str, go.Figure]:
    """Return the figures that the data allow, by name."""
    found: dict[str, go.Figure] = {}
    for quantity, name, unit in (
        ("force", "Force RMSE", "meV/Å"),
        ("energy", "Energy RMSE", "meV/atom"),
    ):
        series = [
            figures.ErrorSeries(
                one.model_kind, one.subset, one.generations, tuple(MILLI * error for error in one.errors)
            )
            for one in data.error_series(quantity)
        ]
        if series:
            curve = found[f"{quantity}_curve"] = figures.learning_curve(series, name, unit)
            if quantity == "force":
                add_locality_bounds(curve, data.force_bounds, MILLI)
    by_element = {
        model.record.kind: {
            element: MILLI * statistics.rmse for element, statistics in model.new.force_by_element_eV_per_A.items()
        }
        for model in data.last_assessed
        if model.new is not None
    }
    if by_element:
        found["element_errors"] = figures.element_errors(by_element, "meV/Å")
    by_magnitude = {
        model.record.kind: model.new.force_by_magnitude_eV_per_A
        for model in data.last_assessed
        if model.new is not None and model.new.force_by_magnitude_eV_per_A
    }
    if by_magnitude:
        found["magnitude_errors"] = magnitude_errors(by_magnitude)
    found.update(_parity_figures(data))
    if len(data.reference_forces):
        found["force_distribution"] = figures.force_distribution(data.reference_forces, data.elements)
    if data.label_counts:
        found["label_states"] = figures.label_states(data.label_counts)
    return found


def _parity_figures(data: ReportData) -> dict[str, go.Figure]:
    if not data.parity:
        return {}
    found = {
        f"parity_forces_{one.model_kind}": figures.parity(
            one.data.reference_forces.ravel(),
            one.data.predicted_forces.ravel(),
            np.repeat(one.data.elements, 3),
            quantity="force component",
            unit="eV/Å",
        )
        for one in data.parity
    }
    # Energies relative to the mean: the offset of a total energy says nothing and would hide the spread.
    means = [float(one.data.reference_energies.mean()) for one in data.parity]
    found["parity_energies"] = figures.parity(
        np.concatenate([one.data.reference_energies - mean for one, mean in zip(data.parity, means, strict=True)]),
        np.concatenate([one.data.predicted_energies - mean for one, mean in zip(data.parity, means, strict=True)]),
        np.concatenate([np.full(len(one.data.reference_energies), one.model_kind) for one in data.parity]),
        quantity="energy",
        unit="eV/atom",
    )
    return found


def _cards(data: ReportData) -> list[dict[str, str]]:
    """Return the figures that matter most, each with what it is and what it is measured on."""
    cards = []
    for model in data.last_assessed:
        if model.new is None:
            continue
        name = figures.model_name(model.record.kind)
        cards.append(
            {
                "title": f"{name} force error",
                "value": three_digits(MILLI * root_mean_square(model.new, "force")),
                "unit": "meV/Å",
                "note": f"energy {three_digits(MILLI * root_mean_square(model.new, 'energy'))} meV/atom; "
                f"new configurations of generation {model.record.generation}",
                "kind": model.record.kind,
            }
        )
    total = sum(sum(states.values()) for states in data.label_counts.values())
    finished = sum(states.get(State.FINISHED.value, 0) for states in data.label_counts.values())
    stop = data.record.settings.get("stop", {})
    cards.append(
        {
            "title": "Labels finished",
            "value": f"{finished}",
            "unit": f"of {total}",
            "note": f"{data.reused_labels} taken over from other campaigns" if data.reused_labels else "",
            "kind": "",
        }
    )
    cards.append(
        {
            "title": "Generation",
            "value": str(data.status.generation),
            "unit": f"of at most {stop['max_generations']}" if "max_generations" in stop else "",
            "note": f"{len(data.models)} fits so far" if data.models else "no fit yet",
            "kind": "",
        }
    )
    cards.append(
        {
            "title": "Wall time",
            "value": duration(data.status.seconds),
            "unit": "",
            "note": "from submission to the end" if data.record.ended else "since submission",
            "kind": "",
        }
    )
    return cards


def _structure(data: ReportData) -> dict[str, str]:
    atoms = data.record.structure.to_atoms()
    lengths_and_angles = atoms.cell.cellpar()
    return {
        "formula": formula_of(atoms),
        "atoms": str(len(atoms)),
        "cell": ", ".join(f"{length:.3f}" for length in lengths_and_angles[:3])
        + " Å; "
        + ", ".join(f"{angle:.2f}" for angle in lengths_and_angles[3:])
        + "°",
    }


def _generation_rows(data: ReportData) -> list[dict[str, Any]]:
    """Return the learning curves as a table: one row per generation, one entry per kind of model."""
    rows: list[dict[str, Any]] = []
    for generation in sorted({model.record.generation for model in data.assessed}):
        models: dict[str, ModelSummary] = {
            model.record.kind: model for model in data.assessed if model.record.generation == generation
        }
        rows.append({"generation": generation, "models": models})
    return rows
