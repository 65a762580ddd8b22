"""Plain data -> `Campaign`, or every problem in it with its key, value, what is allowed and what was meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ...fitting.electrostatics.registry import BASELINES
from ...labelling.registry import ENGINES
from ...sampling.samplers.registry import SAMPLERS
from ...sampling.selections.registry import SELECTIONS
from ...store.document_keys import RULE, unstorable_keys
from .models import with_kinds_and_sections
from .problems import ABSENT, CampaignInconsistency, Key, Problem, closest, dotted
from .schema import CAMPAIGN_FILE, FileSchema
from .settings import NO_STRUCTURE, Campaign

# Stand-ins while the rest of a faulty file is checked; nobody sees them.
_PLACEHOLDERS = {"name": "placeholder", "structure": "placeholder"}


def validate_campaign(data: Mapping[str, Any]) -> tuple[Campaign, list[Problem]]:
    """Check a campaign as a file holds it: strictly, a number in quotes or a yes for a number is an error.

    Returns
    -------
    campaign, problems
        With problems the campaign holds what could be salvaged: faulty sections have their defaults, so that the
        caller can look for further problems in the others. Without problems it is the campaign.
    """
    remaining = dict(data)
    found: list[Problem] = []
    if not remaining.keys() & {"structure", "systems"}:
        found.append(NO_STRUCTURE)
        remaining["structure"] = _PLACEHOLDERS["structure"]
    for _ in range(3):
        try:
            remaining = with_kinds_and_sections(remaining)
            campaign = Campaign.model_validate_json(json.dumps(remaining), strict=True)
        except ValidationError as error:
            problems = [p for details in error.errors() for p in problems_of(details, remaining)]
            problems = [p for index, p in enumerate(problems) if p not in problems[:index]]
        else:
            return campaign, found + [Problem(key, f"a key {RULE}") for key in unstorable_keys(remaining)]
        found += [p for p in problems if not touches(p, {q.key[0] for q in found if q.key})]
        # What is left may hold further problems that pydantic had no chance to see: cross-checks run last.
        for problem in problems:
            for key in (problem.key, *problem.related):
                remaining.pop(str(key[0]) if key else "", None)
        remaining = {**_placeholders(remaining), **remaining}
    return Campaign(**_PLACEHOLDERS), found


def _placeholders(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _PLACEHOLDERS.items() if key != "structure" or "systems" not in data}


def touches(problem: Problem, sections: set[str | int]) -> bool:
    """Whether the problem lies in, or depends on, one of these top-level keys."""
    return any(key[0] in sections for key in (problem.key, *problem.related) if key)


def problems_of(details: ErrorDetails, data: Mapping[str, Any], file: FileSchema = CAMPAIGN_FILE) -> list[Problem]:
    """Translate one of pydantic's errors; ``file`` knows what is allowed."""
    key = key_in_data(details["loc"], data)
    context = details.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, CampaignInconsistency):
        return [replace(p, key=key + p.key, related=tuple(key + other for other in p.related)) for p in cause.problems]
    kind, value = details["type"], value_at(key, data)
    if kind == "missing":
        return [_missing(key, details["loc"][-1], data, file)]
    if kind == "extra_forbidden":
        return [_unknown_key(key, data, file)]
    if kind == "union_tag_not_found":
        return [_no_variant(key, data, file)]
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        return [_not_a_choice(key, data, file)]
    if kind.endswith("_type") and isinstance(value, str) and value in file.choices_of_variant(key, data):
        example = f"{dotted(key)}: {{{file.variant_keys(key, data)[0]}: {value}}}"
        return [Problem(key, "must be a mapping", value=value, suggestion=example)]
    if details["loc"][-1:] == ("[key]",):
        return [Problem(key, _message(details), value=value)]
    return [Problem(key, _message(details), value=value, allowed=file.allowed_at(key, data))]


