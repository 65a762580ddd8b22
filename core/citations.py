"""Works to cite: every kind names its own, and reports gather those of the kinds that a campaign used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Citation:
    """A work to cite.

    Attributes
    ----------
    what
        What it is cited for: "ES-GAP", "PBE".
    reference
        Authors, journal, year, volume, page, in one line.
    doi
        Its DOI, empty where it has none.
    """

    what: str
    reference: str
    doi: str = ""
