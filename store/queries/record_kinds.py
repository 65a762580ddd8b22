"""What can be asked of each kind of record: its columns with their units, its states, its models."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from ...core.errors import InputError
from ...core.formulas import formula_of
from ...core.states import State
from ..records import (
    UNITS,
    CampaignRecord,
    ConfigurationRecord,
    DataSetRecord,
    LabelRecord,
    ModelRecord,
    Record,
    ResultRecord,
    SurveyRecord,
    TrajectoryRecord,
)

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """One column of a table of records.

    Attributes
    ----------
    name
        What ``--columns`` calls it.
    value
        Takes it from a record.
    unit
        Unit of the value, for the header; empty for none.
    shown
        Whether it is there where no columns are chosen.
    """

    name: str
    value: Callable[[Any], Any]
    unit: str = ""
    shown: bool = True

    @property
    def header(self) -> str:
        """Name with unit: ``energy (eV)``."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def cell(self, record: Record) -> Cell:
        """Return the value for one record as plain data; None where it has none."""
        value = self.value(record)
        if isinstance(value, datetime):
            return value.isoformat(timespec="seconds")
        if isinstance(value, Enum):
            return str(value.value)
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value


@dataclass(frozen=True)
class RecordKind:
    """A kind of record that can be queried.

    Attributes
    ----------
    states
        States that ``--state`` can ask for; empty where records of this kind have none.
    model_kind_field, model_id_field
        Fields that ``--model`` compares with a kind (gap, es-gap) and with an identifier; empty for none.
    units
        Units of the fields in JSON, by dotted name.
    """

    name: str
    record_type: type[Record]
    columns: tuple[Column, ...]
    states: tuple[str, ...] = ()
    model_kind_field: str = ""
    model_id_field: str = ""
    units: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> Column:
        """Return the column of that name.

        Raises
        ------
        InputError
            If there is none, with those there are.
        """
        names = {column.name: column for column in self.columns}
        if name not in names:
            raise unknown_value("column", name, names, of=self.name)
        return names[name]


