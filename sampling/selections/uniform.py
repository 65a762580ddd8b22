"""A uniform random choice."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ...core.citations import Citation
from .base import Choice, CommonSelectionSettings, SelectionRequest


class RandomSelection(CommonSelectionSettings):
    """A uniform random choice: the baseline that every other method must beat."""

    method: Literal["random"] = Field(default="random", description="A uniform random choice.")


class Uniform:
    """A uniform random choice; scores are 1."""

    name = "random"
    rank = 60.0
    settings_type = RandomSelection
    needs_variance = False
    citations: tuple[Citation, ...] = ()

    def methods(self, settings: RandomSelection) -> str:
        """Return how frames were chosen."""
        return "at random"

    def choose(self, request: SelectionRequest[RandomSelection]) -> Choice:
        """Draw without repetition."""
        random = np.random.default_rng(np.random.SeedSequence(request.seed))
        chosen = [int(k) for k in random.permutation(len(request.frames))[: request.settings.count]]
        return Choice(chosen, [1.0] * len(chosen))


RANDOM = Uniform()
