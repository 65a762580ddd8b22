"""The kinds of sources of candidates that there are."""

from __future__ import annotations

from typing import Annotated, Any

from ...core.kinds import Registry, SettingsOf
from .base import CommonSourceSettings, SourceKind

CANDIDATE_SOURCES: Registry[SourceKind[Any]] = Registry("ionloop.candidate_sources", "source of candidates", SourceKind)

CandidateSourceSettings = Annotated[CommonSourceSettings, SettingsOf(lambda: CANDIDATE_SOURCES, "kind")]
"""What an entry of a survey file's ``candidates`` holds; ``kind`` names the kind of source."""
