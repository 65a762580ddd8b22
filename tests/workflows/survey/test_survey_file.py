"""Survey files: what is wrong with them is told as for campaign files, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_survey

from ionloop.cli import run_command_line
from ionloop.workflows.campaign.problems import CampaignFileError
from ionloop.workflows.survey.starter import survey_starter
from ionloop.workflows.survey.survey_file import read_survey

MINIMAL = "name: a\ncandidates: [{kind: files, paths: [x.cif]}]\n"


def test_a_survey_asks_for_a_screening_and_takes_all_else_from_the_campaigns_keys(tmp_path: Path) -> None:
    file = tmp_path / "survey.yaml"
    file.write_text(MINIMAL + "mobile: Na\nseed: 3\n")
    survey = read_survey(file)
    assert survey.campaign.analyses.chosen == ("screening",)
    assert survey.campaign.seed == 3
    assert survey.filters.mobile == "Na"
    document = survey.document()
    assert document["name"] == "a"
    assert document["seed"] == 3
    assert not {"structure", "supercell", "systems"} & document.keys()


def test_the_starter_is_a_valid_survey(tmp_path: Path) -> None:
    file = tmp_path / "survey.yaml"
    file.write_text(survey_starter())
    assert read_survey(file).name == "survey"


def test_all_problems_are_told_with_lines_and_what_was_meant(tmp_path: Path) -> None:
    text = """\
name: a
candidates: [{kind: fils, paths: [x.cif]}]
filters: {mobile_fracton: [0, 1], band_gap_eV: wide}
rankby: conductivity_300K
referense: {}
structure: li7p3s11
sampling: {temperature: 800}
analyses: {screening: {start_temperature: 900}}
"""
    file = tmp_path / "survey.yaml"
    file.write_text(text)
    with pytest.raises(CampaignFileError) as caught:
        read_survey(file)
    text = str(caught.value)
    assert "did you mean files?" in text
    assert "did you mean mobile_fraction?" in text
    assert "filters.band_gap_eV" in text
    assert "did you mean rank_by?" in text
    assert "did you mean reference?" in text
    assert "structure" in text
    assert "candidates: remove it" in text
    assert "did you mean temperature_K?" in text
    assert "did you mean start_temperature_K?" in text
    assert [problem.line for problem in caught.value.problems] == [2, 3, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a survey needs at least name and candidates"),
        ("name: a\n", "candidates: is required"),
        ("name: a\ncandidates: []\n", "names no source of crystals"),
        ("name: " + 40 * "a" + "\ncandidates: [{kind: files, paths: [x.cif]}]\n", "1 to 24 letters"),
        (MINIMAL + "filters: {mobile: Na}\n", "is not the mobile ion of the campaigns, Li"),
        (MINIMAL + "systems: {a: {structure: li7p3s11}}\n", "a survey's crystals are its candidates"),
    ],
)
def test_what_makes_no_survey(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "survey.yaml"
    file.write_text(text)
    with pytest.raises(CampaignFileError, match=told):
        read_survey(file)


def test_wrong_files_end_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "survey.yaml"
    assert run_command_line(["survey", str(file)]) == 2
    file.write_text(MINIMAL + "celss: {}\n")
    assert run_command_line(["survey", str(file), "--check"]) == 2
    assert "did you mean cells?" in capsys.readouterr().err
    file.write_text(MINIMAL)
    assert run_command_line(["survey", str(file), "--check"]) == 2
    assert "x.cif" in capsys.readouterr().err
    assert run_command_line(["survey", str(file), "--table", "table.txt"]) == 2
    assert run_command_line(["run", str(file)]) == 2
    assert "ionloop survey" in capsys.readouterr().err


def test_init_writes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["init", str(tmp_path), "--template", "survey"]) == 0
    assert read_survey(tmp_path / "survey.yaml").settings.candidates
    assert run_command_line(["init", str(tmp_path), "--template", "surve"]) == 2
    assert "did you mean survey?" in capsys.readouterr().err


def test_a_check_tells_who_is_kept_and_what_it_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = small_survey.prepare(tmp_path)
    assert run_command_line(["survey", str(file), "--check"]) == 0
    text = capsys.readouterr().out
    assert "tiny-AgCu-" in text
    assert "it holds no Cu" in text
    assert "nonsense.cif" in text
    assert "At most" in text
    assert not (tmp_path / "ionloop.db").exists()
