"""The methods paragraph and BibTeX: whole, and made of the campaign's own numbers."""

from __future__ import annotations

import re

import pytest

from ionloop.core.citations import Citation
from ionloop.workflows.analyses.registry import ANALYSES
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.report.methods import bibtex, methods_paragraph
from ionloop.workflows.report.text import CITATIONS

MINIMAL = {"name": "demo", "structure": "li7p3s11"}


def paragraph(**sections: object) -> str:
    campaign = Campaign.model_validate({**MINIMAL, **sections})
    return methods_paragraph(campaign, "Li14P6S22", {"ase": "3.29.0", "ionloop": "0.1.0"})


def test_the_numbers_of_the_settings_are_in_the_text():
    text = paragraph(
        sampling={"temperature_K": 723.0, "length_ps": 7.5},
        gap={"soap": {"cutoff_A": 5.25}, "regularisation": {"force_by_element_eV_per_A": {"Li": 0.013}}},
        analyses={"energy_volume": {}},
    )
    for said in ("Li14P6S22", "723 K", "7.5 ps", "5.25 Å", "0.013 for Li", "energy-volume", "ase 3.29.0", "gfn1-xtb"):
        assert said in text


@pytest.mark.parametrize(
    ("charges", "said"),
    [
        ("fit", "from beyond 6 Å"),
        ({"fit": "error"}, "lowest leave-out force error"),
        ("formal", "0.3 of the formal charges"),
        ({"Li": 0.4, "S": -0.8}, "+0.4 e (Li), -0.8 e (S)"),
    ],
)
def test_it_says_where_the_charges_come_from(charges, said):
    assert said in paragraph(baseline={"charges": charges})


def test_a_short_range_model_has_no_baseline():
    assert "Ewald" not in paragraph(models=["gap"])


def test_every_work_becomes_an_entry_with_all_fields():
    named = [*CITATIONS, *(one for analysis in ANALYSES.kinds for one in analysis.citations)]
    assert len({one.what for one in named}) == len(set(named)), "one key for two works"
    works = list(dict.fromkeys(named))
    entries = bibtex(works).split("\n\n")
    assert len(entries) == len(works)
    keys = [re.match(r"@article{([\w-]+),", entry).group(1) for entry in entries]
    assert len(set(keys)) == len(keys)
    for entry in entries:
        assert all(f"  {name} = {{" in entry for name in ("author", "journal", "year", "volume", "pages", "doi"))
        assert entry.count("{") == entry.count("}")
        assert entry.isascii()
    assert "A. Jain and others" in bibtex(CITATIONS)


def test_a_reference_of_another_form_is_a_note():
    entry = bibtex([Citation("My code", "Somebody, https://example.org")])
    assert entry == "@misc{my-code,\n  note = {My code: Somebody, https://example.org},\n}"
