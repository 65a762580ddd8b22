"""The models of a campaign: kinds by name, or names of its own with settings of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ionloop.workflows.campaign.models import model_called
from ionloop.workflows.campaign.problems import CampaignFileError
from ionloop.workflows.campaign.settings import Campaign, stored_campaign
from ionloop.workflows.submission.campaign_file import read_campaign


def campaign_of(**values: Any) -> Campaign:
    return Campaign.model_validate({"name": "a", "structure": "li7p3s11", **values})


def test_the_short_form_is_written_down_as_it_always_was():
    campaign = campaign_of()
    assert campaign.model_dump(mode="json")["models"] == ["gap", "es-gap"]
    assert campaign.driver == "es-gap"
    assert campaign.models_on_baseline == ("es-gap",)
    assert campaign.settings_of("es-gap").model_dump() == campaign.gap.model_dump()


def test_a_model_takes_from_its_section_what_it_does_not_say():
    campaign = campaign_of(
        gap={"soap": {"n_max": 6, "zeta": 2}, "two_body": None},
        models={"gap": None, "small": {"kind": "gap", "soap": {"l_max": 2}}},
    )
    small = campaign.settings_of("small")
    assert campaign.settings_of("gap").model_dump() == campaign.gap.model_dump()
    assert (small.soap.n_max, small.soap.zeta, small.soap.l_max, small.two_body) == (6, 2, 2, None)
    assert campaign.driver == "gap"
    assert campaign.charge_criterion is None
    again = Campaign.model_validate(campaign.model_dump(mode="json"))
    assert again == campaign
    assert again.settings_of("small").identifying_values() == small.identifying_values()


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("[gap, es-gpa]", ("models", 1), "is not one of the choices; did you mean es-gap?"),
        ("{small: {soap: {n_max: 6}}}", ("models", "small", "kind"), "is required"),
        ("{small: {kind: gpa}}", ("models", "small", "kind"), "did you mean gap?"),
        ("{small: {kind: gap, soap: {nmax: 6}}}", ("models", "small", "soap", "nmax"), "did you mean n_max?"),
        ("{gap: {}, same: {kind: gap}}", ("models", "same"), "is the same model as gap"),
        ("{gap: {kind: es-gap}}", ("models", "gap", "kind"), "must be gap"),
        ("{reference: {kind: gap}}", ("models", "reference"), "is the name of the reference engine"),
        ("{a b: {kind: gap}}", ("models", "a b"), "is no name for a model"),
        ("{gap: {core: {file: no.xml}}}", ("models", "gap", "core", "file"), "no.xml does not exist"),
    ],
)
def test_a_wrong_model_is_refused_where_it_stands(text: str, key: tuple, message: str, tmp_path: Path):
    file = tmp_path / "campaign.yaml"
    file.write_text(f"name: a\nstructure: li7p3s11\nmodels: {text}\n")
    with pytest.raises(CampaignFileError) as caught:
        read_campaign(file)
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == (key, 3)
    assert message in problem.render()


def test_a_wrong_section_is_told_once_and_not_again_for_every_model(tmp_path: Path):
    file = tmp_path / "campaign.yaml"
    file.write_text(
        "name: a\nstructure: li7p3s11\ngap: {soap: {n_max: 0}}\nmodels: {b: {kind: gap, soap: {zeta: 2}}}\n"
    )
    with pytest.raises(CampaignFileError) as caught:
        read_campaign(file)
    assert [problem.key for problem in caught.value.problems] == [("gap", "soap", "n_max")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"models": ["gap"], "sampling": {"driver": "es-gap"}}, "is not among the models"),
        ({"models": ["gap"], "analyses": {"locality": {"potential": "es-gap"}}}, "is not among the models"),
        ({"evaluate": {"backend": "quippy"}, "selection": {"method": "variance"}}, "evaluate.backend: native"),
    ],
)
def test_what_no_model_can_do_is_refused(values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        campaign_of(**values)


def test_a_command_finds_a_model_by_its_name_or_its_kind():
    campaign = campaign_of(models={"small": {"kind": "gap", "soap": {"l_max": 2}}, "b": {"kind": "es-gap"}})
    assert model_called(campaign, "small")[1].soap.l_max == 2
    assert model_called(campaign, "gap")[1].soap.l_max == 2
    assert model_called(campaign, "es-gap")[0].needs_baseline
    assert model_called(campaign_of(gap={"soap": {"l_max": 3}}), "gap")[1].soap.l_max == 3


def test_a_stored_campaign_with_models_that_are_not_installed_can_be_shown():
    stored = campaign_of().model_dump(mode="json")
    stored["models"] = ["gap", "mace"]
    stored["sampling"]["driver"] = "mace"
    shown = stored_campaign(stored)
    assert (tuple(shown.models), shown.driver) == (("gap",), "mace")
    assert tuple(stored_campaign({**stored, "models": {"mine": {"kind": "mace", "layers": 2}}}).models) == ()
    with pytest.raises(ValueError, match="mace"):
        Campaign.model_validate(stored)
