"""Starter files and the reference page are written from the models, and what they say is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from ionloop.core.errors import InputError
from ionloop.fitting.settings import TwoBodySettings
from ionloop.workflows.campaign.reference_page import reference_page
from ionloop.workflows.campaign.schema import field_entries
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.campaign.starter import EXPERT_SECTIONS, short_text, starter_text, template_names, yaml_value
from ionloop.workflows.campaign.yaml_lines import parse_yaml
from ionloop.workflows.submission.campaign_file import read_campaign

CHECKOUT = Path(__file__).parents[3]
SCREEN_LINES = 40


@pytest.mark.parametrize("template", template_names())
def test_a_starter_is_a_valid_campaign(tmp_path: Path, template: str) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(starter_text(template))
    campaign = read_campaign(path)
    assert campaign.structure or campaign.systems


@pytest.mark.parametrize("template", template_names())
def test_a_starter_says_what_its_template_says(template: str) -> None:
    given = parse_yaml((CHECKOUT / "workflows" / "campaign" / "templates" / f"{template}.yaml").read_text()).data
    shown = parse_yaml(starter_text(template))
    assert shown.problems == []
    assert Campaign.model_validate(shown.data) == Campaign.model_validate(given)


def test_a_starter_explains_every_key_but_the_expert_ones() -> None:
    text = " ".join(line.strip().removeprefix("#").strip() for line in starter_text("li7p3s11").splitlines())
    keys = {entry.key: entry for entry in field_entries() if entry.variant in (None, "engine: gfn1-xtb", "kind: fixed")}
    explained = [entry for key, entry in keys.items() if not EXPERT_SECTIONS & set(key)]
    assert len(explained) > 60
    unexplained = [entry.key for entry in explained if entry.description.rstrip(".") not in text]
    # The key of charges: {fit: error}; the starter has charges: fit, no triplets, no core, and tunes nothing.
    with_triplets = {"triplet_descriptor", *TwoBodySettings.model_fields}
    assert {key[-1] for key in unexplained if key[:2] == ("gap", "three_body")} <= with_triplets
    # Nor does it screen: that Li7P3S11 conducts is known.
    absent = {("gap", "three_body"), ("gap", "core"), ("analyses", "screening"), ("analyses", "structure_functions")}
    absent |= {("analyses", "rotation"), ("analyses", "glasses"), ("analyses", "speciation")}
    unexplained = [key for key in unexplained if key[:2] != ("gap", "tune") or len(key) == 2]
    # Nor has it several structures, one that is packed, or a list of samplers.
    others = ("systems", "explore", "structure")
    # Nor what is in sections that there are none of by default.
    unexplained = [key for key in unexplained if key not in {("proposals", "share"), ("stop", "audit", "count")}]
    assert [key for key in unexplained if key[:2] not in absent and key[0] not in others and key[-1] != "systems"] == [
        ("baseline", "charges", "fit")
    ]


def test_templates_that_the_design_names_are_there() -> None:
    assert {"demo", "li7p3s11", "minimal"} <= set(template_names())


@pytest.mark.parametrize("template", template_names())
def test_what_init_writes_fits_on_a_screen(template: str) -> None:
    assert len(short_text(template).splitlines()) < SCREEN_LINES
    assert Campaign.model_validate(parse_yaml(short_text(template)).data) == Campaign.model_validate(
        parse_yaml(starter_text(template)).data
    )


def test_an_unknown_template_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean demo"):
        starter_text("dem")


@pytest.mark.parametrize("value", ["Li", "no", "null", "1", "a: b", "", "tab\t", {"Li": 0.3}, [1, [2.5]], 1e-6, True])
def test_values_come_back_from_yaml(value: object) -> None:
    assert parse_yaml(f"key: {yaml_value(value)}\n").data == {"key": value}


def test_the_committed_reference_is_up_to_date() -> None:
    committed = (CHECKOUT / "docs" / "campaign-file.md").read_text()
    hint = "run: python -m ionloop.workflows.campaign.reference_page docs/campaign-file.md"
    assert committed == reference_page(), hint
