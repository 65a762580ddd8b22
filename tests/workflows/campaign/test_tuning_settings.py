"""``tune`` in the campaign file: its forms, what it holds for, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ionloop.fitting.settings import GapSettings, SoapSettings
from ionloop.fitting.tuning.settings import TuneSettings
from ionloop.workflows.campaign.problems import CampaignFileError
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.submission.campaign_file import read_campaign


def campaign(**sections: Any) -> Campaign:
    return Campaign.model_validate({"name": "one", "structure": "li7p3s11", **sections})


def tuned(made: Campaign) -> dict[str, TuneSettings | None]:
    return {name: made.tuning_of(name) for name in made.models}


@pytest.mark.parametrize(
    ("gap", "soap", "asked"),
    [
        ("tune", {}, TuneSettings()),
        ({"tune": True}, {}, TuneSettings()),
        ({"tune": {}, "soap": {"zeta": 2}}, {"zeta": 2}, TuneSettings()),
        ({"tune": {"budget_fits": 5}}, {}, TuneSettings(budget_fits=5)),
        ({"tune": False, "soap": {"zeta": 2}}, {"zeta": 2}, None),
        ({}, {}, None),
    ],
)
def test_a_section_says_whether_its_settings_are_searched_for(gap: Any, soap: Any, asked: TuneSettings | None) -> None:
    made = campaign(gap=gap)
    for one in (made, Campaign.model_validate(made.model_dump(mode="json"))):
        assert tuned(one) == {"gap": asked, "es-gap": asked}
        # What a model is made of knows nothing of it.
        assert type(one.settings_of("gap")) is GapSettings
        assert one.settings_of("gap") == GapSettings(soap=SoapSettings(**soap))


def test_what_tunes_nothing_is_written_down_as_it_always_was() -> None:
    assert campaign(gap={"soap": {"zeta": 2}}).model_dump(mode="json")["gap"] == GapSettings(
        soap=SoapSettings(zeta=2)
    ).model_dump(mode="json")


def test_a_model_is_tuned_as_its_section_is_unless_it_says_otherwise() -> None:
    models = {"gap": {}, "plain": {"kind": "gap", "tune": False}, "short": {"kind": "gap", "tune": {"budget_fits": 2}}}
    made = campaign(gap="tune", models=models)
    for one in (made, Campaign.model_validate(made.model_dump(mode="json"))):
        assert tuned(one) == {"gap": TuneSettings(), "plain": None, "short": TuneSettings(budget_fits=2)}
    assert tuned(campaign(models={"gap": {"tune": {}}, "es-gap": {}})) == {"gap": TuneSettings(), "es-gap": None}


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("gap: tuned", "gap", "tune, or a mapping"),
        ("gap: {tune: }", "gap.tune", "is empty"),
        ("gap: {tune: {budget: 3}}", "gap.tune.budget", "budget_fits"),
        ("gap: {tune: {budget_fits: 0.5}}", "gap.tune.budget_fits", "greater than or equal to 1"),
        ("gap: tune\nfit: {backend: gap_fit}", "gap.tune", "gap_fit gives no left-out errors"),
        ("gap: tune\nbaseline: {kind: local}", "gap.tune", "cannot tune es-gap: local charges are fitted with"),
        ("gap: tune\nmodels: {gap: {tune: false}}", "gap.tune", "tunes nothing"),
        ("models: {gap: {tune: {}}}\nfit: {backend: gap_fit}", "models.gap.tune", "gives no left-out errors"),
    ],
)
def test_what_cannot_be_tuned_is_refused_with_key_and_reason(tmp_path: Path, text: str, key: str, told: str) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(f"name: one\nstructure: li7p3s11\n{text}\n")
    with pytest.raises(CampaignFileError) as error:
        read_campaign(file)
    (problem,) = error.value.problems
    assert ".".join(map(str, problem.key)) == key
    assert told in str(error.value)
    assert problem.line is not None


def test_a_model_whose_charges_are_fitted_can_stand_beside_one_that_is_tuned(tmp_path: Path) -> None:
    models = {"gap": {}, "es-gap": {"tune": False}}
    assert tuned(campaign(gap="tune", baseline={"kind": "local"}, models=models))["gap"] == TuneSettings()
