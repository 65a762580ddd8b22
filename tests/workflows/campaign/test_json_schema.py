"""The schema for editors says what the models say."""

from __future__ import annotations

from typing import Any

import pytest

from ionloop.workflows.campaign.json_schema import campaign_json_schema
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.campaign.starter import short_text, starter_text, template_names
from ionloop.workflows.campaign.yaml_lines import parse_yaml

LEAST = {"name": "a", "structure": "li7p3s11"}
SHORT_FORMS: tuple[dict[str, Any], ...] = (
    {"gap": "tune"},
    {"gap": {"tune": True}},
    {"models": {"gap": {"tune": True}, "small": {"kind": "gap", "soap": {"n_max": 6}, "tune": False}}},
    {"selection": {"count": 3}},
    {"baseline": {"charges": "formal"}},
    {"initial": [{"kind": "rattled", "count": 10}], "explore": [{"kind": "nvt", "temperature_K": [600, 800]}]},
    {"max_core_hours": {"gfn1-xtb": 4}},
    {"analyses": {"barriers": {}}},
)
WRONG: tuple[dict[str, Any], ...] = (
    {"anlyses": {}},
    {"models": {"gap": "tune"}},
    {"sampling": {"length": 3}},
    {"supercell": [1, 1]},
    {"reference": {"engine": "gfn1-xtb", "accuracy": -1}},
    {"explore": [{"kind": "no-such-sampler"}]},
)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return campaign_json_schema()


def test_the_schema_names_every_key_of_the_file_and_describes_it(schema: dict[str, Any]) -> None:
    assert set(schema["properties"]) == set(Campaign.model_fields)
    assert all(one.get("description") for one in schema["properties"].values())
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("form", SHORT_FORMS, ids=str)
def test_short_forms_that_the_file_may_have_are_in_the_schema(schema: dict[str, Any], form: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    Campaign.model_validate({**LEAST, **form})
    jsonschema.Draft202012Validator(schema).validate({**LEAST, **form})


@pytest.mark.parametrize("template", template_names())
def test_starters_are_in_the_schema(schema: dict[str, Any], template: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for text in (short_text(template), starter_text(template)):
        jsonschema.Draft202012Validator(schema).validate(parse_yaml(text).data)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_the_file_may_not_have_is_not_in_the_schema(schema: dict[str, Any], wrong: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(schema).is_valid({**LEAST, **wrong})
