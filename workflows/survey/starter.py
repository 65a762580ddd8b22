"""The commented survey file that `ionloop init` writes."""

from __future__ import annotations

from importlib import resources
from typing import Final

TEMPLATE: Final = "survey"
"""What `ionloop init --template` calls it."""


def survey_starter() -> str:
    """Return a survey file with a comment for every part."""
    return (resources.files(__package__) / "starter.yaml").read_text("utf-8")