def unknown_value(what: str, value: str, allowed: Iterable[str], *, of: str = "") -> InputError:
    """Return the error that names the value, what is allowed and what was probably meant."""
    names = list(allowed)
    close = difflib.get_close_matches(value, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return InputError(
        f"unknown {what} {value!r}{f' of {of}' if of else ''}{hint} (allowed: {', '.join(names) or 'none'})"
    )


def attribute(name: str) -> Callable[[Any], Any]:
    """Return the function that takes the field of that dotted name from a record, None if missing.

    Of results of several kinds one may hold a number where another holds more below the same name: ``energy`` and
    ``energy.rmse``.
    """

    def value(record: Any) -> Any:
        for part in name.split("."):
            if isinstance(record, int | float | str):
                return None
            record = record.get(part) if isinstance(record, dict) else getattr(record, part)
            if record is None:
                return None
        return record

    return value


def _field(name: str, path: str = "", unit: str = "", *, shown: bool = True) -> Column:
    return Column(name, attribute(path or name), unit, shown)


def _largest_force(label: LabelRecord) -> float | None:
    if not label.forces:
        return None
    return max(math.hypot(*force) for force in label.forces)


def _energy_per_atom(label: LabelRecord) -> float | None:
    return label.energy / len(label.forces) if label.energy is not None and label.forces else None


def _force_by_system(record: ResultRecord) -> str | None:
    by_system = record.values.get("by_system")
    if not isinstance(by_system, dict):
        return None
    return ", ".join(f"{name} {one['force_eV_per_A']['rmse']:.4g}" for name, one in sorted(by_system.items()))


_PLACE = (_field("id"), _field("campaign", shown=False), _field("generation"))
_MADE = (_field("created", shown=False), _field("code_version", shown=False))
_STATE_VALUES = tuple(state.value for state in State)

RECORD_KINDS: dict[str, RecordKind] = {
    kind.name: kind
    for kind in (
        RecordKind(
            "configurations",
            ConfigurationRecord,
            (
                *_PLACE,
                _field("system", shown=False),
                _field("formula"),
                Column("atoms", lambda record: len(record.structure.numbers)),
                _field("sampler", "origin.sampler"),
                _field("parent", "origin.parent", shown=False),
                _field("step", "origin.step"),
                _field("seed", "origin.seed", shown=False),
                _field("index", "origin.index"),
                _field("content_hash", shown=False),
                *_MADE,
            ),
            units=(("structure.positions", UNITS["positions"]), ("structure.cell", UNITS["positions"])),
        ),
        RecordKind(
            "labels",
            LabelRecord,
            (
                *_PLACE,
                _field("state"),
                _field("energy", unit=UNITS["energy"]),
                Column("energy_per_atom", _energy_per_atom, "eV/atom", shown=False),
                Column("largest_force", _largest_force, UNITS["forces"]),
                _field("engine"),
                _field("engine_version", shown=False),
                _field("configuration", shown=False),
                _field("wall_time", "wall_time_s", UNITS["wall_time_s"]),
                Column("attempts", lambda record: len(record.attempts), shown=False),
                _field("retries", shown=False),
                _field("host", shown=False),
                _field("reason"),
                _field("settings_hash", shown=False),
                *_MADE,
            ),
            states=_STATE_VALUES,
            units=tuple((name, unit) for name, unit in UNITS.items() if name in LabelRecord.model_fields),
        ),
        RecordKind(
            "models",
            ModelRecord,
            (
                *_PLACE,
                _field("kind"),
                _field("data_set"),
                _field("seed", shown=False),
                Column("files", lambda record: len(record.files)),
                Column("size", lambda record: sum(file.size for file in record.files), "bytes"),
                _field("wall_time", "wall_time_s", UNITS["wall_time_s"]),
                _field("path", shown=False),
                _field("training_set_hash", shown=False),
                *_MADE,
            ),
            model_kind_field="kind",
            model_id_field="_id",
            units=(("wall_time_s", UNITS["wall_time_s"]), ("files.size", "bytes")),
        ),
        RecordKind(
            "trajectories",
            TrajectoryRecord,
            (
                *_PLACE,
                _field("system", shown=False),
                Column("sampler", lambda record: record.kind_of_sampler),
                _field("driver"),
                _field("replica"),
                _field("state"),
                _field("steps"),
                _field("frames"),
                _field("mean_temperature", "mean_temperature_K", "K"),
                _field("wall_time", "wall_time_s", UNITS["wall_time_s"]),
                _field("reason"),
                _field("start", shown=False),
                _field("seed", shown=False),
                _field("path", "artefact.path", shown=False),
                *_MADE,
            ),
            states=("completed", "stopped"),
            model_kind_field="driver",
            units=(
                ("mean_temperature_K", "K"),
                ("wall_time_s", UNITS["wall_time_s"]),
                ("artefact.size", "bytes"),
            ),
        ),
        RecordKind(
            "results",
            ResultRecord,
            (
                *_PLACE,
                _field("system", shown=False),
                _field("kind"),
                _field("model_kind"),
                _field("model", shown=False),
                _field("subset", "values.subset"),
                _field("energy_rmse", "values.energy_eV_per_atom.rmse", "eV/atom"),
                _field("force_rmse", "values.force_eV_per_A.rmse", UNITS["forces"]),
                Column("force_rmse_by_system", _force_by_system, UNITS["forces"], shown=False),
                Column("inputs", lambda record: len(record.inputs)),
                _field("reason", "values.reason", shown=False),
                *_MADE,
            ),
            model_kind_field="model_kind",
            model_id_field="model",
        ),
        RecordKind(
            "campaigns",
            CampaignRecord,
            (
                _field("id"),
                _field("state"),
                Column("formula", lambda record: formula_of(record.structure.to_atoms())),
                Column("systems", lambda record: ", ".join(record.systems) or None, shown=False),
                Column("atoms", lambda record: len(record.structure.numbers)),
                _field("created"),
                _field("ended"),
                _field("reason"),
                Column("survey", lambda record: record.survey or None, shown=False),
                _field("file", shown=False),
                _field("code_version", shown=False),
            ),
            states=_STATE_VALUES,
            units=(("structure.positions", UNITS["positions"]), ("structure.cell", UNITS["positions"])),
        ),
        RecordKind(
            "data-sets",
            DataSetRecord,
            (
                *_PLACE,
                Column("labels", lambda record: len(record.labels)),
                Column("isolated_atoms", lambda record: ", ".join(sorted(record.isolated_atom_energies))),
                *_MADE,
            ),
            units=(("isolated_atom_energies", UNITS["energy"]),),
        ),
        RecordKind(
            "surveys",
            SurveyRecord,
            (
                _field("id"),
                Column("candidates", lambda record: len(record.candidates)),
                Column("campaigns", lambda record: len(record.campaigns)),
                Column("refused", lambda record: sum(bool(one.refused) for one in record.candidates)),
                _field("file", shown=False),
                *_MADE,
            ),
        ),
    )
}


def record_kind(name: str) -> RecordKind:
    """Return the kind of record of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in RECORD_KINDS:
        raise unknown_value("kind of record", name, RECORD_KINDS)
    return RECORD_KINDS[name]
