"""The pages of configurations: the table, and one structure in three dimensions."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from flask import Blueprint, Response, request, url_for

from ....analysis.looks import model_name
from ....core.arrays import FloatArray
from ....core.errors import InputError
from ....core.names import NOT_LABELLED, REFERENCE
from ....core.states import State
from ....store.queries.record_kinds import Column
from ....store.records import ConfigurationRecord, LabelRecord, ResultRecord
from ..asking import ask, split_filters
from ..charts import MILLI, force_chart
from ..rows import ConfigurationRow, LabelRow
from ..scene import scene, scene_json
from ..snapshot import Snapshot
from .shared import missing, page_settings, reader, show, wanted, wanted_number

pages = Blueprint("configurations", __name__)

DEVIATION: Final = "deviation"
CHARGE: Final = "charge"


@dataclass(frozen=True, slots=True)
class Pair:
    """A configuration with the label that its campaign's engine gave."""

    configuration: ConfigurationRow
    label: LabelRow | None

    @property
    def state(self) -> str:
        """State of the label."""
        return NOT_LABELLED if self.label is None else self.label.state.value

    @property
    def energy_per_atom(self) -> float | None:
        """Energy (eV/atom) of a finished label."""
        if self.label is None or self.label.energy is None:
            return None
        return self.label.energy / len(self.configuration.numbers)

    @property
    def max_force(self) -> float | None:
        """Largest force on an atom (eV/Å)."""
        if self.label is None or not len(self.label.forces):
            return None
        return float(self.label.forces.max())

    @property
    def rms_force(self) -> float | None:
        """Root of the mean squared force on an atom (eV/Å)."""
        if self.label is None or not len(self.label.forces):
            return None
        return float(np.sqrt(np.mean(np.square(self.label.forces))))


COLUMNS: Final[tuple[Column, ...]] = (
    Column("id", lambda pair: pair.configuration.id),
    Column("campaign", lambda pair: pair.configuration.campaign),
    Column("generation", lambda pair: pair.configuration.generation),
    Column("formula", lambda pair: pair.configuration.formula),
    Column("atoms", lambda pair: len(pair.configuration.numbers)),
    Column("sampler", lambda pair: pair.configuration.sampler),
    # What a filter calls none is a missing value.
    Column("state", lambda pair: None if pair.label is None else pair.label.state.value),
    Column("energy_per_atom", lambda pair: pair.energy_per_atom, "eV"),
    Column("max_force", lambda pair: pair.max_force, "eV/Å"),
    Column("rms_force", lambda pair: pair.rms_force, "eV/Å", shown=False),
    Column("wall_time", lambda pair: None if pair.label is None else pair.label.wall_time_s, "s", shown=False),
    Column("index", lambda pair: pair.configuration.index, shown=False),
    Column("step", lambda pair: pair.configuration.step, shown=False),
    Column("parent", lambda pair: pair.configuration.parent, shown=False),
    Column("engine", lambda pair: None if pair.label is None else pair.label.engine, shown=False),
    Column("reason", lambda pair: None if pair.label is None else pair.label.reason, shown=False),
    Column("created", lambda pair: pair.configuration.created.isoformat(timespec="seconds"), shown=False),
)


@pages.get("/configurations")
def configurations() -> Response:
    """Show the table of configurations."""
    text, sort = request.args.get("filter", ""), request.args.get("sort", "")
    page = wanted_number("page", 1, lowest=1)
    return show("configurations.html", lambda snapshot: table_page(snapshot, text, sort, page))


def table_page(snapshot: Snapshot, text: str, sort: str, page: int) -> dict[str, Any]:
    """Return what the table shows; a filter that cannot be read is said so above an empty table."""
    settings = page_settings()
    pairs = [Pair(one, snapshot.label_of(one)) for one in snapshot.configurations.values()]
    problem = ""
    try:
        filters = split_filters(text, settings.max_filters)
        found = ask(pairs, COLUMNS, filters, sort=sort, page=page, rows=settings.page_rows)
    except InputError as error:
        problem = str(error)
        found = ask([], COLUMNS, (), sort="", page=1, rows=settings.page_rows)
    return {
        "text": text,
        "sort": sort,
        "found": found,
        "all": len(pairs),
        "columns": [column for column in COLUMNS if column.shown],
        "fields": [column.name for column in COLUMNS],
        "problem": problem,
        "forces": force_chart([(pair.configuration, pair.label) for pair in found.matching]),
        "campaigns": sorted(snapshot.campaigns),
    }


@pages.get("/configuration")
def configuration() -> Response:
    """Show one configuration."""
    name, model = wanted("id"), request.args.get("model", "")
    # Addresses of earlier releases name the model alone.
    colour = request.args.get("colour", "") or (f"{DEVIATION}:{model}" if model else "")
    return show("configuration.html", lambda snapshot: structure_page(snapshot, name, colour))


@dataclass(frozen=True)
class Prediction:
    """A model's stored prediction for one configuration: forces (eV/Å), energy error (meV/atom), charges (e)."""

    model: str
    kind: str
    generation: int
    deviations: FloatArray
    energy_error: float
    charges: FloatArray | None = None

    @property
    def rmse(self) -> float:
        """Root-mean-square error of the force components (meV/Å)."""
        return MILLI * float(np.sqrt(np.mean(np.square(self.deviations)) / 3))


