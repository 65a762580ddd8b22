"""What Frenkel pairs and vacancies ask for: cells, fields, how ions are relaxed and when a pair is gone."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...core.settings import FrozenSettings
from ..fixed_cell_relaxation_settings import FixedCellRelaxation

Axis = Literal["x", "y", "z"]


AXES: tuple[Axis, ...] = ("x", "y", "z")


Repetition = Annotated[int, Field(ge=1, le=10)]


Supercell = tuple[Repetition, Repetition, Repetition]


MAX_FIELD_V_PER_A = 2.0
"""Far beyond what any electrolyte stands (V/Å)."""


class DefectSettings(FrozenSettings):
    """What all defects share: the cell, how ions relax, what the reference does."""

    supercell: Supercell = Field(
        (1, 1, 1), description="Repetitions of the campaign's cell that hold one defect (number)"
    )
    relaxation: FixedCellRelaxation = Field(
        default_factory=FixedCellRelaxation, description="How ions are relaxed, at fixed cell"
    )
    reference: bool = Field(
        True,
        description="Whether the reference engine computes single points on what the models relaxed",
    )


class BasinRules(FrozenSettings):
    """When a pair counts as gone, and when a structure has left the basin that it is followed in."""

    recombination_radius_A: float = Field(
        0.7,
        gt=0,
        le=3,
        description="A pair is gone once every mobile ion is nearer than this to a crystal site of its own (Å)",
    )
    hop_distance_A: float = Field(
        1.2, gt=0, le=10, description="An ion that goes farther than this from one field to the next has hopped (Å)"
    )
    hop_energy_eV: float = Field(
        0.05,
        gt=0,
        le=10,
        description="More energy than this, released from one field to the next beyond what polarisation gives, is "
        "a hop too, of whatever atoms (eV)",
    )


class FrenkelSettings(DefectSettings):
    """Which pairs, and which fields."""

    pairs: int = Field(5, ge=1, le=1000, description="Pairs that are followed in the field (number)")
    attempts: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Pairs that are made and relaxed without a field, at least as many as pairs; those that recombine "
        "make room for the next; nothing: twice as many as pairs (number)",
    )
    minimum_separation_A: float = Field(
        3.0, gt=0, le=100, description="Smallest distance of an ion from the site that it leaves (Å)"
    )
    fields_V_per_A: tuple[float, ...] = Field(
        (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3),
        description="Field strengths, followed outwards from zero in both directions; empty: no field (V/Å)",
    )
    axes: tuple[Axis, ...] = Field(AXES, min_length=1, description="Cartesian axes of the field (name)")
    basins: BasinRules = Field(
        default_factory=BasinRules, description="When a pair is gone, and when an ion has hopped"
    )

    @field_validator("fields_V_per_A")
    @classmethod
    def _sorted_once_each(cls, fields: tuple[float, ...]) -> tuple[float, ...]:
        if any(abs(field) > MAX_FIELD_V_PER_A for field in fields):
            raise ValueError(f"fields are {MAX_FIELD_V_PER_A:g} V/Å at most, in both directions")
        return tuple(sorted(set(fields) | {0.0})) if fields else ()

    @field_validator("axes")
    @classmethod
    def _each_axis_once(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(axis for axis in AXES if axis in axes)

    @model_validator(mode="after")
    def _attempts_suffice(self) -> Self:
        if self.attempts is not None and self.attempts < self.pairs:
            raise ValueError(f"attempts is {self.attempts}, less than pairs ({self.pairs}); make it at least that")
        return self

    @property
    def tried(self) -> int:
        """Pairs that are made."""
        return 2 * self.pairs if self.attempts is None else self.attempts

    @property
    def branches(self) -> dict[str, tuple[float, ...]]:
        """The fields (V/Å) of both directions, outwards from zero, which is left out; no empty ones."""
        positive = tuple(field for field in self.fields_V_per_A if field > 0)
        negative = tuple(field for field in reversed(self.fields_V_per_A) if field < 0)
        return {name: fields for name, fields in (("plus", positive), ("minus", negative)) if fields}


class VacancySettings(DefectSettings):
    """Which vacancies, and against which state of the element."""

    sites: int = Field(
        5, ge=1, le=1000, description="Sites that no symmetry relates and that are emptied, one at a time (number)"
    )
    element_reference: Literal["isolated-atom", "metal"] = Field(
        "isolated-atom",
        description="State that the removed atom goes to: isolated, or the reference engine's metal (name)",
    )
    metal_repeat: Repetition = Field(
        3, description="Repetitions of the metal's cubic cell along each axis, with element_reference: metal (number)"
    )
