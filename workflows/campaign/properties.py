"""What a campaign file says of properties: within what each shall be known, and what is labelled for that."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field

from ...core.settings import FrozenSettings
from ...fitting.kinds.base import NATIVE
from .analyses import INSTALLED
from .problems import Problem, closest

if TYPE_CHECKING:
    from .settings import Campaign

_TOLERANCE: Final = re.compile(r"\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*(\S+)\s*")
_FACTORS: Final[Mapping[str, Mapping[str, float]]] = {"eV": {"eV": 1.0, "meV": 1e-3}, "%": {"%": 1.0}}
"""By the unit of a property: the units that its tolerance may have."""
_LARGEST: Final = 1e6


@dataclass(frozen=True)
class Tolerance:
    """Within what a property shall be known, in the property's unit: "eV", or "%" of its value."""

    value: float
    unit: str

    @property
    def text(self) -> str:
        """The tolerance, as a person writes it."""
        return f"{self.value:g} {self.unit}"


def read_tolerance(text: str) -> Tolerance:
    """Return the tolerance of a text such as "0.05 eV" or "30 %".

    Raises
    ------
    ValueError
        If it is none.
    """
    found = _TOLERANCE.fullmatch(text)
    units = {name: (unit, factor) for unit, names in _FACTORS.items() for name, factor in names.items()}
    if found is None or found.group(2) not in units:
        raise ValueError(f"must be a number with its unit, {' or '.join(units)}: 0.05 eV, 30 %")
    unit, factor = units[found.group(2)]
    value = float(found.group(1)) * factor
    if not 0 < value <= _LARGEST:
        raise ValueError(f"must be above 0 and at most {_LARGEST:g}: no property is known exactly")
    return Tolerance(value, unit)


def _with_unit(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"lacks its unit: write {value:g} eV or {value:g} %")
    if isinstance(value, str):
        read_tolerance(value)
    return value


ToleranceText = Annotated[
    str,
    BeforeValidator(_with_unit),
    Field(json_schema_extra={"allowed": "a number with its unit, eV, meV or %: 0.05 eV, 30 %"}),
]


class Audit(FrozenSettings):
    """Configurations that are labelled once and never trained on."""

    count: int = Field(
        20,
        ge=2,
        le=10_000,
        description="Configurations, of all systems together, taken from the frames of the first generation (number)",
    )


class Proposals(FrozenSettings):
    """Configurations that analyses propose, of which those are labelled that tell most of the properties asked for."""

    share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Part of selection.count that proposals may take in every generation from the second on (no unit)",
    )


def read_tolerances(properties: Mapping[str, str]) -> dict[str, Tolerance]:
    """Return within what each property shall be known, by analysis, of ``stop.properties``."""
    return {name: read_tolerance(text) for name, text in properties.items()}


def asked_properties(campaign: Campaign) -> dict[str, Tolerance]:
    """Return within what each property shall be known, by analysis, in the order of the campaign file."""
    return read_tolerances(campaign.stop.properties)


def property_inconsistencies(campaign: Campaign) -> Iterator[Problem]:
    """Yield properties that nobody offers or makes, tolerances in another unit, models without errors of their own."""
    offered = {one.name: one.property_unit for one in INSTALLED.kinds if one.property_unit}
    for name, tolerance in asked_properties(campaign).items():
        key = ("stop", "properties", name)
        if name not in offered:
            what = "answers with no number that could be known" if name in INSTALLED else "is no property"
            yield Problem(key, what, allowed=" | ".join(offered), suggestion=closest(name, offered))
        elif name not in campaign.analyses.chosen:
            message = "is a property of an analysis that the campaign does not make"
            suggestion = f"analyses: {{{name}: {{}}}}"
            yield Problem(key, message, suggestion=suggestion, related=(("analyses",),))
        elif tolerance.unit != offered[name]:
            value, allowed = campaign.stop.properties[name], _example(offered[name])
            yield Problem(key, f"needs a tolerance in {offered[name]}", value=value, allowed=allowed)
        elif why_not := INSTALLED.get(name).why_not_known(getattr(campaign.analyses, name)):
            yield Problem(key, why_not, related=(("analyses",),))
    yield from _without_posterior(campaign)
    if campaign.proposals is not None and not campaign.stop.properties:
        message = "are chosen by what they tell of properties: name some in stop.properties"
        yield Problem(("proposals",), message, related=(("stop",),))


def _example(unit: str) -> str:
    return "a number in eV or meV: 0.05 eV" if unit == "eV" else "a number in %: 30 %"


def _without_posterior(campaign: Campaign) -> Iterator[Problem]:
    """Yield that the driver, with which properties are looked at, can say nothing of its own errors."""
    driver = campaign.driver
    if not campaign.stop.properties or driver not in campaign.models:
        return
    related = (("models",), ("sampling", "driver"), ("fit",))
    if not campaign.kind_of(driver).has_posterior:
        message = (
            f"asks for the model's own error, which models of the kind {campaign.kind_of(driver).name} do not know"
        )
        yield Problem(("stop", "properties"), message, related=related)
    elif campaign.kind_of(driver).backend(campaign.fit.backend) != NATIVE:
        message = "makes no model that says how sure it is, as stop.properties needs"
        yield Problem(("fit", "backend"), message, value=campaign.fit.backend, allowed=NATIVE, related=(("stop",),))


def without_properties(settings: Mapping[str, Any], analyses: Collection[str] | None) -> Mapping[str, Any]:
    """Return a stored campaign's settings to be shown here: without properties of these analyses; None: of all."""
    stop = settings.get("stop") or {}
    asked = stop.get("properties") or {}
    left = {} if analyses is None else {name: text for name, text in asked.items() if name not in analyses}
    if left == asked:
        return settings
    without = {name: value for name, value in settings.items() if left or name != "proposals"}
    return {**without, "stop": {**stop, "properties": left}}
