"""The page about the survey file is the one that the models write."""

from __future__ import annotations

from pathlib import Path

from ionloop.workflows.survey.reference_page import main, reference_page

PAGE = Path(__file__).parents[3] / "docs" / "survey-file.md"


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    assert PAGE.read_text() == reference_page()
    main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text() == reference_page()
