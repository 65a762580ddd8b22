"""Kinds of results: their names, and the types of their values with units, through which they are written and read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from ..core.settings import FrozenModel

if TYPE_CHECKING:
    from .records import ResultRecord

_UNIT: Final = re.compile(r"\(([^()]*)\)$")
_NO_QUANTITY: Final = {
    "number",
    "count",
    "integer",
    "yes or no",
    "text",
    "name",
    "names",
    "symbols",
    "unit of the quantity",
}
"""What brackets at the end of a description say of values that have no unit."""


class ResultValues(FrozenModel):
    """Values of a kind of result: every field's description ends with its unit, in brackets."""

    # Who looks at some results need not wait for the validators of all.
    model_config = ConfigDict(ser_json_inf_nan="constants", defer_build=True)


ValuesT = TypeVar("ValuesT", bound=BaseModel)


@dataclass(frozen=True)
class ResultKind(Generic[ValuesT]):
    """A kind of result.

    Attributes
    ----------
    name
        What records call it.
    values_type
        Type of its values; with defaults for what earlier releases did not write.
    """

    name: str
    values_type: type[ValuesT]

    @property
    def units(self) -> dict[str, str | dict[str, str]]:
        """Units of its values as records have them."""
        return units_of(self.values_type)

    def document(self, values: ValuesT) -> dict[str, Any]:
        """Return values as a record holds them.

        Raises
        ------
        TypeError
            If they are those of another kind.
        """
        if type(values) is not self.values_type:
            raise TypeError(f"values of {self.name} are {self.values_type.__name__}, not {type(values).__name__}")
        return self.values_type.model_validate(values.model_dump()).model_dump(mode="json")

    def read(self, record: ResultRecord) -> ValuesT:
        """Return the values of a record; what the type does not know, of another release, is left out.

        Raises
        ------
        RecordUnreadable
            If they are none of this kind.
        """
        from .records import RecordUnreadable

        try:
            return self.values_type.model_validate({key: record.values[key] for key in self._known(record.values)})
        except ValidationError as error:
            places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:3])
            raise RecordUnreadable(f"result {record.id!r} holds no {self.name} (wrong: {places})") from error

    def _known(self, values: Mapping[str, Any]) -> Iterator[str]:
        return (key for key in self.values_type.model_fields if key in values)


def unit_in(description: str) -> str:
    """Return the unit at the end of a description, "1" for a number without one, empty where nothing is measured."""
    found = _UNIT.search(description)
    unit = found.group(1) if found else ""
    if unit == "no unit":
        return "1"
    return "" if unit in _NO_QUANTITY else unit


def units_of(values_type: type[BaseModel]) -> dict[str, str | dict[str, str]]:
    """Return the units of a type's fields, nested as records have them; fields without are left out.

    The unit of a field is that of all below it, where it has one.
    """
    found: dict[str, str | dict[str, str]] = {}
    for name, field in values_type.model_fields.items():
        if unit := unit_in(field.description or ""):
            found[name] = unit
        elif below := _units_below(field.annotation):
            found[name] = below
    return found


def _units_below(annotation: Any) -> dict[str, str]:
    """Return the units of the types inside an annotation by the names of their fields, however deep these are."""
    found: dict[str, str] = {}
    for model in _models_in(annotation):
        for name, unit in units_of(model).items():
            found |= {name: unit} if isinstance(unit, str) else unit
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if _is_model(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
