"""The pages of models, and the files of records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response, abort, request, send_file

from ....core.names import NEW, TRAINING
from ....store.records import Artefact, ModelRecord
from ....tasks.values.loop import ErrorValues
from ..charts import element_chart, parity_charts, variance_chart
from ..snapshot import Snapshot
from .shared import missing, reader, show, wanted, wanted_number

pages = Blueprint("models", __name__)

_SHARES: Final = ("models", "results", "trajectories")


@pages.get("/models")
def models() -> Response:
    """Show the table of models."""
    name = request.args.get("campaign", "")
    return show("models.html", lambda snapshot: table_page(snapshot, name))


def table_page(snapshot: Snapshot, campaign: str) -> dict[str, Any]:
    """Return what the table shows: all models, or those of one campaign."""
    if campaign and campaign not in snapshot.campaigns:
        missing("campaign", campaign)
    found = [model for model in snapshot.models.values() if campaign in ("", model.campaign)]
    return {
        "campaign": campaign,
        "campaigns": sorted(snapshot.campaigns),
        "models": [model_row(snapshot, model) for model in found],
    }


def model_row(snapshot: Snapshot, model: ModelRecord) -> dict[str, Any]:
    """Return a model with its errors and the size of its training set."""
    data_set = snapshot.data_sets.get(model.data_set)
    return {
        "record": model,
        "final": snapshot.is_final(model),
        "labels": None if data_set is None else data_set.labels,
        "new": errors_of(snapshot, model, NEW),
        "training": errors_of(snapshot, model, TRAINING),
        "size": sum(file.size for file in model.files),
    }


def errors_of(snapshot: Snapshot, model: ModelRecord, subset: str) -> ErrorValues | None:
    """Return the errors of a model on a subset, None where there are none that can be read."""
    result = snapshot.errors_of_model.get((model.id, subset))
    return None if result is None else snapshot.errors[result.id]


@pages.get("/model")
def model() -> Response:
    """Show one model."""
    name = wanted("id")
    return show("model.html", lambda snapshot: model_page(snapshot, name))


def model_page(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """Return what the page of a model shows."""
    if name not in snapshot.models:
        missing("model", name)
    record = snapshot.models[name]
    new = snapshot.errors_of_model.get((name, NEW))
    training = snapshot.errors_of_model.get((name, TRAINING))
    parity = None if new is None else reader().parity(new)
    return {
        "model": model_row(snapshot, record),
        "parity": [] if parity is None else parity_charts(parity, record.kind),
        "uncertainty": None if new is None else reader().uncertainty(new),
        "elements": element_chart([one for one in (new or training,) if one is not None]),
        "variance": variance_chart(snapshot, record),
        "results": [one for one in snapshot.results_of.get(record.campaign, ()) if one.model == name],
        "hyperparameters": flattened(record.hyperparameters),
    }


_LONGEST_TEXT = 300


def flattened(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as dotted names and texts."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.extend(flattened(value, f"{name}.") or [(name, "none")])
        else:
            found.append((name, short_text(value)))
    return found


def short_text(value: Any) -> str:
    """Return a value as text, numbers with six digits, also in lists."""
    if isinstance(value, list | tuple):
        return ", ".join(map(short_text, value)) or "none"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ... ({len(text):,} characters)"


# -- files ------------------------------------------------------------------------------------------------------------


@pages.get("/artefact")
def artefact() -> Response:
    """Send a file of a record: named by the record and its number, never by a path."""
    kind, name, number = wanted("kind"), wanted("record"), wanted_number("number", 0, highest=10_000)
    if kind not in _SHARES:
        abort(404, f"records of {kind[:40]!r} have no files here; there are {', '.join(_SHARES)}")
    files = artefacts_of(reader().snapshot(), kind, name)
    if number >= len(files):
        missing("file", f"{number} of {name}")
    file = files[number]
    path = reader().whole_file(file)
    if path is None:
        abort(410, f"{file.path} is not there as it was recorded: missing, or its checksum differs")
    response = send_file(
        path, mimetype="application/octet-stream", as_attachment=True, download_name=path.name, etag=file.sha256
    )
    response.headers["Digest"] = f"sha-256={file.sha256}"
    return response


def artefacts_of(snapshot: Snapshot, kind: str, name: str) -> list[Artefact]:
    """Return the files of a record, in its order; those of results by the names that they have there."""
    if kind == "models" and name in snapshot.models:
        return snapshot.models[name].files
    if kind == "trajectories" and name in snapshot.trajectories:
        return [snapshot.trajectories[name].artefact]
    if kind == "results" and name in snapshot.results:
        return list(snapshot.results[name].artefacts.values())
    return []
