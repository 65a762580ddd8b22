"""What a kind of selection is given, what it returns, and what it must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ase import Atoms
from pydantic import ConfigDict, Field

from ...core.citations import Citation
from ...core.settings import FrozenSettings
from ..descriptor_settings import DescriptorSettings


class CommonSelectionSettings(FrozenSettings):
    """What the settings of every kind of selection have; a constant field ``method`` holds the kind's name."""

    count: int = Field(default=40, ge=1, description="Largest number of frames to select (number)")

    @property
    def kind(self) -> str:
        """Name of the kind that these settings are of."""
        return str(type(self).model_fields["method"].default)


class UnknownSelectionSettings(CommonSelectionSettings):
    """Settings of a kind of selection that is not installed here: to be shown, never used."""

    model_config = ConfigDict(extra="allow")

    method: str = Field(description="Name of the kind (name)")

    @property
    def kind(self) -> str:
        """Name of the kind that these settings are of."""
        return self.method


class DescriptorSelectionSettings(CommonSelectionSettings):
    """Settings of a selection that compares frames by their SOAP descriptors."""

    descriptor: DescriptorSettings = Field(
        default_factory=DescriptorSettings, description="SOAP descriptor by which frames are compared."
    )


SettingsT = TypeVar("SettingsT", bound=CommonSelectionSettings)


@dataclass(frozen=True)
class SelectionRequest(Generic[SettingsT]):
    """What a selection chooses from.

    Attributes
    ----------
    frames
        At least one; each is new and no two are alike.
    existing
        What the training set holds.
    settings
        Those of the kind.
    seed
        For kinds that draw.
    uncertainties
        One number per frame, the larger the less the driving model knows (eV²); None unless the kind
        ``needs_variance``.
    """

    frames: Sequence[Atoms]
    existing: Sequence[Atoms]
    settings: SettingsT
    seed: int
    uncertainties: Sequence[float] | None = None


@dataclass(frozen=True)
class Choice:
    """What a selection chose.

    Attributes
    ----------
    indices
        Positions in the frames of the request, the most wanted first, at most ``count`` and each once.
    scores
        One per index; each kind says what they are.
    reason
        Why there are fewer than ``count`` though frames are left; empty otherwise.
    """

    indices: Sequence[int]
    scores: Sequence[float]
    reason: str = ""


class SelectionKind(Protocol[SettingsT]):
    """A kind of selection: which of the sampled frames are worth a label."""

    @property
    def name(self) -> str:
        """Name of the kind, the value of ``method`` in its settings."""

    @property
    def rank(self) -> float:
        """Its place in lists."""

    @property
    def settings_type(self) -> type[SettingsT]:
        """Type of its settings."""

    @property
    def needs_variance(self) -> bool:
        """Whether it asks how sure the driving model is of every frame."""

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Works to cite for it."""

    def methods(self, settings: SettingsT) -> str:
        """Return how frames were chosen, for the sentence "40 frames were chosen ...": "by farthest-point sampling"."""

    def choose(self, request: SelectionRequest[SettingsT]) -> Choice:
        """Choose; the same request gives the same choice, in every process."""
