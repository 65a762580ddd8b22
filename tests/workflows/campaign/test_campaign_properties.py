"""What a campaign file may ask for: properties with tolerances that fit, and clear words for those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from ionloop.workflows.campaign.changes import Effect, Stage, changes, rule_of
from ionloop.workflows.campaign.properties import Tolerance, asked_properties, read_tolerance
from ionloop.workflows.campaign.settings import Campaign, stored_campaign
from ionloop.workflows.campaign.validation import validate_campaign

ANALYSES: dict[str, Any] = {"barriers": {}, "energy_volume": {}, "locality": {}, "conductivity": {"model_samples": 4}}


def file(properties: Any, **sections: Any) -> dict[str, Any]:
    stop = {"properties": properties, **sections.pop("stop", {})}
    return {"name": "asks", "structure": "li7p3s11", "analyses": ANALYSES, "stop": stop, **sections}


def problems(document: dict[str, Any]) -> list[str]:
    _, found = validate_campaign(document)
    return [one.render() for one in found]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("0.05 eV", 0.05, "eV"),
        ("50meV", 0.05, "eV"),
        ("30 %", 30.0, "%"),
        ("5e-2 eV", 0.05, "eV"),
        (" .1 eV ", 0.1, "eV"),
    ],
)
def test_a_tolerance_is_a_number_with_its_unit(text: str, value: float, unit: str) -> None:
    found = read_tolerance(text)
    assert (found.value, found.unit) == (pytest.approx(value), unit)


def test_a_file_asks_for_properties_and_keeps_them() -> None:
    campaign, found = validate_campaign(file({"barriers": "0.05 eV", "conductivity": "30 %"}, proposals={}))
    assert found == []
    assert asked_properties(campaign) == {"barriers": Tolerance(0.05, "eV"), "conductivity": Tolerance(30, "%")}
    assert campaign.proposals is not None
    assert campaign.proposals.share == 0.5
    assert Campaign.model_validate(campaign.model_dump(mode="json")) == campaign


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"barrier": "0.05 eV"}, ("stop.properties.barrier", "is no property", "did you mean barriers?")),
        ({"locality": "0.05 eV"}, ("answers with no number", "barriers")),
        ({"frenkel": "0.05 eV"}, ("does not make", "analyses: {frenkel: {}}")),
        ({"barriers": "5 %"}, ("needs a tolerance in eV", "0.05 eV")),
        ({"energy_volume": "0.1 eV"}, ("needs a tolerance in %", "30 %")),
        ({"barriers": 0.05}, ("lacks its unit", "0.05 eV or 0.05 %")),
        ({"barriers": "0.05"}, ("number with its unit",)),
        ({"barriers": "0.05 Ry"}, ("number with its unit", "eV or meV or %")),
        ({"barriers": "0 eV"}, ("above 0",)),
        ({"barriers": "-1 eV"}, ("number with its unit",)),
        ({"barriers": None}, ("stop.properties.barriers",)),
        ({"barriers": ["0.05 eV"]}, ("stop.properties.barriers",)),
        ("barriers", ("stop.properties", "mapping")),
    ],
)
def test_what_does_not_fit_is_told_with_its_key_and_what_is_allowed(properties: Any, words: tuple[str, ...]) -> None:
    found = problems(file(properties))
    assert len(found) == 1
    assert all(word in found[0] for word in words), found[0]


def test_properties_ask_for_models_that_know_their_errors() -> None:
    (told,) = problems(file({"barriers": "0.05 eV"}, fit={"backend": "gap_fit"}))
    assert "fit.backend" in told
    (told,) = problems({**file({"conductivity": "30 %"}), "analyses": {"conductivity": {}}})
    assert "model_samples" in told
    (told,) = problems({"name": "asks", "structure": "li7p3s11", "proposals": {"share": 0.5}})
    assert "name some in stop.properties" in told
    assert problems(file({}, proposals={"share": 1.5}))


def test_without_properties_a_campaign_is_what_it_was() -> None:
    written = Campaign(name="plain", structure="li7p3s11").model_dump(mode="json")
    assert (written["proposals"], written["stop"]["properties"], written["stop"]["audit"]) == (None, {}, None)
    written_before = {key: value for key, value in written.items() if key != "proposals"}
    before = {
        **written_before,
        "stop": {key: value for key, value in written["stop"].items() if key not in ("properties", "audit")},
    }
    assert Campaign.model_validate(before).model_dump(mode="json") == written


def test_tolerances_may_change_at_any_time_and_the_audit_set_only_before_it_is_taken() -> None:
    assert rule_of(("stop", "properties", "barriers")).effect is Effect.FREE
    assert rule_of(("proposals",)).effect is Effect.FREE
    one = Campaign.model_validate(file({"barriers": "0.05 eV"})).model_dump(mode="json")
    other = Campaign.model_validate(file({"barriers": "0.1 eV"}, stop={"audit": {"count": 5}})).model_dump(mode="json")
    allowed = {change.key[1]: change.is_allowed for change in changes(one, other, Stage.GENERATIONS)}
    assert allowed == {"audit": False, "properties": True}
    assert all(change.is_allowed for change in changes(one, other, Stage.START))


def test_more_frames_than_there_are_cannot_be_set_aside() -> None:
    few = {"sampling": {"length_ps": 0.1, "replicas": 1}, "selection": {"count": 5}}
    assert problems(file({}, **few)) == []
    (told,) = problems(file({}, **few, stop={"audit": {"count": 6}}))
    assert "stop.audit.count" in told


def test_what_a_store_asks_of_an_analysis_that_is_not_installed_here_is_shown_without() -> None:
    settings = Campaign.model_validate(file({"barriers": "0.05 eV"})).model_dump(mode="json")
    settings["analyses"]["other"] = {}
    settings["stop"]["properties"]["other"] = "1 eV"
    shown = stored_campaign(settings)
    assert shown.stop.properties == {"barriers": "0.05 eV"}
