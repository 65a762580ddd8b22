"""The JSON schema of the campaign file, for editors: what the models accept, with the forms that they shorten."""

from __future__ import annotations

from typing import Any, Final

from .settings import Campaign
from .tuning import TUNE

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OURS: Final = "allowed"
"""A word of ours in the models' schemas, for messages."""
_OF_SECTIONS: Final = "Section"
"""What the names of the types of sections end with (`ionloop.workflows.campaign.tuning`)."""


def campaign_json_schema() -> dict[str, Any]:
    """Return the schema of a campaign file, with the kinds that are installed here."""
    schema = _for_editors(Campaign.model_json_schema())
    definitions = schema["$defs"]
    for name, one in definitions.items():
        if TUNE in one.get("properties", {}):
            section = _with_true(one)
            # Models of the long form are mappings in any case.
            definitions[name] = {"anyOf": [{"const": TUNE}, section]} if name.endswith(_OF_SECTIONS) else section
    return {"$schema": DIALECT, **schema, "title": "Campaign file of ionloop"}


def _for_editors(schema: Any) -> Any:
    """Return a schema in which a variant may be meant by what it leaves open, without the names that models have.

    Kinds that have a default need not be named: settings then fit several variants, and "one of" refuses them.
    """
    if isinstance(schema, list):
        return [_for_editors(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    properties = schema.get("properties")
    kept = {
        "anyOf" if key == "oneOf" else key: _for_editors(value)
        for key, value in schema.items()
        if key not in {_OURS, "discriminator", "properties"} and not (key == "title" and isinstance(value, str))
    }
    if properties is not None:
        # Keys of the file may have any names, also those of words of schemas.
        kept["properties"] = {name: _for_editors(one) for name, one in properties.items()}
    return kept


def _with_true(section: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what is tuned or not, in which `tune: true` stands for the defaults."""
    tune = section["properties"][TUNE]
    choices = [*tune.get("anyOf", []), {"const": True}]
    return {**section, "properties": {**section["properties"], TUNE: {**tune, "anyOf": choices}}}
