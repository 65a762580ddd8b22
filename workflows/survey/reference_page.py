"""The survey's own keys as a Markdown page, written from the models.

``python -m ionloop.workflows.survey.reference_page [FILE]`` writes it (to the standard output without a file).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..campaign.reference_page import cells_of_key, key_tables
from .survey_file import SURVEY_FILE

HEADER = """# The survey file

<!-- By `python -m ionloop.workflows.survey.reference_page docs/survey-file.md`: change the models, not this. -->

These are the keys that only a survey file has; [survey.md](survey.md) tells what they are for. All others are keys of
the [campaign file](campaign-file.md) and hold for the campaign of every crystal, but for `structure`, `systems` and
`supercell`, in whose place the candidates stand. `ionloop init --template survey` writes a commented one.
"""


def reference_page() -> str:
    """Return the page: one table per section, sections with variants once per variant."""
    heads = ("key", "default", "allowed", "meaning")
    return "\n".join([HEADER, *key_tables(SURVEY_FILE.field_entries(), heads, cells_of_key)])


def main(arguments: Sequence[str]) -> None:
    """Write the page to the file named, or to the standard output."""
    if arguments:
        Path(arguments[0]).write_text(reference_page(), "utf-8")
    else:
        sys.stdout.write(reference_page())


if __name__ == "__main__":
    main(sys.argv[1:])
