"""What the results hold that say which models of other campaigns joint models are made of."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import FrozenModel
from ...store.result_kinds import ResultKind, ResultValues


class Expert(FrozenModel):
    """A model of another campaign."""

    campaign: str = Field(description="Its campaign (name)")
    name: str = Field(description="What that campaign calls it (name)")
    model: str = Field(description="Its identifier (name)")

    def __str__(self) -> str:
        return f"{self.campaign}/{self.name}"


class JointModel(FrozenModel):
    """What one model is made of."""

    experts: tuple[Expert, ...] = Field((), description="Models of other campaigns (names)")
    missing: tuple[str, ...] = Field((), description="What is named and of which there was no model yet (names)")

    @property
    def models(self) -> tuple[str, ...]:
        """Identifiers of the experts."""
        return tuple(one.model for one in self.experts)

    @property
    def words(self) -> str:
        """What it is made of, for people."""
        joined = ", ".join(map(str, self.experts)) or "no other model"
        without = f"; without {', '.join(self.missing)}, of which there was none yet" if self.missing else ""
        return f"joined with {joined}{without}"


class ExpertsValues(ResultValues):
    """What the joint models of a campaign are made of, for the fits to one data set."""

    models: dict[str, JointModel] = Field(description="By what the campaign calls them (names)")


EXPERTS = ResultKind("experts", ExpertsValues)