@dataclass(frozen=True)
class Colouring:
    """What the atoms of a structure can be coloured by; without prediction, charges of the label."""

    key: str
    text: str
    prediction: Prediction | None
    deviations: FloatArray | None = None
    charges: FloatArray | None = None


def colourings(predictions: list[Prediction], label: LabelRecord | None) -> list[Colouring]:
    """Return what a structure can be coloured by, in the order of a list."""
    found = []
    for one in predictions:
        place = f"{model_name(one.kind)}, generation {one.generation}"
        found.append(Colouring(f"{DEVIATION}:{one.model}", f"deviation of {place}", one, deviations=one.deviations))
        if one.charges is not None:
            found.append(Colouring(f"{CHARGE}:{one.model}", f"charge by {place}", one, charges=one.charges))
    if label is not None and label.charges:
        found.append(
            Colouring(f"{CHARGE}:{REFERENCE}", f"charge by {label.engine}", None, charges=np.array(label.charges))
        )
    return found


def structure_page(snapshot: Snapshot, name: str, colour: str) -> dict[str, Any]:
    """Return what the page of a configuration shows, its atoms coloured by what ``colour`` names."""
    record = reader().configuration(name)
    if record is None or name not in snapshot.configurations:
        missing("configuration", name)
    assert record is not None
    row = snapshot.configurations[name]
    label_row = snapshot.label_of(row)
    label = reader().label(label_row)
    predictions = stored_predictions(snapshot, row, label)
    offered = colourings(predictions, label)
    chosen = next((one for one in offered if one.key == colour), None)
    siblings = snapshot.configurations_of.get(row.campaign, [])
    at = next((index for index, one in enumerate(siblings) if one.id == name), 0)
    parent = row.parent
    return {
        "configuration": record,
        "row": row,
        "label": label,
        "pair": Pair(row, label_row),
        "scene": structure_scene(record, label, chosen),
        "colourings": offered,
        "chosen": chosen,
        "parent": parent,
        "parent_address": parent_address(snapshot, parent),
        "trajectory": snapshot.trajectories.get(parent or ""),
        "siblings_address": siblings_address(snapshot, parent),
        "children": [snapshot.configurations[one] for one in snapshot.children_of.get(name, ())],
        "before": siblings[at - 1].id if at > 0 else None,
        "after": siblings[at + 1].id if at + 1 < len(siblings) else None,
        "cell": record.atoms.cell.cellpar().tolist() if any(record.structure.pbc) else None,
    }


def parent_address(snapshot: Snapshot, parent: str | None) -> str:
    """Return where a configuration's parent is shown, empty where it is none of the store's configurations."""
    if parent is None or parent not in snapshot.configurations:
        return ""
    return url_for("configurations.configuration", id=parent)


def siblings_address(snapshot: Snapshot, parent: str | None) -> str:
    """Return where all configurations of a trajectory are listed, empty where the parent is none."""
    if parent is None or parent not in snapshot.trajectories:
        return ""
    return url_for("configurations.configurations", filter=shlex.quote(f"parent={parent}"))


def structure_scene(record: ConfigurationRecord, label: LabelRecord | None, chosen: Colouring | None) -> Any:
    """Return the data of the viewer, with forces where the label has them."""
    structure = record.structure
    data = scene(
        structure.numbers,
        [structure.positions],
        structure.cell,
        pbc=structure.pbc,
        forces=label.forces if label is not None and label.forces else None,
        deviations=None if chosen is None else chosen.deviations,
        charges=None if chosen is None else chosen.charges,
    )
    return None if data is None else scene_json(data)


def stored_predictions(snapshot: Snapshot, row: ConfigurationRow, label: LabelRecord | None) -> list[Prediction]:
    """Return what models predicted for a configuration, where the store has kept it."""
    if label is None or label.state is not State.FINISHED:
        return []
    found = []
    for result in snapshot.assessments_of(row.campaign):
        if label.id in result.inputs:
            prediction = _prediction(result, label)
            if prediction is not None:
                found.append(prediction)
    return found


def _prediction(result: ResultRecord, label: LabelRecord) -> Prediction | None:
    data = reader().parity(result)
    if data is None:
        return None
    try:
        counts = reader().atom_counts(result.inputs)
    except KeyError:
        return None
    place = result.inputs.index(label.id)
    first, last = sum(counts[:place]), sum(counts[: place + 1])
    if sum(counts) != len(data.elements) or len(counts) != len(data.reference_energies):
        return None
    difference = data.predicted_forces[first:last] - data.reference_forces[first:last]
    return Prediction(
        model=str(result.model),
        kind=str(result.model_kind),
        generation=result.generation,
        deviations=np.linalg.norm(difference, axis=1),
        energy_error=MILLI * float(data.predicted_energies[place] - data.reference_energies[place]),
        charges=None if data.predicted_charges is None else data.predicted_charges[first:last],
    )
