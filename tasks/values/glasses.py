"""What results of glasses hold."""

from __future__ import annotations

from pydantic import Field

from ...analysis.glasses.groups import GlassGroup, MadeGlass
from ...analysis.glasses.spread import Trend
from ...store.result_kinds import ResultKind, ResultValues


class GlassValues(MadeGlass, ResultValues):
    """One glass."""


class GlassesValues(ResultValues):
    """What all glasses of one potential have in common, and by how much they differ."""

    temperature_K: float = Field(description="Temperature at which they were held (K)")
    groups: tuple[GlassGroup, ...] = Field(description="Glasses by size and rate")
    trends: tuple[Trend, ...] = Field((), description="How quantities change with rate and size")
    reasons: dict[str, str] = Field(default_factory=dict, description="Why glasses broke, by their names (text)")

    @property
    def told(self) -> str:
        """How many there are."""
        planned = sum(group.planned for group in self.groups)
        broken = sum(group.broken for group in self.groups)
        missing = sum(group.missing for group in self.groups)
        lost = [f"{number} {word}" for number, word in ((broken, "broke"), (missing, "failed")) if number]
        return f"{planned - broken - missing} of {planned} glasses" + (f"; {', '.join(lost)}" if lost else "")


GLASS = ResultKind("glass", GlassValues)
GLASSES = ResultKind("glasses", GlassesValues)
