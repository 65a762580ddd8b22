"""How the labels of a generation are shared out."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import FrozenModel


class Portion(FrozenModel):
    """A system's part of the labels of a generation: equal parts of what proposals leave, the first get the rest."""

    total: int = Field(description="labels of the generation, of all systems, proposals included")
    parts: int = Field(description="systems")
    place: int = Field(description="of the system among them, from 0")

    def count(self, proposed: int) -> int:
        """Return how many labels are left for the system."""
        each, rest = divmod(max(self.total - proposed, 0), self.parts)
        return each + (self.place < rest)