def key_in_data(location: tuple[int | str, ...], data: Any) -> Key:
    """Return the part of pydantic's location that exists in the data: union tags and ``[key]`` marks drop out."""
    key: list[str | int] = []
    for part in location:
        value = child(data, part)
        if value is not ABSENT:
            key.append(part)
            data = value
    return tuple(key)


def child(data: Any, part: str | int) -> Any:
    """Return one entry of a mapping or list, `ABSENT` if there is none."""
    if isinstance(data, Mapping):
        return data.get(part, ABSENT)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return ABSENT


def value_at(key: Key, data: Any) -> Any:
    """Return the value at a key that exists."""
    value = data
    for part in key:
        value = value[part]
    return value if key else ABSENT


def _unknown_key(key: Key, data: Mapping[str, Any], file: FileSchema) -> Problem:
    section, name = key[:-1], str(key[-1])
    return Problem(
        key,
        "unknown key",
        suggestion=file.suggest_key(section, name, data),
        allowed=", ".join(file.allowed_keys(section, data)),
    )


def _missing(section: Key, part: str | int, data: Mapping[str, Any], file: FileSchema) -> Problem:
    if isinstance(part, int):
        return Problem(section, "is too short", value=value_at(section, data), allowed=file.allowed_at(section, data))
    key = (*section, part)
    return Problem(key, "is required", allowed=file.allowed_at(key, data))


def _no_variant(key: Key, data: Mapping[str, Any], file: FileSchema) -> Problem:
    """A section with variants that does not say which one it is."""
    chooser = file.variant_keys(key, data)[0]
    choices = " | ".join(file.choices_of_variant(key, data))
    misspelt = closest(chooser, value_at(key, data))
    if misspelt is not None and misspelt != chooser:
        return Problem((*key, misspelt), "unknown key", suggestion=chooser, allowed=f"{chooser}: {choices}")
    return Problem((*key, chooser), "is required", allowed=choices)


def _not_a_choice(key: Key, data: Mapping[str, Any], file: FileSchema) -> Problem:
    value = value_at(key, data)
    if isinstance(value, Mapping):
        # The value is a section whose variant is unknown: the key that chooses it is what to look at.
        chosen = next((name for name in file.variant_keys(key, data) if name in value), None)
        key, value = ((*key, chosen), value[chosen]) if chosen else (key, value)
    choices = file.choices_at(key, data)
    return Problem(
        key,
        _broken_kind(value) or "is not one of the choices",
        value=value,
        allowed=file.allowed_at(key, data),
        suggestion=closest(value, choices) if isinstance(value, str) else None,
    )


def _broken_kind(value: Any) -> str:
    """Return why the kind of that name cannot be used, empty if none is broken."""
    for registry in (ENGINES, SAMPLERS, SELECTIONS, BASELINES):
        for one in registry.broken:
            if one.name == value:
                return f"is the {registry.noun} of {one.package}, which cannot be used: {one.reason}"
    return ""


def _message(details: ErrorDetails) -> str:
    cause = details.get("ctx", {}).get("error")
    if details["type"] == "value_error" and cause is not None:
        return str(cause)
    if details["type"] == "string_pattern_mismatch":
        return "does not have the right form"
    if details["type"] == "string_type" and isinstance(details["input"], bool | int | float):
        return "must be text, and what reads as a number, true or false is none: write it in quotes"
    message = details["msg"]
    for before, after in _WORDING.items():
        message = message.replace(before, after)
    value = details["input"]
    if value is None:
        return f"is empty: {message}; remove the line for the default"
    if isinstance(value, str) and details["type"] in ("int_type", "float_type", "bool_type"):
        return f"{message}, written without quotes or units"
    return message


_WORDING = {
    " after validation": "",
    "Input should be": "must be",
    "Input should have": "must have",
    "Input should": "must",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid array": "a list",
    "a valid tuple": "a list",
    "a valid list": "a list",
    "an object": "a mapping (key: value)",
    "a valid dictionary": "a mapping (key: value)",
    "String should": "must",
    "Tuple should": "must",
    "Dictionary should": "must",
    "List should": "must",
}
