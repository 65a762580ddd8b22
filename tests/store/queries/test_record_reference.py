"""The page about records says what the code holds."""

from __future__ import annotations

from pathlib import Path

from ionloop.store.queries.record_kinds import RECORD_KINDS
from ionloop.store.queries.record_reference import reference_page

PAGE = Path(__file__).parents[3] / "docs" / "records.md"


def test_the_committed_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "run: python -m ionloop.store.queries.record_reference docs/records.md"
    )


def test_every_field_of_every_kind_is_on_it():
    page = reference_page()
    for kind in RECORD_KINDS.values():
        section = page.split(f"## {kind.name}\n")[1].split("\n## ")[0]
        assert all(
            f"`{name}`" in section
            for name in kind.record_type.model_fields
            if name not in {"id", "schema_version", "campaign", "generation", "created", "code_version"}
        )
