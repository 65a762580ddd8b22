"""Bases of typed models: what is set, and what is passed on and stored."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Base of results, records and parameters: immutable, unknown keys refused."""

    # Built when the first one is made: most commands make few of all that they import.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class FrozenSettings(FrozenModel):
    """Base of all settings: immutable, unknown keys and non-finite numbers refused."""

    model_config = ConfigDict(allow_inf_nan=False)

    def identifying_values(self) -> dict[str, Any]:
        """Return the values that the identity of what is made with them rests on."""
        return self.model_dump(mode="json")
