"""The examples run, and say something sensible; those of analyses whose numbers are checked: beside their tests."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from ionloop.workflows.campaign.starter import starter_text
from ionloop.workflows.submission.campaign_file import read_campaign

EXAMPLES = Path(__file__).parent.parent / "examples"
LARGEST_FORCE_ERROR_MEV_PER_A = 300.0


@pytest.mark.slow
def test_the_library_example_fits_both_models(capsys):
    runpy.run_path(str(EXAMPLES / "fit_without_a_campaign.py"), run_name="__main__")
    found = re.findall(r"([\w-]+): forces +([\d.]+) meV/Å", capsys.readouterr().out)
    assert [kind for kind, _ in found] == ["gap", "es-gap"]
    assert all(0 < float(error) < LARGEST_FORCE_ERROR_MEV_PER_A for _, error in found)


def test_the_campaign_of_the_paper_is_valid_and_what_init_writes():
    path = EXAMPLES / "li7p3s11.yaml"
    assert read_campaign(path).supercell != (1, 1, 1)
    assert path.read_text() == starter_text("li7p3s11")


@pytest.mark.slow
def test_a_smaller_expected_error_for_lithium_makes_its_forces_better(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["per_element_regularisation.py"])
    runpy.run_path(str(EXAMPLES / "per_element_regularisation.py"), run_name="__main__")
    found = re.findall(r"^  (0\.\d+ for .+?) +all [\d.]+: Li ([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    lithium = {title: float(error) for title, error in found}
    assert len(lithium) == 4
    assert lithium["0.01 for Li"] < lithium["0.05 for all"] < lithium["0.01 for P and S, 0.2 for Li"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("charges_by_error", r"0\.40 of the formal charges: +0\.\d meV/Å"),
        ("hops", r"30 of 30 hops"),
    ],
)
def test_the_examples_of_the_analyses_find_what_they_made(capsys, monkeypatch, name, said):
    monkeypatch.setattr("sys.argv", [f"{name}.py"])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert re.search(said, capsys.readouterr().out)
