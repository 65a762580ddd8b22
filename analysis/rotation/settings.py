"""Which polyanions are followed, what counts as a rotation of one, and with which hops rotations are compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from ...core.settings import FrozenSettings
from ..trajectories.settings import ReadRunsSettings

MADE, BROKEN = 1.13, 1.32
"""Parts of the sum of the covalent radii: 2.40 and 2.80 Å for P-S, between which next to no distance is found."""
FEWEST_LIGANDS = 3
"""Of two the rotation about their axis is not seen."""
Window = Annotated[float, Field(gt=0, le=1e5)]


class PolyanionSettings(FrozenSettings):
    """A centre and its ligands: PS4, and by other names BH4, SiO4, GeS4."""

    centre: str = Field("P", description="Element in the middle (chemical symbol)")
    ligand: str = Field("S", description="Element around it (chemical symbol)")
    ligands: int = Field(4, ge=FEWEST_LIGANDS, le=12, description="Ligands of a whole polyanion (number)")
    made_A: float | None = Field(
        None,
        gt=0,
        le=6,
        description=f"A bond is made below this distance; nothing: {MADE:g} times the sum of the covalent radii (Å)",
    )
    broken_A: float | None = Field(
        None,
        gt=0,
        le=6,
        description=f"... and broken above this one; nothing: {BROKEN:g} times the sum of the covalent radii (Å)",
    )
    broken_fs: float = Field(50.0, ge=0, le=1e4, description="Bonds that are broken for less time are not (fs)")
    alone: bool = Field(
        True, description="Whether a ligand that is bound to a second centre makes it another polyanion (yes or no)"
    )

    @field_validator("centre", "ligand")
    @classmethod
    def _is_an_element(cls, value: str) -> str:
        from ase.data import chemical_symbols

        if value not in chemical_symbols[1:]:
            raise ValueError(f"{value!r} is no chemical symbol")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.centre == self.ligand:
            raise ValueError(f"centre and ligand are both {self.centre}: they must be two elements")
        if self.made_A is None and self.broken_A is None:
            return self
        made_A, broken_A = self.bond_A
        if broken_A < made_A:
            raise ValueError(f"broken_A ({broken_A:g}) must not be smaller than made_A ({made_A:g})")
        return self

    @property
    def bond_A(self) -> tuple[float, float]:
        """Distances below which a bond is made and above which it is broken (Å)."""
        from ase.data import chemical_symbols, covalent_radii

        radii_A = float(sum(covalent_radii[chemical_symbols.index(one)] for one in (self.centre, self.ligand)))
        return (
            MADE * radii_A if self.made_A is None else self.made_A,
            BROKEN * radii_A if self.broken_A is None else self.broken_A,
        )

    @property
    def formula(self) -> str:
        """What it is called: ``PS4``."""
        return f"{self.centre}{self.ligand}{self.ligands}"


class JumpSettings(FrozenSettings):
    """What counts as a rotation."""

    turned_degree: float = Field(
        60.0, gt=0, lt=120, description="Angle from the last settled orientation that a rotation exceeds (degrees)"
    )
    settled_degree: float = Field(
        30.0, gt=0, lt=120, description="Within this angle of its mean an orientation is settled (degrees)"
    )
    settled_ps: float = Field(0.5, ge=0, le=100, description="... for this time (ps)")

    @model_validator(mode="after")
    def _settled_below_turned(self) -> Self:
        if self.settled_degree > self.turned_degree:
            raise ValueError(
                f"settled_degree ({self.settled_degree:g}) must not be larger than turned_degree "
                f"({self.turned_degree:g})"
            )
        return self


class CouplingSettings(FrozenSettings):
    """With which hops rotations are compared, and how."""

    hop_A: float = Field(
        2.0, gt=0, le=10, description="An ion has hopped once its mean position of half a picosecond moved this far (Å)"
    )
    distance_A: float = Field(4.0, gt=0, le=20, description="Hops count up to this distance from the centre (Å)")
    windows_ps: tuple[Window, ...] = Field(
        (0.5, 1.0, 2.0, 5.0, 10.0),
        min_length=1,
        max_length=50,
        description="Times before and after a rotation within which a hop counts (ps)",
    )
    surrogates: int = Field(
        400, ge=20, le=100_000, description="Circular shifts of the rotations in time that tell chance (number)"
    )

    @field_validator("windows_ps")
    @classmethod
    def _grow(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("windows_ps must grow from one to the next")
        return value


class HeldSettings(FrozenSettings):
    """How polyanions are kept from turning, to see whether ions move without it."""

    by: Literal["walls", "masses"] = Field(
        "walls",
        description="What holds them: walls that no bond turns through, or heavy ligands, which turn (and move) slower",
    )
    free_degree: float = Field(
        30.0, gt=0, lt=90, description="Angle from where it lay at the start within which a bond turns freely (degrees)"
    )
    wall_eV: float = Field(
        20.0, gt=0, le=1000, description="Strength of the walls: k of ½ k (cos free - cos turned)² for each bond (eV)"
    )
    mass_factor: float = Field(
        100.0, gt=1, le=10_000, description="Masses of the ligands, as multiples of what they are (number)"
    )


class RotationSettings(ReadRunsSettings):
    """How often polyanions turn in trajectories, how long they remember how they lay, whether ions hop with them."""

    anion: PolyanionSettings = Field(default_factory=PolyanionSettings, description="The polyanion that is followed")
    jumps: JumpSettings = Field(default_factory=JumpSettings, description="What counts as a rotation")
    coupling: CouplingSettings = Field(
        default_factory=CouplingSettings, description="With which hops of the mobile ion rotations are compared"
    )
    resamples: int = Field(
        200, ge=20, le=10_000, description="Resamplings of anions and blocks of time for 95 % intervals (number)"
    )
    held: HeldSettings | None = Field(
        None,
        description="Run every trajectory again with the polyanions held, and compare diffusivities; nothing: do not",
    )

    @model_serializer(mode="wrap")
    def _held_only_where_they_are(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Identifiers rest on what is written here, also those from before anions were held.
        values: dict[str, Any] = handler(self)
        if self.held is None:
            values.pop("held", None)
        return values
